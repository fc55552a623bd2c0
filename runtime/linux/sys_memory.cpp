// System calls about memory: the mmap family goes through the table of guest mappings.
#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include "runtime/linux/sys_io_uring.h"
#include "runtime/linux/syscall.h"

namespace lyre::linux_user {
namespace {

AddressSpace& space(SyscallCall& call) { return call.process.space(); }

// What RLIMIT_AS and, for private memory that may be written, RLIMIT_DATA say to `bytes` more.
bool over_limit(SyscallCall& c, uint64_t bytes, bool data) {
  const rlim_t all = c.thread.limits().get(RLIMIT_AS).rlim_cur, some = c.thread.limits().get(RLIMIT_DATA).rlim_cur;
  if (all != RLIM_INFINITY && (bytes > all || space(c).mapped_bytes(false) > all - bytes)) return true;
  return data && some != RLIM_INFINITY && (bytes > some || space(c).mapped_bytes(true) > some - bytes);
}

int64_t sys_brk(SyscallCall& c) {
  const uint64_t now = static_cast<uint64_t>(space(c).sys_brk(0));
  return c[0] > now && over_limit(c, c[0] - now, true) ? static_cast<int64_t>(now) : space(c).sys_brk(c[0]);
}
int64_t sys_mmap(SyscallCall& c) {
  if (over_limit(c, c[1], (c[2] & PROT_WRITE) && (c[3] & MAP_TYPE) == MAP_PRIVATE)) return -ENOMEM;
  const int64_t made = space(c).sys_mmap(c[0], c[1], c.i(2), c.i(3), c.i(4), static_cast<int64_t>(c[5]));
  if (made > 0 && !(c[3] & MAP_ANONYMOUS)) note_ring_mapping(c.i(4), c[5], static_cast<uint64_t>(made));
  return made;
}
int64_t sys_munmap(SyscallCall& c) { return space(c).sys_munmap(c[0], c[1]); }
int64_t sys_mprotect(SyscallCall& c) { return space(c).sys_mprotect(c[0], c[1], c.i(2)); }
int64_t sys_mremap(SyscallCall& c) {
  if (c[2] > c[1] && over_limit(c, c[2] - c[1], false)) return -ENOMEM;
  return space(c).sys_mremap(c[0], c[1], c[2], c.i(3), c[4]);
}
int64_t sys_madvise(SyscallCall& c) { return space(c).sys_madvise(c[0], c[1], c.i(2)); }
int64_t sys_shmat(SyscallCall& c) { return space(c).sys_shmat(c.i(0), c[1], c.i(2)); }
int64_t sys_shmdt(SyscallCall& c) { return space(c).sys_shmdt(c[0]); }

// Code of the range may have been written through another mapping: everything made from it is made anew.
int64_t sys_flush_icache(SyscallCall& c) {
  if (c[2] & ~uint64_t{1}) return -EINVAL;
  space(c).flush_shared_code(c[0], c[1]);  // stores to private pages are seen as they happen
  return 0;
}

int64_t sys_pkey_mprotect(SyscallCall& c) { return c.i(3) == -1 ? space(c).sys_mprotect(c[0], c[1], c.i(2)) : -EINVAL; }
int64_t no_pkeys(SyscallCall&) { return -ENOSPC; }  // riscv64 has none; that is what the kernel says then
int64_t invalid(SyscallCall&) { return -EINVAL; }

using Row = SyscallRow;
constexpr Row kRows[] = {
    Row::emulate(Sys::brk, "p", sys_brk),
    Row::emulate(Sys::mmap, "puxxfu", sys_mmap),
    Row::emulate(Sys::munmap, "pu", sys_munmap),
    Row::emulate(Sys::mprotect, "pux", sys_mprotect),
    Row::emulate(Sys::mremap, "puuxp", sys_mremap),
    Row::emulate(Sys::madvise, "pud", sys_madvise),
    Row::emulate(Sys::shmat, "dpx", sys_shmat),
    Row::emulate(Sys::shmdt, "p", sys_shmdt),
    Row::emulate(Sys::riscv_flush_icache, "ppx", sys_flush_icache),
    Row::emulate(Sys::pkey_mprotect, "puxd", sys_pkey_mprotect),
    Row::emulate(Sys::pkey_alloc, "xx", no_pkeys),
    Row::emulate(Sys::pkey_free, "d", invalid),
    Row::none(Sys::remap_file_pages, "puxux",
              "the kernel itself emulates it by mmap; nothing built for riscv64 calls it"),
    Row::pass(Sys::msync, "pux"),
    Row::pass(Sys::mlock, "pu"),
    Row::pass(Sys::mlock2, "pux"),
    Row::pass(Sys::munlock, "pu"),
    Row::pass(Sys::mincore, "puw"),
    Row::none(Sys::mlockall, "x", "it would lock the emulator's own memory"),
    Row::none(Sys::munlockall, "", "mlockall is not offered"),
    Row::pass(Sys::mbind, "puxpux"),
    Row::pass(Sys::get_mempolicy, "wwuux"),
    Row::pass(Sys::set_mempolicy, "dpu"),
    Row::pass(Sys::set_mempolicy_home_node, "puux"),
    Row::pass(Sys::migrate_pages, "dupp"),
    Row::pass(Sys::move_pages, "duppwx"),
    Row::pass(Sys::process_madvise, "fpudx"),
    Row::pass(Sys::process_mrelease, "fx"),
    Row::pass(Sys::memfd_create, "tx"),
    Row::pass(Sys::memfd_secret, "x"),
    Row::none(Sys::map_shadow_stack, "pux", "riscv64 of 6.12 has no user shadow stacks"),
    Row::none(Sys::mseal, "pux", "sealed ranges must hold against the emulator's own protection of code pages"),
    Row::none(Sys::userfaultfd, "x",
              "pages that are missing until another thread delivers them would stop the translator"),
    Row::pass(Sys::membarrier, "dxd"),
};

}  // namespace

std::span<const SyscallRow> memory_syscalls() { return kRows; }

}  // namespace lyre::linux_user
