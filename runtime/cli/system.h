// lyrebird-system-GUEST: a machine, from the command line to its exit status.
#pragma once
#include <span>
#include <string>
#include <string_view>

namespace lyre::cli {

// `program` is the name that it was called by, for messages. The arguments are those after it.
int run_system(const std::string& program, const std::string& guest, std::span<const char* const> arguments);

// The guest of "lyrebird-system-riscv64" or "qemu-system-riscv64"; empty: the name is not of that kind.
std::string_view guest_of_program(std::string_view program);

}  // namespace lyre::cli
