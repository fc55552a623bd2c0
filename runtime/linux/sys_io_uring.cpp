// io_uring (io_uring_setup(2), io_uring_enter(2)). Rings, entries and results are alike on all processors, and a guest
// address is a host address, so the host's kernel works on the guest's rings itself. Entries are looked at when they
// are submitted, for what another system call would be converted for: epoll events, paths under -L, buffers on pages of
// translated code, the emulator's own descriptors. They are as the guest wrote them again when the call is over.
//
// For that the rings are found by their descriptor. What hides them is refused as by a kernel that does not know it:
// a kernel thread that takes entries by itself, rings in memory of the program's own, rings known by an index.
#include <errno.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#include <deque>
#include <map>
#include <mutex>

#include "runtime/linux/own_files.h"
#include "runtime/linux/sys_io_uring.h"
#include "runtime/linux/syscall.h"

namespace lyre::linux_user {
namespace {

// Of newer headers (Linux 6.5 and 6.6).
constexpr uint32_t kSetupNoMmap = 1u << 14, kSetupRegisteredOnly = 1u << 15, kSetupNoArray = 1u << 16;
constexpr uint32_t kRefusedSetup = IORING_SETUP_SQPOLL | kSetupNoMmap | kSetupRegisteredOnly;
constexpr uint32_t kRegisterUsesIndex = 1u << 31;  // IORING_REGISTER_USE_REGISTERED_RING
constexpr uint32_t kResizeRings = 33;              // IORING_REGISTER_RESIZE_RINGS, Linux 6.13

struct Ring {
  uint32_t flags = 0;
  io_sqring_offsets offsets{};
  uint64_t queue = 0, entries = 0;  // where the guest has mapped them; 0: not yet
};
std::mutex g_mutex;
std::map<int, Ring> g_rings;
std::atomic<bool> g_any{false};

int64_t sys_setup(SyscallCall& c) {
  io_uring_params params;
  if (!c.memory.get(c[1], params)) return -EFAULT;
  if (params.flags & kRefusedSetup) return -EINVAL;
  const int64_t fd = pass_on(c);
  if (fd < 0) return fd;
  if (!c.memory.get(c[1], params)) return -EFAULT;
  std::lock_guard lock(g_mutex);
  g_rings[static_cast<int>(fd)] = {params.flags, params.sq_off, 0, 0};
  g_any.store(true, std::memory_order_release);
  return fd;
}

// ---- entries on their way into the kernel

class Submission {
 public:
  Submission(SyscallCall& call, const Ring& ring) : call_(call), ring_(ring) {}

  // Looks at what `count` entries would be taken. False: they can not be read.
  bool prepare(uint32_t count) {
    uint32_t head = 0, tail = 0, mask = 0;
    const GuestMemory& memory = call_.memory;
    if (!memory.get(ring_.queue + ring_.offsets.head, head) || !memory.get(ring_.queue + ring_.offsets.tail, tail) ||
        !memory.get(ring_.queue + ring_.offsets.ring_mask, mask))
      return false;
    const uint64_t bytes = ring_.flags & IORING_SETUP_SQE128 ? 128 : 64;
    for (count = std::min({count, tail - head, mask + 1}); count; --count, ++head) {
      uint32_t index = head & mask;
      if (!(ring_.flags & kSetupNoArray) && !memory.get(ring_.queue + ring_.offsets.array + 4ull * index, index))
        return false;
      if (index > mask) continue;  // the kernel drops it
      if (!prepare_entry(ring_.entries + index * bytes)) return false;
    }
    return true;
  }
  // The entries are the guest's again.
  ~Submission() {
    for (auto kept = changed_.rbegin(); kept != changed_.rend(); ++kept) call_.memory.put(kept->address, kept->entry);
  }

 private:
  struct Kept {
    uint64_t address;
    io_uring_sqe entry;
  };

