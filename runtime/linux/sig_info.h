// struct siginfo of the kernel, 128 bytes; only the head has names here.
#pragma once
#include <cstdint>

namespace lyre::linux_user {

struct alignas(8) SigInfo {
  int32_t signo = 0, error = 0, code = 0, pad = 0;
  uint64_t rest[14] = {};
};
static_assert(sizeof(SigInfo) == 128);

}  // namespace lyre::linux_user
