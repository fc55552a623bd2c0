// Loading a guest program: its image, its interpreter, and the first stack (arguments, environment, auxiliary vector),
// as the kernel's exec lays them out.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "frontend/guest_isa.h"
#include "frontend/linux_abi.h"
#include "runtime/base/result.h"
#include "runtime/linux/address_space.h"

namespace lyre::linux_user {

struct ElfImage {
  uint64_t entry = 0;
  uint64_t bias = 0;  // added to addresses in the file
  uint64_t program_headers = 0;
  uint16_t program_header_count = 0;
  uint64_t end = 0;  // of the highest segment, page-aligned
  bool executable_stack = false;
  std::string interpreter;  // PT_INTERP; empty: none
};

// What is known of a file by its header.
struct ElfKind {
  bool elf = false;
  uint16_t machine = 0;
  bool is_64bit = false;
};
ElfKind elf_kind(std::span<const std::byte> head);

// `name` is for messages only.
Result<ElfImage> load_elf(AddressSpace& space, int fd, const std::string& name, const frontend::LinuxAbi& abi,
                          bool is_interpreter);

struct ProgramStart {
  const frontend::LinuxAbi* abi = nullptr;
  const frontend::GuestCpu* cpu = nullptr;
  ElfImage program;
  uint64_t interpreter_base = 0;  // AT_BASE; 0: static
  std::string path;               // AT_EXECFN
  std::vector<std::string> arguments, environment;
  uint64_t stack_bytes = 0;
  uint64_t vdso = 0;         // AT_SYSINFO_EHDR; 0: none
  uint64_t random_seed = 0;  // nonzero: AT_RANDOM is derived from it
};
struct StackPlace {
  uint64_t sp = 0, low = 0, high = 0;
  uint64_t arguments = 0, arguments_end = 0, environment = 0, environment_end = 0;  // strings
  uint64_t auxv = 0, auxv_bytes = 0;
};
Result<StackPlace> build_stack(AddressSpace& space, const ProgramStart& start);

}  // namespace lyre::linux_user
