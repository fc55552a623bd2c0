// GuestDebug: what a debugger is told of a guest's processor: register numbers and their descriptions in gdb's XML,
// their values, and where an address is looked at. One per machine, stateless. Threads: called by the debugger's thread
// while the vCPU is paused.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "ir/abi.h"
#include "runtime/base/types.h"

namespace lyre::frontend {

class GuestDebug {
 public:
  virtual ~GuestDebug() = default;
  // The document of that name; "target.xml" comes first and includes the others. Empty: there is none.
  virtual std::string document(std::string_view name) const = 0;
  virtual unsigned core_registers() const = 0;                 // 0 .. n - 1 are sent together
  virtual unsigned register_bytes(unsigned number) const = 0;  // at most 8; 0: there is no such register
  // False: the register can not be read or written now.
  virtual bool read_register(ir::VcpuBlock& vcpu, unsigned number, uint64_t& value) const = 0;
  virtual bool write_register(ir::VcpuBlock& vcpu, unsigned number, uint64_t value) const = 0;
  // Guest physical address of a data address as the processor is now: no rights are asked for and no accessed bits set.
  // False: not mapped.
  virtual bool physical(ir::VcpuBlock& vcpu, Gva address, Gpa& result) const = 0;
  // The form in which addresses of accesses are compared (a 32-bit guest's may carry bits above).
  virtual uint64_t address_mask() const = 0;
};

}  // namespace lyre::frontend
