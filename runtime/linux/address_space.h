// AddressSpace: the guest process's memory: a table of what the guest has mapped, and the host mappings behind it. A
// guest address is a host address. The guest owns [lowest, top); everything above, and the holes listed at start, is
// the emulator's: MAP_FIXED onto it is ENOMEM.
//
// Invariants: what the table lists is mapped in the host, with the guest's protection but for two things: nothing is
// ever executable in the host (guest execute rights become read rights), and a page that translated code was made from
// is not writable. A store to such a page faults; write_fault() then drops its code and gives the right back.
//
// Threads: any. Changes take the lock exclusively, translation and look-ups share it. Lock order: this lock, then the
// code cache's. Functions named sys_* return what the system call does: a value or -errno.
#pragma once
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <new>
#include <shared_mutex>
#include <vector>

#include "runtime/base/writer_first_mutex.h"
#include "runtime/exec/code_cache.h"
#include "runtime/exec/code_source.h"
#include "runtime/exec/fetch_tlb.h"

namespace lyre::linux_user {

struct Mapping {
  uint64_t end = 0;    // the table's key is the start
  int protection = 0;  // guest's PROT_*
  bool shared = false;
  bool file = false;
};

class AddressSpace final : public runtime::CodeMemorySource, public runtime::CodeFetcher {
 public:
  AddressSpace();
  ~AddressSpace() override;
  void set_cache(runtime::CodeCache* cache) { cache_ = cache; }

  // The guest's page: what its addresses and lengths are rounded to. A multiple of the host's, which code is tracked by.
  uint64_t page_bytes() const { return page_; }
  void set_page_bytes(uint64_t bytes) { page_ = bytes, mmap_base_ &= ~(bytes - 1), top_ &= ~(bytes - 1); }
  uint64_t page_up(uint64_t value) const { return (value + page_ - 1) & ~(page_ - 1); }
  uint64_t lowest() const { return lowest_; }
  uint64_t top() const { return top_; }
  // Where the guest's own mappings are placed from, downwards.
  uint64_t mmap_base() const { return mmap_base_; }
  void set_mmap_base(uint64_t base) { mmap_base_ = base; }
  // The guest's addresses end at `end` (-R), or where they did if that is less. Before anything is mapped.
  void end_at(uint64_t end);
  // Where the host limits the process's memory: so much more, and the emulator still has room of its own. (any thread)
  bool leaves_room(uint64_t bytes) const;

  int64_t sys_mmap(uint64_t address, uint64_t bytes, int protection, int flags, int fd, int64_t offset);
  int64_t sys_munmap(uint64_t address, uint64_t bytes);
  int64_t sys_mprotect(uint64_t address, uint64_t bytes, int protection);
  int64_t sys_mremap(uint64_t old_address, uint64_t old_bytes, uint64_t new_bytes, int flags, uint64_t new_address);
  int64_t sys_madvise(uint64_t address, uint64_t bytes, int advice);
  int64_t sys_brk(uint64_t address);
  int64_t sys_shmat(int id, uint64_t address, int flags);
  int64_t sys_shmdt(uint64_t address);
  void set_brk(uint64_t start) { brk_start_ = brk_ = start; }
  uint64_t brk_start() const { return brk_start_; }

  // The guest's rights at an address: PROT_*, or -1 where nothing is mapped.
  int protection_at(uint64_t address);
  // The whole range is mapped with at least these rights.
  bool allows(uint64_t address, uint64_t bytes, int protection);
  // A store faulted with an access error. True: the page held translated code, which is dropped; the store may be tried
  // again.
  bool write_fault(uint64_t address);
  // The kernel is about to write guest memory there: code made from it is dropped and the pages become writable.
  void about_to_write(uint64_t address, uint64_t bytes);
  // The guest says that code in [first, end) is new (0, 0: anywhere). Shared pages may have been written through another mapping, unseen: what was made
  // from them is dropped.
  void flush_shared_code(uint64_t first, uint64_t end);
  // Memory was written past its rights, by a debugger: code made from it is dropped.
  void code_changed(uint64_t address, uint64_t bytes);
  WriterFirstMutex& mutex() { return mutex_; }
  // The C library knows the owner of a write lock by its thread number, which a forked child has not.
  void unlock_after_fork(bool child) {
    if (child)
      new (&mutex_) WriterFirstMutex;
    else
      mutex_.unlock();
  }
  std::map<uint64_t, Mapping> snapshot();
  // Where another process's emulator finds the table (proc_maps.cpp).
  uint64_t table_head() { return reinterpret_cast<uint64_t>(table_.end()._M_node); }
  // All that is mapped, or only private memory that may be written.
  uint64_t mapped_bytes(bool data_only);
  // A debugger's access, whatever the guest's rights are; code that is written over is dropped. False: not all of it is
  // the guest's, or the host does not let it be changed.
  bool peek(uint64_t address, void* to, size_t bytes);
  bool poke(uint64_t address, const void* from, size_t bytes);

