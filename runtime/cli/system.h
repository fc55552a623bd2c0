// lyrebird-system-GUEST: a machine, from the command line to its exit status.
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "machine/boards/machine.h"

namespace lyre::cli {

// What a tool does with the machine that a command line makes, on the main thread: before its vCPUs start, and after
// they have ended.
struct SystemHooks {
  std::function<void(machine::Machine&machine)> before_run, after_run;
};

// `program` is the name that it was called by, for messages. The arguments are those after it.
int run_system(const std::string& program, const std::string& guest, std::span<const char* const> arguments,
               const SystemHooks& hooks = {});

// The guest of "lyrebird-system-riscv64" or "qemu-system-riscv64"; empty: the name is not of that kind.
std::string_view guest_of_program(std::string_view program);

}  // namespace lyre::cli
