// The list of families, names and numbers, and what all calls have in common.
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/mount.h>

#include "runtime/base/log.h"
#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/syscall.h"

namespace lyre::linux_user {
namespace {

struct Name {
  char text[24];
  int16_t generic, host;
};
constexpr Name kNames[] = {
#define LYRE_SYSCALL(name, generic, host) {#name, generic, host},
#include "runtime/linux/syscall_names.def"
#undef LYRE_SYSCALL
};

// iovec arrays whose buffers the kernel writes.
void about_to_fill(SyscallCall& call, uint64_t array, uint64_t count) {
  for (uint64_t k = 0; k < count && k < 1024; ++k) {
    struct {
      uint64_t base, bytes;
    } each;
    if (!call.memory.get(array + 16 * k, each)) return;
    call.memory.space().about_to_write(each.base, each.bytes);
  }
}

}  // namespace

std::span<const std::span<const SyscallRow>> all_syscalls() {
  static const std::span<const SyscallRow> kFamilies[] = {file_syscalls(),    descriptor_syscalls(), memory_syscalls(), io_uring_syscalls(),
                                                          process_syscalls(), signal_syscalls(),     time_syscalls(),
                                                          network_syscalls(), ipc_syscalls(),        system_syscalls()};
  return kFamilies;
}

const char* syscall_name(Sys id) { return kNames[static_cast<unsigned>(id)].text; }
int host_number(Sys id) { return kNames[static_cast<unsigned>(id)].host; }
unsigned generic_number(Sys id) { return static_cast<unsigned>(kNames[static_cast<unsigned>(id)].generic); }

bool follows_last(const SyscallCall& call) {
  switch (call.row->id) {
    case Sys::openat:
      return !(call[2] & O_NOFOLLOW) && (call[2] & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
    case Sys::openat2: {
      uint64_t flags = 0;
      return !call.memory.get(call[2], flags) || !(flags & O_NOFOLLOW);
    }
    case Sys::statx:
    case Sys::open_tree:
    case Sys::mount_setattr:
      return !(call[2] & AT_SYMLINK_NOFOLLOW);
    case Sys::newfstatat:
    case Sys::utimensat:
    case Sys::faccessat2:
    case Sys::fchmodat2:
      return !(call[3] & AT_SYMLINK_NOFOLLOW);
    case Sys::fchownat:
      return !(call[4] & AT_SYMLINK_NOFOLLOW);
    case Sys::linkat:
    case Sys::name_to_handle_at:
      return call[4] & AT_SYMLINK_FOLLOW;
    case Sys::inotify_add_watch:
      return !(call[2] & IN_DONT_FOLLOW);
    case Sys::umount2:
      return !(call[1] & UMOUNT_NOFOLLOW);
    default:
      return true;
  }
}

int64_t pass_on(SyscallCall& call) {
  std::string paths[2];
  unsigned used = 0;
  uint64_t args[6];
  for (unsigned k = 0; k < 6; ++k) args[k] = call.args[k];
  for (unsigned k = 0; k < 6 && call.row->format[k]; ++k) {
    switch (call.row->format[k]) {
      case 'w':
        call.memory.space().about_to_write(args[k], kPageSize);
        break;
      case 'W':
        call.memory.space().about_to_write(args[k], k < 5 ? args[k + 1] : 0);
        break;
      case 'V':
        about_to_fill(call, args[k], k < 5 ? args[k + 1] : 0);
        break;
      case 's':
      case 'l':
        if (call.process.options.prefix.empty() || used == 2) break;
        if (auto path = call.memory.text(args[k]); path && path->starts_with('/')) {
          paths[used] = call.process.host_path(*path, call.row->format[k] == 's' && follows_last(call));
          args[k] = reinterpret_cast<uint64_t>(paths[used++].c_str());
        }
        break;
      default:
        break;
    }
  }
  return call.thread.call_host(host_number(call.row->id), args[0], args[1], args[2], args[3], args[4], args[5]);
}

int64_t dispatch(SyscallCall& call) {
  if (!call.row) {
    LYRE_UNIMP("there is no system call %llu\n", static_cast<unsigned long long>(call.number));
    return -ENOSYS;
  }
  switch (call.row->kind) {
    case SyscallKind::kPass:
      return pass_on(call);
    case SyscallKind::kConvert:
    case SyscallKind::kEmulate:
      return call.row->function(call);
    case SyscallKind::kNone:
      LYRE_UNIMP("system call %s: %s\n", syscall_name(call.row->id), call.row->reason);
      return -ENOSYS;
  }
  return -ENOSYS;
}

}  // namespace lyre::linux_user
