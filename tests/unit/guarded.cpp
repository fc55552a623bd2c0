// Guarded access: what works, what faults, and what a fault leaves behind.
#include "runtime/base/guarded.h"

#include <signal.h>
#include <string.h>
#include <sys/mman.h>

#include "tests/support/catch.h"

using namespace lyre;

namespace {

void redirect(int signal, siginfo_t*, void* context) {
  if (!guarded_redirect(context)) ::signal(signal, SIG_DFL);
}

// Two pages, the second without any right; the handlers for as long as it lives.
class Edge {
 public:
  Edge() {
    struct sigaction action{};
    action.sa_sigaction = redirect;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, &old_);
    pages_ = static_cast<char*>(mmap(nullptr, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    mprotect(pages_ + 4096, 4096, PROT_NONE);
  }
  ~Edge() {
    munmap(pages_, 8192);
    sigaction(SIGSEGV, &old_, nullptr);
  }
  char* end() const { return pages_ + 4096; }

 private:
  struct sigaction old_;
  char* pages_;
};

}  // namespace

TEST_CASE("guarded: copies go up to the byte that faults", "[guarded]") {
  Edge edge;
  const char text[] = "0123456789";
  CHECK(guarded_copy(edge.end() - 10, text, 10) == 0);
  CHECK(guarded_copy(edge.end() - 4, text, 10) == 6);
  CHECK(memcmp(edge.end() - 4, "0123", 4) == 0);
  char out[16] = {};
  CHECK(guarded_copy(out, edge.end() - 3, 8) == 5);
  CHECK(memcmp(out, "123", 3) == 0);
  CHECK(guarded_fill(edge.end() - 2, 7, 5) == 3);
  CHECK(edge.end()[-1] == 7);
  CHECK(guarded_copy(out, nullptr, 1) == 1);
}

TEST_CASE("guarded: lengths", "[guarded]") {
  Edge edge;
  memcpy(edge.end() - 5, "abcd", 5);
  CHECK(guarded_length(edge.end() - 5, 100) == 4);
  CHECK(guarded_length(edge.end() - 5, 2) == 2);
  edge.end()[-1] = 'e';
  CHECK(guarded_length(edge.end() - 5, 100) == -1);
}

TEST_CASE("guarded: single accesses of every size", "[guarded]") {
  Edge edge;
  for (unsigned size : {1u, 2u, 4u, 8u}) {
    const auto good = reinterpret_cast<uint64_t>(edge.end() - 8), bad = reinterpret_cast<uint64_t>(edge.end());
    const uint64_t pattern = 0x8899aabbccddeeff, mask = size == 8 ? ~uint64_t{0} : (uint64_t{1} << 8 * size) - 1;
    uint64_t value = 0;
    CHECK(guarded_store(good, size, pattern));
    REQUIRE(guarded_load(good, size, value));
    CHECK(value == (pattern & mask));
    CHECK_FALSE(guarded_store(bad, size, 1));
    CHECK_FALSE(guarded_load(bad, size, value));
    uint64_t expected = pattern & mask;
    REQUIRE(guarded_exchange(good, size, expected, 5));
    CHECK((expected & mask) == (pattern & mask));
    REQUIRE(guarded_load(good, size, value));
    CHECK(value == (5 & mask));
    CHECK_FALSE(guarded_exchange(bad, size, expected, 5));
  }
}
