// The table of system calls: complete, and each row says what it must.
#include <set>
#include <string>

#include "runtime/linux/syscall.h"
#include "tests/support/catch.h"

using namespace lyre::linux_user;

namespace {

// Numbers that the 6.12 kernel's generic table leaves free: renameat (riscv has renameat2 only), places for an architecture's own calls beside
// the two that riscv has, and the hole where the tables of all architectures meet.
bool is_hole(unsigned number) { return number == 38 || (number >= 244 && number <= 257) || (number >= 295 && number <= 423); }
constexpr unsigned kLast = 462;  // mseal

}  // namespace

TEST_CASE("linux: every number of the kernel's table has a row", "[linux]") {
  std::set<unsigned> numbers;
  for (auto family : all_syscalls())
    for (const SyscallRow& row : family) {
      INFO(syscall_name(row.id));
      CHECK(numbers.insert(generic_number(row.id)).second);  // and only one
    }
  for (unsigned number = 0; number <= kLast; ++number) {
    INFO("number " << number);
    CHECK(numbers.count(number) == (is_hole(number) ? 0 : 1));
  }
}

TEST_CASE("linux: rows are what they say", "[linux]") {
  const std::string letters = "dufFOgxosltpbwWvV";
  for (auto family : all_syscalls())
    for (const SyscallRow& row : family) {
      INFO(syscall_name(row.id));
      CHECK(std::string(row.format).find_first_not_of(letters) == std::string::npos);
      switch (row.kind) {
        case SyscallKind::kPass: CHECK(host_number(row.id) >= 0); break;
        case SyscallKind::kConvert:
        case SyscallKind::kEmulate: CHECK(row.function != nullptr); break;
        case SyscallKind::kNone:
          REQUIRE(row.reason != nullptr);
          CHECK(std::string(row.reason).size() > 10);
          break;
      }
    }
}
