// System calls about the machine and the kernel.
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/utsname.h>

#include "runtime/linux/safe_syscall.h"
#include "runtime/linux/syscall.h"

namespace lyre::linux_user {
namespace {

int64_t sys_uname(SyscallCall& c) {
  utsname host;
  if (const int64_t failed = host_syscall(SYS_uname, reinterpret_cast<uint64_t>(&host)); failed < 0) return failed;
  auto set = [](char(&field)[65], const std::string& text) {
    strncpy(field, text.c_str(), sizeof field - 1), field[sizeof field - 1] = 0;
  };
  set(host.machine, c.process.abi().uname_machine());
  if (!c.process.options.uname_release.empty()) set(host.release, c.process.options.uname_release);
  return c.memory.put(c[0], host) ? 0 : -EFAULT;
}

// struct riscv_hwprobe { s64 key; u64 value; }: Documentation/arch/riscv/hwprobe.rst. Unknown keys become -1.
int64_t sys_hwprobe(SyscallCall& c) {
  if (c[4]) return -EINVAL;
  for (uint64_t k = 0; k < c[1]; ++k) {
    struct {
      int64_t key;
      uint64_t value;
    } pair;
    if (!c.memory.get(c[0] + 16 * k, pair)) return -EFAULT;
    switch (pair.key) {
      case 0:
      case 1:
      case 2:
        pair.value = 0;
        break;  // vendor, architecture, implementation
      case 3:
        pair.value = 1;
        break;  // base behaviour: I, M, A as for user programs
      case 4:
        pair.value = 3;
        break;  // F, D and C; others are not claimed
      case 5:
        pair.value = 3;
        break;  // misaligned scalar accesses are fast
      default:
        pair.key = -1, pair.value = 0;
    }
    if (!c.memory.put(c[0] + 16 * k, pair)) return -EFAULT;
  }
  return 0;
}

constexpr const char* kHostCode = "it would load x86-64 code into the host's kernel";
constexpr const char* kNoBpf = "programs that run in the host's kernel would see the host's structures";

using Row = SyscallRow;
constexpr Row kRows[] = {
    Row::emulate(Sys::uname, "w", sys_uname),
    Row::emulate(Sys::riscv_hwprobe, "puupx", sys_hwprobe),
    Row::pass(Sys::sysinfo, "w"),
    Row::pass(Sys::getrandom, "Wux"),
    Row::pass(Sys::syslog, "dWu"),
    Row::pass(Sys::sethostname, "bu"),
    Row::pass(Sys::setdomainname, "bu"),
    Row::pass(Sys::reboot, "xxxp"),
    Row::pass(Sys::vhangup, ""),
    Row::pass(Sys::add_key, "ttbud"),
    Row::pass(Sys::request_key, "tttd"),
    Row::pass(Sys::keyctl, "dxxxx"),
    Row::pass(Sys::landlock_create_ruleset, "pux"),
    Row::pass(Sys::landlock_add_rule, "fxpx"),
    Row::pass(Sys::landlock_restrict_self, "fx"),
    Row::pass(Sys::lsm_get_self_attr, "xwwx"),
    Row::pass(Sys::lsm_set_self_attr, "xpux"),
    Row::pass(Sys::lsm_list_modules, "wwx"),
    Row::pass(Sys::perf_event_open, "pddfx"),
    Row::none(Sys::bpf, "dpu", kNoBpf),
    Row::none(Sys::init_module, "put", kHostCode),
    Row::none(Sys::finit_module, "ftx", kHostCode),
    Row::none(Sys::kexec_load, "pupx", kHostCode),
    Row::none(Sys::kexec_file_load, "ffutx", kHostCode),
    Row::pass(Sys::delete_module, "tx"),
};

}  // namespace

std::span<const SyscallRow> system_syscalls() { return kRows; }

}  // namespace lyre::linux_user
