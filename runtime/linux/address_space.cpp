// The table of guest mappings and the mmap family.
#include "runtime/linux/address_space.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <mutex>

#include "runtime/base/bits.h"
#include "runtime/base/check.h"
#include "runtime/base/guarded.h"
#include "runtime/linux/host_fault.h"

#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif

namespace lyre::linux_user {

namespace {
constexpr uint64_t kGuard = uint64_t{16} << 30;     // kept free below the emulator's memory, for what it maps later
constexpr uint64_t kOwnRoom = uint64_t{64} << 20;   // under a limit: what the guest leaves to the emulator
constexpr uint64_t kUsualBase = uint64_t{1} << 46;  // of the guest's mappings: leaves pointers two spare bits of 48
constexpr int kAllProtection = PROT_READ | PROT_WRITE | PROT_EXEC;

void* at(uint64_t address) { return reinterpret_cast<void*>(address); }
uint64_t address_of(const void* pointer) { return reinterpret_cast<uint64_t>(pointer); }
uint64_t host_page_up(uint64_t value) { return (value + kPageSize - 1) & kPageMask; }
}  // namespace

int host_protection(int guest) { return (guest & (PROT_READ | PROT_WRITE)) | (guest & PROT_EXEC ? PROT_READ : 0); }

AddressSpace::AddressSpace() { find_emulator(); }

AddressSpace::~AddressSpace() {
  for (auto& middle : root_) {
    if (!middle) continue;
    for (auto& each : middle.load()->leaves) free(each.load());
    free(middle.load());
  }
}

// Where the emulator is: its image, its stack, what the host gives out next, and its heap. Without /proc, which may be
// missing.
void AddressSpace::find_emulator() {
  static const char kImage = 0;
  const uint64_t image = address_of(&kImage);
  uint64_t lowest = image;
  void* probe = mmap(nullptr, kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (probe != MAP_FAILED) {
    lowest = std::min(lowest, address_of(probe));
    munmap(probe, kPageSize);
  }
  top_ = (lowest - kGuard) & kPageMask;
  lowest_ = 0x10000;  // the usual vm.mmap_min_addr
  // The heap below may not grow into the guest: a page that stops it; the allocator then maps its memory elsewhere.
  const uint64_t heap_end = host_page_up(address_of(sbrk(0)));
  mmap(at(heap_end), kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
  if (heap_end < top_) holes_.push_back({(heap_end - (uint64_t{64} << 20)) & kPageMask, heap_end + kPageSize});
  mmap_base_ = std::min(kUsualBase, top_);
  last_free_ = mmap_base_;
  rlimit limit{};
  limited_ = getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY;
}

void AddressSpace::end_at(uint64_t end) {
  top_ = std::min(top_, end & kPageMask);
  mmap_base_ = last_free_ = std::min(mmap_base_, top_);
}

bool AddressSpace::in_range(uint64_t address, uint64_t bytes) const {
  return address >= lowest_ && address < top_ && bytes <= top_ - address;
}

bool AddressSpace::overlaps_hole(uint64_t address, uint64_t bytes) const {
  return std::any_of(holes_.begin(), holes_.end(),
                     [&](const auto& hole) { return address < hole.second && hole.first < address + bytes; });
}

const Mapping* AddressSpace::find(uint64_t address) const {
  auto after = table_.upper_bound(address);
  if (after == table_.begin()) return nullptr;
  const auto& [start, mapping] = *std::prev(after);
  return address < mapping.end ? &mapping : nullptr;
}

bool AddressSpace::free_range(uint64_t address, uint64_t bytes) const {
  if (!in_range(address, bytes) || overlaps_hole(address, bytes)) return false;
  auto after = table_.lower_bound(address + bytes);
  return after == table_.begin() || std::prev(after)->second.end <= address;
}

// The highest free range of `bytes` that ends at or below `below`; 0: none.
uint64_t AddressSpace::find_free(uint64_t bytes, uint64_t below) const {
  auto after = table_.lower_bound(below);
  uint64_t end = below;
  while (end >= bytes + lowest_) {
    const uint64_t floor = after == table_.begin() ? lowest_ : std::max(lowest_, std::prev(after)->second.end);
    if (floor <= end && end - floor >= bytes) {
      const uint64_t candidate = (end - bytes) & ~(page_ - 1);
      if (candidate >= floor && !overlaps_hole(candidate, bytes)) return candidate;
      if (candidate < floor) {
        if (after == table_.begin()) return 0;
        --after;
        end = std::min(end, after->first);
        continue;
      }
      for (const auto& hole : holes_)
        if (candidate < hole.second && hole.first < end) end = hole.first;
      continue;
    }
    if (after == table_.begin()) return 0;
    --after;
    end = std::min(end, after->first);
  }
  return 0;
}

// A mapping starts at `at`, if one covers it.
AddressSpace::Table::iterator AddressSpace::split(uint64_t at) {
  auto after = table_.lower_bound(at);
  if (after != table_.begin()) {
    auto before = std::prev(after);
    if (before->second.end > at) {
      Mapping upper = before->second;
      before->second.end = at;
      return table_.emplace_hint(after, at, upper);
    }
  }
  return after;
}

void AddressSpace::erase(uint64_t address, uint64_t bytes) {
  auto first = split(address);
  auto last = split(address + bytes);
  // split() of the end may have made the first one's successor; `first` still starts at or after `address`.
  first = table_.lower_bound(address);
  table_.erase(first, last);
}

void AddressSpace::record(uint64_t address, uint64_t bytes, const Mapping& mapping) {
  erase(address, bytes);
  Mapping made = mapping;
  made.end = address + bytes;
  auto place = table_.emplace(address, made).first;
  auto same = [](const Mapping& a, const Mapping& b) {
    return a.protection == b.protection && a.shared == b.shared && !a.file && !b.file;
  };
  if (auto next = std::next(place);
      next != table_.end() && next->first == place->second.end && same(next->second, made)) {
    place->second.end = next->second.end;
    table_.erase(next);
  }
  if (place != table_.begin()) {
    auto before = std::prev(place);
    if (before->second.end == address && same(before->second, made)) {
      before->second.end = place->second.end;
      table_.erase(place);
    }
  }
}

bool AddressSpace::mapped(uint64_t address, uint64_t bytes) const {
  const uint64_t end = address + bytes;
  if (end < address) return false;
  while (address < end) {
    const Mapping* mapping = find(address);
    if (!mapping) return false;
    address = mapping->end;
  }
  return true;
}

int AddressSpace::protection_at(uint64_t address) {
  std::shared_lock lock(mutex_);
  const Mapping* mapping = find(address);
  return mapping ? mapping->protection : -1;
}

bool AddressSpace::allows(uint64_t address, uint64_t bytes, int protection) {
  std::shared_lock lock(mutex_);
  const uint64_t end = address + bytes;
  if (end < address) return false;
  while (address < end) {
    const Mapping* mapping = find(address);
    if (!mapping || (mapping->protection & protection) != protection) return false;
    address = mapping->end;
  }
  return true;
}

uint64_t AddressSpace::mapped_bytes(bool data_only) {
  std::shared_lock lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& [start, mapping] : table_)
    if (!data_only || (!mapping.shared && (mapping.protection & PROT_WRITE))) bytes += mapping.end - start;
  return bytes;
}

std::map<uint64_t, Mapping> AddressSpace::snapshot() {
  std::shared_lock lock(mutex_);
  return table_;
}

// Under the host's limit the guest runs out of memory before the emulator does.
bool AddressSpace::leaves_room(uint64_t bytes) const {
  if (!limited_) return true;
  void* probe = mmap(nullptr, bytes + kOwnRoom, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return probe != MAP_FAILED && munmap(probe, bytes + kOwnRoom) == 0;
}

// The host mapping itself, at a place that was chosen. Anything of the guest's that lay there is gone afterwards.
int64_t AddressSpace::place(uint64_t address, uint64_t bytes, int protection, int flags, int fd, int64_t offset) {
  // What it replaces makes room too.
  if (!leaves_room(flags & MAP_FIXED ? 0 : bytes)) return -ENOMEM;
  drop_code(address, bytes);
  void* made = mmap(at(address), bytes, host_protection(protection), flags, fd, offset);
  if (made == MAP_FAILED) return -errno;
  if (made != at(address)) {  // a kernel that does not know MAP_FIXED_NOREPLACE
    munmap(made, bytes);
    return -EEXIST;
  }
  Mapping mapping;
  mapping.protection = protection & kAllProtection;
  mapping.shared = (flags & MAP_TYPE) != MAP_PRIVATE;
  mapping.file = !(flags & MAP_ANONYMOUS);
  record(address, bytes, mapping);
  if (mapping.file && page_ > kPageSize) zero_tail(address, bytes, protection, fd, offset);
  return static_cast<int64_t>(address);
}

// The guest's last page of a file is zeroes beyond its end; pages of the host there would be a SIGBUS.
void AddressSpace::zero_tail(uint64_t address, uint64_t bytes, int protection, int fd, int64_t offset) {
  struct stat info;
  if (fstat(fd, &info) != 0 || info.st_size <= offset) return;
  const uint64_t inside = static_cast<uint64_t>(info.st_size - offset);
  const uint64_t from = host_page_up(inside), to = std::min(page_up(inside), bytes);
  if (from < to)
    mmap(at(address + from), to - from, host_protection(protection), MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

// A file that takes no address but of its own choice (io_uring's rings): it may lie above top_.
int64_t AddressSpace::place_by_file(uint64_t bytes, int protection, int flags, int fd, int64_t offset) {
  void* made = mmap(nullptr, bytes, host_protection(protection), flags, fd, offset);
  if (made == MAP_FAILED) return -errno;
  Mapping mapping;
  mapping.protection = protection & kAllProtection;
  mapping.shared = mapping.file = true;
  record(address_of(made), bytes, mapping);
  return static_cast<int64_t>(address_of(made));
}

int64_t AddressSpace::sys_mmap(uint64_t address, uint64_t bytes, int protection, int flags, int fd, int64_t offset) {
  if (!bytes) return -EINVAL;
  if (offset & static_cast<int64_t>(page_ - 1)) return -EINVAL;
  if (bytes > page_up(bytes)) return -ENOMEM;
  bytes = page_up(bytes);
  if (protection & ~(kAllProtection | PROT_GROWSDOWN | PROT_GROWSUP)) protection &= kAllProtection;
  const bool fixed = flags & (MAP_FIXED | MAP_FIXED_NOREPLACE);
  // x86's own flags mean nothing to the guest; the stack is mapped whole.
  const int plain = (flags & ~(MAP_FIXED | MAP_FIXED_NOREPLACE | MAP_GROWSDOWN | 0x40));
  std::unique_lock lock(mutex_);
  if (fixed) {
    if (address & (page_ - 1)) return -EINVAL;
    if (address < lowest_) return -EPERM;
    if (!in_range(address, bytes) || overlaps_hole(address, bytes)) return -ENOMEM;
    if (flags & MAP_FIXED_NOREPLACE)
      return free_range(address, bytes) ? place(address, bytes, protection, plain | MAP_FIXED_NOREPLACE, fd, offset)
                                        : -EEXIST;
    return place(address, bytes, protection, plain | MAP_FIXED, fd, offset);
  }
  address &= ~(page_ - 1);
  if (address >= lowest_ && free_range(address, bytes)) {
    const int64_t made = place(address, bytes, protection, plain | MAP_FIXED_NOREPLACE, fd, offset);
    if (made != -EEXIST) return made;
  }
  // The search goes on below what was found last, then once more from the top.
  uint64_t below = mmap_base_;
  for (int tries = 0; tries < 1000; ++tries) {
    const uint64_t candidate = find_free(bytes, below);
    if (!candidate) return -ENOMEM;
    const int64_t made = place(candidate, bytes, protection, plain | MAP_FIXED_NOREPLACE, fd, offset);
    if (made == -EINVAL && !(flags & MAP_ANONYMOUS)) return place_by_file(bytes, protection, plain, fd, offset);
    if (made != -EEXIST) return made;
    below = candidate;  // something of the host's own
  }
  return -ENOMEM;
}

int64_t AddressSpace::sys_munmap(uint64_t address, uint64_t bytes) {
  if ((address & (page_ - 1)) || !bytes || page_up(bytes) < bytes) return -EINVAL;
  bytes = page_up(bytes);
  std::unique_lock lock(mutex_);
  if ((address > top_ || bytes > top_ - address) && !mapped(address, bytes)) return -EINVAL;
  // Only what is the guest's: anything else in the range is as good as not mapped.
  const uint64_t end = address + bytes;
  auto each = split(address);
  split(end);
  each = table_.lower_bound(address);
  while (each != table_.end() && each->first < end) {
    drop_code(each->first, each->second.end - each->first);
    if (munmap(at(each->first), each->second.end - each->first) != 0) return -errno;
    each = table_.erase(each);
  }
  return 0;
}

// Pages that hold code keep a host protection without write right. 0 or -errno.
int AddressSpace::protect_host(uint64_t address, uint64_t bytes, int protection) {
  const int host = host_protection(protection);
  if (!(host & PROT_WRITE) || !any_code(address, bytes)) return mprotect(at(address), bytes, host) == 0 ? 0 : -errno;
  writable_code_seen_.store(true, std::memory_order_relaxed);
  const uint64_t end = address + bytes;
  for (uint64_t run = address; run < end;) {
    const bool code = has_code({run});
    uint64_t next = run + kPageSize;
    while (next < end && has_code({next}) == code) next += kPageSize;
    if (mprotect(at(run), next - run, code ? host & ~PROT_WRITE : host) != 0) return -errno;
    run = next;
  }
  return 0;
}

int64_t AddressSpace::sys_mprotect(uint64_t address, uint64_t bytes, int protection) {
  constexpr int kGrows = PROT_GROWSDOWN | PROT_GROWSUP, kSem = 8 /* PROT_SEM, which means nothing */;
  if ((address & (page_ - 1)) || (protection & kGrows) == kGrows) return -EINVAL;
  if (!bytes) return 0;
  bytes = page_up(bytes);
  if (address + bytes <= address) return -ENOMEM;
  if (protection & ~(kAllProtection | kGrows | kSem)) return -EINVAL;
  std::unique_lock lock(mutex_);
  if (!in_range(address, bytes) || !mapped(address, bytes)) return -ENOMEM;
  if (!(protection & PROT_EXEC)) drop_code(address, bytes);
  if (const int failed = protect_host(address, bytes, protection)) return failed;
  split(address);
  split(address + bytes);
  for (auto each = table_.lower_bound(address); each != table_.end() && each->first < address + bytes; ++each)
    each->second.protection = protection & kAllProtection;
  return 0;
}

int64_t AddressSpace::move_mapping(uint64_t old_address, uint64_t old_bytes, uint64_t new_bytes, uint64_t to,
                                   int flags) {
  const Mapping mapping = *find(old_address);
  drop_code(old_address, old_bytes ? old_bytes : page_);
  drop_code(to, new_bytes);
  void* made = mremap(at(old_address), old_bytes, new_bytes, MREMAP_MAYMOVE | MREMAP_FIXED | (flags & 4), at(to));
  if (made == MAP_FAILED) return -errno;
  if (old_bytes && !(flags & 4)) erase(old_address, old_bytes);
  record(to, new_bytes, mapping);
  return static_cast<int64_t>(to);
}

int64_t AddressSpace::sys_mremap(uint64_t old_address, uint64_t old_bytes, uint64_t new_bytes, int flags,
                                 uint64_t new_address) {
  constexpr int kDontUnmap = 4;
  if (flags & ~(MREMAP_MAYMOVE | MREMAP_FIXED | kDontUnmap)) return -EINVAL;
  if ((flags & (MREMAP_FIXED | kDontUnmap)) && !(flags & MREMAP_MAYMOVE)) return -EINVAL;
  if ((old_address & (page_ - 1)) || !new_bytes) return -EINVAL;
  old_bytes = page_up(old_bytes), new_bytes = page_up(new_bytes);
  if ((flags & kDontUnmap) && old_bytes != new_bytes) return -EINVAL;
  std::unique_lock lock(mutex_);
  if (!new_bytes) return -EINVAL;  // it was beyond the last page
  if (!find(old_address) || old_address + old_bytes < old_address) return -EFAULT;
  if (!old_bytes && !find(old_address)->shared) return -EINVAL;  // a second view of what is shared
  const bool shrinks = !(flags & (MREMAP_FIXED | kDontUnmap)) && new_bytes <= old_bytes;  // over holes too
  if (!shrinks && !mapped(old_address, std::max(old_bytes, page_))) return -EFAULT;
  if (flags & MREMAP_FIXED) {
    if (new_address & (page_ - 1)) return -EINVAL;
    if (!in_range(new_address, new_bytes) || overlaps_hole(new_address, new_bytes)) return -ENOMEM;
    if (new_address < old_address + old_bytes && old_address < new_address + new_bytes) return -EINVAL;
    return move_mapping(old_address, old_bytes, new_bytes, new_address, flags);
  }
  if (shrinks) {
    if (new_bytes == old_bytes) return static_cast<int64_t>(old_address);
    lock.unlock();
    const int64_t done = sys_munmap(old_address + new_bytes, old_bytes - new_bytes);
    return done < 0 ? done : static_cast<int64_t>(old_address);
  }
  if (find(old_address)->end < old_address + old_bytes) return -EFAULT;  // more than one mapping
  if (!(flags & kDontUnmap) && old_bytes && free_range(old_address + old_bytes, new_bytes - old_bytes)) {
    void* made = leaves_room(new_bytes - old_bytes) ? mremap(at(old_address), old_bytes, new_bytes, 0) : MAP_FAILED;
    if (made != MAP_FAILED) {
      const Mapping mapping = *find(old_address);
      record(old_address + old_bytes, new_bytes - old_bytes, mapping);
      return static_cast<int64_t>(old_address);
    }
    if (errno != ENOMEM) return -errno;
  }
  if (!(flags & MREMAP_MAYMOVE)) return -ENOMEM;
  if (!leaves_room(new_bytes)) return -ENOMEM;
  // Keep the new place first, so that nothing of the host's own is overwritten.
  uint64_t below = mmap_base_;
  for (int tries = 0; tries < 1000; ++tries) {
    const uint64_t candidate = find_free(new_bytes, below);
    if (!candidate) return -ENOMEM;
    void* kept = mmap(at(candidate), new_bytes, PROT_NONE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED_NOREPLACE, -1, 0);
    if (kept == at(candidate)) {
      const int64_t moved = move_mapping(old_address, old_bytes, new_bytes, candidate, flags);
      if (moved < 0) munmap(kept, new_bytes);
      return moved;
    }
    if (kept != MAP_FAILED)
      munmap(kept, new_bytes);
    else if (errno != EEXIST)
      return -errno;
    below = candidate;
  }
  return -ENOMEM;
}

int64_t AddressSpace::sys_madvise(uint64_t address, uint64_t bytes, int advice) {
  if ((address & (page_ - 1)) || page_up(bytes) < bytes) return -EINVAL;
  bytes = page_up(bytes);
  // Advice about what a fork copies or drops would reach the emulator's own pages only if the range did.
  std::unique_lock lock(mutex_);
  if (address + bytes < address) return -EINVAL;
  // The advice is looked at first.
  if (!bytes || !mapped(address, bytes)) return madvise(nullptr, 0, advice) != 0 ? -errno : bytes ? -ENOMEM : 0;
  if (advice == MADV_DONTNEED || advice == MADV_FREE || advice == MADV_REMOVE ||
      advice == 24 /* MADV_DONTNEED_LOCKED */)
    drop_code(address, bytes);
  return madvise(at(address), bytes, advice) == 0 ? 0 : -errno;
}

int64_t AddressSpace::sys_brk(uint64_t address) {
  std::unique_lock lock(mutex_);
  if (address < brk_start_) return static_cast<int64_t>(brk_);
  const uint64_t old_end = page_up(brk_), new_end = page_up(address);
  if (new_end > old_end) {
    if (!free_range(old_end, new_end - old_end)) return static_cast<int64_t>(brk_);
    if (place(old_end, new_end - old_end, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
              0) < 0)
      return static_cast<int64_t>(brk_);
  } else if (new_end < old_end) {
    drop_code(new_end, old_end - new_end);
    munmap(at(new_end), old_end - new_end);
    erase(new_end, old_end - new_end);
  }
  brk_ = address;
  return static_cast<int64_t>(brk_);
}

int64_t AddressSpace::sys_shmat(int id, uint64_t address, int flags) {
  shmid_ds info{};
  if (shmctl(id, IPC_STAT, &info) != 0) return -errno;
  const uint64_t bytes = page_up(info.shm_segsz);
  std::unique_lock lock(mutex_);
  if (address & (page_ - 1)) {
    if (!(flags & SHM_RND)) return -EINVAL;
    address &= ~(page_ - 1);
  }
  const bool remap = flags & SHM_REMAP;
  if (!address) {
    if (remap) return -EINVAL;
    address = find_free(bytes, mmap_base_);
    if (!address) return -ENOMEM;
  } else if (!in_range(address, bytes) || overlaps_hole(address, bytes) || (!remap && !free_range(address, bytes))) {
    return -EINVAL;
  }
  drop_code(address, bytes);
  void* made = shmat(id, at(address), (flags & ~(SHM_RND | SHM_EXEC)));
  if (made == reinterpret_cast<void*>(-1)) return -errno;
  Mapping mapping;
  mapping.protection = PROT_READ | (flags & SHM_RDONLY ? 0 : PROT_WRITE) | (flags & SHM_EXEC ? PROT_EXEC : 0);
  mapping.shared = mapping.file = true;
  record(address, bytes, mapping);
  attached_[address] = bytes;
  return static_cast<int64_t>(address);
}

int64_t AddressSpace::sys_shmdt(uint64_t address) {
  std::unique_lock lock(mutex_);
  auto found = attached_.find(address);
  if (found == attached_.end()) return -EINVAL;
  drop_code(address, found->second);
  if (shmdt(at(address)) != 0) return -errno;
  erase(address, found->second);
  attached_.erase(found);
  return 0;
}

}  // namespace lyre::linux_user
