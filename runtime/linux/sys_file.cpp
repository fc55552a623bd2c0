// System calls about files by name, and stat.
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <algorithm>

#include "runtime/linux/mem_files.h"
#include "runtime/linux/proc_files.h"
#include "runtime/linux/proc_names.h"
#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/syscall.h"

namespace lyre::linux_user {
namespace {

// struct stat of asm-generic/stat.h, 64-bit.
struct GenericStat {
  uint64_t device, inode;
  uint32_t mode, links, user, group;
  uint64_t special_device, pad1;
  int64_t bytes;
  int32_t block_bytes, pad2;
  int64_t blocks;
  int64_t accessed;
  uint64_t accessed_ns;
  int64_t modified;
  uint64_t modified_ns;
  int64_t changed;
  uint64_t changed_ns;
  uint32_t unused[2];
};
static_assert(sizeof(GenericStat) == 128);

int64_t put_stat(SyscallCall& c, uint64_t address, const struct stat& host) {
  GenericStat guest{};
  guest.device = host.st_dev, guest.inode = host.st_ino;
  guest.mode = host.st_mode, guest.links = static_cast<uint32_t>(host.st_nlink);
  guest.user = host.st_uid, guest.group = host.st_gid, guest.special_device = host.st_rdev;
  guest.bytes = host.st_size, guest.block_bytes = static_cast<int32_t>(host.st_blksize), guest.blocks = host.st_blocks;
  guest.accessed = host.st_atim.tv_sec, guest.accessed_ns = static_cast<uint64_t>(host.st_atim.tv_nsec);
  guest.modified = host.st_mtim.tv_sec, guest.modified_ns = static_cast<uint64_t>(host.st_mtim.tv_nsec);
  guest.changed = host.st_ctim.tv_sec, guest.changed_ns = static_cast<uint64_t>(host.st_ctim.tv_nsec);
  return c.memory.put(address, guest) ? 0 : -EFAULT;
}

int64_t sys_fstat(SyscallCall& c) {
  struct stat host;
  const int64_t result = host_syscall(SYS_fstat, c[0], reinterpret_cast<uint64_t>(&host));
  return result < 0 ? result : put_stat(c, c[1], host);
}

int64_t sys_newfstatat(SyscallCall& c) {
  struct stat host;
  uint64_t path = c[1];
  std::string other;
  if (!c.process.options.prefix.empty()) {
    if (auto text = c.memory.text(path); text && text->starts_with('/'))
      other = c.process.host_path(*text, follows_last(c)), path = reinterpret_cast<uint64_t>(other.c_str());
  }
  const int64_t result = c.thread.call_host(SYS_newfstatat, c[0], path, reinterpret_cast<uint64_t>(&host), c[3]);
  return result < 0 ? result : put_stat(c, c[2], host);
}

// Files of /proc that speak of the emulator are made up; all others are the host's.
int64_t open_path(SyscallCall& c, int flags, int64_t (*open)(SyscallCall&)) {
  auto path = c.memory.text(c[1]);
  if (path) path = full_proc_name(c.i(0), *path);
  if (path && path->starts_with("/proc/")) {
    const int64_t made = open_proc_file(c.process, *path, flags);
    if (made != -ENOENT) return made;
    const int64_t fd = open(c);
    if (fd >= 0) opened_proc_file(static_cast<int>(fd), *path, flags);
    return fd;
  }
  return open(c);
}
int64_t sys_openat(SyscallCall& c) { return open_path(c, c.i(2), pass_on); }
int64_t sys_openat2(SyscallCall& c) {
  uint64_t how[3];
  if (c[3] < sizeof how) return -EINVAL;
  if (c[3] > kPageSize) return -E2BIG;
  if (!c.memory.get(c[2], how)) return -EFAULT;
  // Whether the way there is allowed is for the host to say, also of a file that is made up.
  if (how[2]) {
    const int64_t reached = pass_on(c);
    if (reached < 0) return reached;
    host_syscall(SYS_close, static_cast<uint64_t>(reached));
  }
  return open_path(c, static_cast<int>(how[0]), pass_on);
}

int64_t sys_readlinkat(SyscallCall& c) {
  auto path = c.memory.text(c[1]);
  const auto target = path ? named_program(c.process, c.i(0), *path) : std::nullopt;
  if (!target) return pass_on(c);
  if (c.i(3) <= 0) return -EINVAL;
  const size_t bytes = std::min<size_t>(target->size(), c[3]);
  return c.memory.write(c[2], target->data(), bytes) ? static_cast<int64_t>(bytes) : -EFAULT;
}

using Row = SyscallRow;
constexpr Row kRows[] = {
    Row::convert(Sys::openat, "FsOo", sys_openat),
    Row::convert(Sys::openat2, "Fspu", sys_openat2),
    Row::pass(Sys::open_by_handle_at, "fpO"),
    Row::pass(Sys::name_to_handle_at, "Fswwx"),
    Row::convert(Sys::newfstatat, "Fswx", sys_newfstatat),
    Row::convert(Sys::fstat, "fw", sys_fstat),
    Row::pass(Sys::statx, "Fsxxw"),
    Row::pass(Sys::statfs, "sw"),
    Row::pass(Sys::fstatfs, "fw"),
    Row::convert(Sys::readlinkat, "FlWu", sys_readlinkat),
    Row::pass(Sys::faccessat, "Fso"),
    Row::pass(Sys::faccessat2, "Fsox"),
    Row::pass(Sys::chdir, "s"),
    Row::pass(Sys::fchdir, "f"),
    Row::pass(Sys::chroot, "s"),
    Row::pass(Sys::getcwd, "Wu"),
    Row::pass(Sys::fchmod, "fo"),
    Row::pass(Sys::fchmodat, "Fso"),
    Row::pass(Sys::fchmodat2, "Fsox"),
    Row::pass(Sys::fchown, "fdd"),
    Row::pass(Sys::fchownat, "Fsddx"),
    Row::pass(Sys::mknodat, "Flox"),
    Row::pass(Sys::mkdirat, "Flo"),
    Row::pass(Sys::unlinkat, "Flx"),
    Row::pass(Sys::symlinkat, "tFl"),
    Row::pass(Sys::linkat, "FsFlx"),
    Row::pass(Sys::renameat2, "FlFlx"),
    Row::pass(Sys::truncate, "su"),
    Row::pass(Sys::utimensat, "Fspx"),
    Row::pass(Sys::setxattr, "stbux"),
    Row::pass(Sys::lsetxattr, "ltbux"),
    Row::pass(Sys::fsetxattr, "ftbux"),
    Row::pass(Sys::getxattr, "stWu"),
    Row::pass(Sys::lgetxattr, "ltWu"),
    Row::pass(Sys::fgetxattr, "ftWu"),
    Row::pass(Sys::listxattr, "sWu"),
    Row::pass(Sys::llistxattr, "lWu"),
    Row::pass(Sys::flistxattr, "fWu"),
    Row::pass(Sys::removexattr, "st"),
    Row::pass(Sys::lremovexattr, "lt"),
    Row::pass(Sys::fremovexattr, "ft"),
    Row::pass(Sys::umask, "o"),
    Row::pass(Sys::mount, "ttttp"),  // mounts are the host's: -L hides none
    Row::pass(Sys::umount2, "tx"),
    Row::pass(Sys::pivot_root, "ss"),
    Row::pass(Sys::open_tree, "Fsx"),
    Row::pass(Sys::move_mount, "FsFsx"),
    Row::pass(Sys::fsopen, "tx"),
    Row::pass(Sys::fsconfig, "fxtpd"),
    Row::pass(Sys::fsmount, "fxx"),
    Row::pass(Sys::fspick, "Fsx"),
    Row::pass(Sys::mount_setattr, "Fsxpu"),
    Row::pass(Sys::statmount, "pWux"),
    Row::pass(Sys::listmount, "pwux"),
    Row::pass(Sys::inotify_init1, "x"),
    Row::pass(Sys::inotify_add_watch, "fsx"),
    Row::pass(Sys::inotify_rm_watch, "fd"),
    Row::pass(Sys::fanotify_init, "xx"),
    Row::pass(Sys::fanotify_mark, "fxxFs"),
    Row::pass(Sys::sync, ""),
    Row::pass(Sys::syncfs, "f"),
    Row::pass(Sys::quotactl, "xsdp"),
    Row::pass(Sys::quotactl_fd, "fxdp"),
    Row::pass(Sys::acct, "s"),
    Row::pass(Sys::swapon, "sx"),
    Row::pass(Sys::swapoff, "s"),
    Row::none(Sys::lookup_dcookie, "xWu", "6.12 has none: it left with oprofile"),
    Row::none(Sys::nfsservctl, "xpp", "6.12 has none"),
};

}  // namespace

std::span<const SyscallRow> file_syscalls() { return kRows; }

}  // namespace lyre::linux_user