  bool prepare_entry(uint64_t address) {
    io_uring_sqe entry;
    if (!call_.memory.get(address, entry)) return false;
    const io_uring_sqe before = entry;
    switch (entry.opcode) {
      case IORING_OP_EPOLL_CTL:
        convert_event(entry);
        break;
      case IORING_OP_OPENAT:
      case IORING_OP_OPENAT2:
      case IORING_OP_STATX:
      case IORING_OP_UNLINKAT:
      case IORING_OP_MKDIRAT:
        entry.addr = path(entry.addr);
        break;
      case IORING_OP_RENAMEAT:
      case IORING_OP_LINKAT:
        entry.addr = path(entry.addr);
        [[fallthrough]];
      case IORING_OP_SYMLINKAT:
        entry.addr2 = path(entry.addr2);
        break;
      case IORING_OP_READ:
      case IORING_OP_READ_FIXED:
      case IORING_OP_RECV:
        call_.memory.space().about_to_write(entry.addr, entry.len);
        break;
      case IORING_OP_CLOSE:
        if (is_own_file(entry.fd)) entry.fd = -1;
        break;
      default:
        break;
    }
    if (memcmp(&entry, &before, sizeof entry) == 0) return true;
    changed_.push_back({address, before});
    return call_.memory.put(address, entry);
  }

  // struct epoll_event is packed on x86-64 and nowhere else. An address that can not be read is the kernel's to refuse.
  void convert_event(io_uring_sqe& entry) {
    struct {
      uint32_t events, pad;
      uint64_t data;
    } guest;
    if (entry.len == EPOLL_CTL_DEL || !call_.memory.get(entry.addr, guest)) return;
    epoll_event& event = events_.emplace_back();
    event.events = guest.events, event.data.u64 = guest.data;
    entry.addr = reinterpret_cast<uint64_t>(&event);
  }
  uint64_t path(uint64_t address) {
    if (call_.process.options.prefix.empty()) return address;
    auto text = call_.memory.text(address);
    if (!text || !text->starts_with('/')) return address;
    return reinterpret_cast<uint64_t>(paths_.emplace_back(call_.process.host_path(*text)).c_str());
  }

  SyscallCall& call_;
  const Ring& ring_;
  std::deque<Kept> changed_;
  std::deque<epoll_event> events_;
  std::deque<std::string> paths_;
};

// The mask under which the call waits, for handlers that end it.
bool note_mask(SyscallCall& c) {
  if (!(c[3] & IORING_ENTER_GETEVENTS) || !c[4]) return true;
  uint64_t address = c[4], mask = 0;
  if (c[3] & IORING_ENTER_EXT_ARG) {
    io_uring_getevents_arg argument;
    if (!c.memory.get(c[4], argument)) return false;
    address = argument.sigmask;
  }
  if (!address) return true;
  if (!c.memory.get(address, mask)) return false;
  c.thread.set_call_mask(mask);
  return true;
}

int64_t sys_enter(SyscallCall& c) {
  if (c[3] & IORING_ENTER_REGISTERED_RING) return -EINVAL;
  if (!note_mask(c)) return -EFAULT;
  const auto count = static_cast<uint32_t>(c[1]);
  if (!count) return pass_on(c);
  Ring ring;
  {
    std::lock_guard lock(g_mutex);
    auto found = g_rings.find(c.i(0));
    if (found == g_rings.end() || !found->second.queue || !found->second.entries) return -EOPNOTSUPP;
    ring = found->second;
  }
  Submission submission(c, ring);
  if (!submission.prepare(count)) return -EFAULT;
  return pass_on(c);
}

int64_t sys_register(SyscallCall& c) {
  const auto what = static_cast<uint32_t>(c[1]);
  if ((what & kRegisterUsesIndex) || what == IORING_REGISTER_RING_FDS || what == kResizeRings) return -EINVAL;
  return pass_on(c);
}

using Row = SyscallRow;
constexpr Row kRows[] = {
    Row::convert(Sys::io_uring_setup, "uw", sys_setup),
    Row::convert(Sys::io_uring_enter, "fuuxpu", sys_enter),
    Row::convert(Sys::io_uring_register, "fxpu", sys_register),
};

}  // namespace

void note_ring_mapping(int fd, uint64_t offset, uint64_t address) {
  if (!g_any.load(std::memory_order_acquire)) return;
  std::lock_guard lock(g_mutex);
  auto ring = g_rings.find(fd);
  if (ring == g_rings.end()) return;
  if (offset == IORING_OFF_SQ_RING) ring->second.queue = address;
  if (offset == IORING_OFF_SQES) ring->second.entries = address;
}

void lock_rings() { g_mutex.lock(); }
void unlock_rings() { g_mutex.unlock(); }

std::span<const SyscallRow> io_uring_syscalls() { return kRows; }

}  // namespace lyre::linux_user
