#include <sys/mman.h>

#include "ir/abi.h"
#include "runtime/base/check.h"

namespace lyre::ir {

void* VcpuBlock::operator new(size_t bytes) {
  void* block = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  LYRE_CHECK(block != MAP_FAILED, "out of memory");
  return block;
}

void VcpuBlock::operator delete(void* block) { munmap(block, sizeof(VcpuBlock)); }

}  // namespace lyre::ir
