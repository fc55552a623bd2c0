// The guest's seccomp: filters and strict mode, as seccomp(2) has them. Filters are run here, before each of the
// guest's system calls, with the guest's numbers; the emulator's own calls are not looked at. A thread's filters are
// its own (other threads change them only by SECCOMP_FILTER_FLAG_TSYNC); children inherit them, and a program that is
// executed finds them in a sealed file (see exec.cpp).
//
// Filters are never freed: a thread may be running one while another installs the next, and what a process installs
// stays for its life.
#pragma once
#include <atomic>
#include <cstdint>
#include <vector>

#include "frontend/linux_abi.h"
#include "runtime/linux/classic_bpf.h"
#include "runtime/linux/syscall.h"

namespace lyre::linux_user {

struct SeccompFilter {
  const SeccompFilter* previous = nullptr;  // installed before; all are run
  std::vector<BpfInstruction> program;
  bool log = false;       // SECCOMP_FILTER_FLAG_LOG
  bool listener = false;  // SECCOMP_FILTER_FLAG_NEW_LISTENER
};

int64_t sys_seccomp(SyscallCall& call);
int64_t prctl_set_seccomp(SyscallCall& call);
int64_t prctl_get_seccomp(SyscallCall& call);

// SECCOMP_IOCTL_NOTIF_* on a listener's descriptor: the host's, with what they carry as the guest has it (seccomp.cpp
// says how listeners work).
bool is_listener_ioctl(uint64_t request);
int64_t listener_ioctl(SyscallCall& call);

// What the filters say of a call: the action with the highest precedence and its 16 bits of data.
struct SeccompVerdict {
  uint32_t action = 0;
  uint16_t data = 0;
  const SeccompFilter* from = nullptr;  // whose it is; nullptr: no filter's
};
SeccompVerdict run_filters(const SeccompFilter* newest, const SeccompData& data);

// For a program that is executed: a sealed file without name, at a descriptor that the guest does not look at; -1:
// there are no filters, -2: it could not be made. The caller closes it. The other side reads it once and closes it;
// false: it holds no filters.
int save_filters(const SeccompFilter* newest);
bool load_filters(int fd, const SeccompFilter*& newest);

}  // namespace lyre::linux_user