  // CodeMemorySource
  bool has_code(Gpa address) const override;
  bool watch(Gpa page) override;
  void unwatch(Gpa page) override;
  const uint8_t* bytes(Gpa, uint64_t) const override { return nullptr; }
  // CodeFetcher; the lock is held shared. The result is this thread's until its next call.
  const runtime::FetchEntry* fetch_page(Gva pc, ir::Fault& fault) override;

 private:
  using Table = std::map<uint64_t, Mapping>;
  static constexpr unsigned kRootBits = 11, kMiddleBits = 12, kLeafBits = 12;  // of a 47-bit address: pages of 4 KiB
  struct Leaf {
    std::atomic<uint64_t> code[(size_t{1} << kLeafBits) / 64];
  };
  struct Middle {
    std::atomic<Leaf*> leaves[size_t{1} << kMiddleBits];
  };
  Leaf* leaf(uint64_t address, bool make);
  const Leaf* leaf(uint64_t address) const { return const_cast<AddressSpace*>(this)->leaf(address, false); }

  void find_emulator();
  bool in_range(uint64_t address, uint64_t bytes) const;
  bool overlaps_hole(uint64_t address, uint64_t bytes) const;
  bool free_range(uint64_t address, uint64_t bytes) const;
  uint64_t find_free(uint64_t bytes, uint64_t below) const;
  Table::iterator split(uint64_t at);
  void record(uint64_t address, uint64_t bytes, const Mapping& mapping);
  void erase(uint64_t address, uint64_t bytes);
  bool mapped(uint64_t address, uint64_t bytes) const;
  const Mapping* find(uint64_t address) const;
  void drop_code(uint64_t address, uint64_t bytes);
  bool any_code(uint64_t address, uint64_t bytes) const;
  int64_t place(uint64_t address, uint64_t bytes, int protection, int flags, int fd, int64_t offset);
  void zero_tail(uint64_t address, uint64_t bytes, int protection, int fd, int64_t offset);
  int64_t place_by_file(uint64_t bytes, int protection, int flags, int fd, int64_t offset);
  int64_t move_mapping(uint64_t old_address, uint64_t old_bytes, uint64_t new_bytes, uint64_t to, int flags);
  int protect_host(uint64_t address, uint64_t bytes, int protection);
  template <typename Function>
  bool with_rights(uint64_t address, size_t bytes, int rights, Function copy);

  runtime::CodeCache* cache_ = nullptr;
  WriterFirstMutex mutex_;
  Table table_;
  std::map<uint64_t, uint64_t> attached_;  // shmat: address -> bytes
  uint64_t page_ = kPageSize;
  uint64_t lowest_ = 0, top_ = 0, mmap_base_ = 0, last_free_ = 0;
  std::vector<std::pair<uint64_t, uint64_t>> holes_;  // emulator's memory below top_: start, end
  uint64_t brk_start_ = 0, brk_ = 0;
  bool limited_ = false;  // the host limits the process's memory (RLIMIT_AS)
  std::atomic<Middle*> root_[size_t{1} << kRootBits] = {};
  std::atomic<bool> shared_code_seen_{false};    // there was a page of a shared mapping that holds code
  std::atomic<bool> writable_code_seen_{false};  // there was a page that the guest may write and that holds code
};

// mmap protection and flags of the host for what the guest asks; PROT_EXEC never reaches the host.
int host_protection(int guest);

}  // namespace lyre::linux_user
