// GdbStub: a guest process as gdb's target (-g): the connection and what it says of the process; runtime/debug has the
// protocol, debugger.h the threads. Made before the process runs; then it waits, before the first instruction, for a
// debugger. A debugger that goes lets the process run on, and another may come.
//
// Threads: the conversation has a thread of its own, on which no signal arrives. It is gone in a forked child, whose
// program runs on without debugger.
#pragma once
#include <memory>
#include <string>

#include "runtime/base/result.h"
#include "runtime/linux/process.h"

namespace lyre::linux_user {

// `where`: a TCP port of this host alone, or the path of a Unix socket ("%d" in it is the process). Errors: it can not
// be listened at. Lives as long as the process.
Status start_gdb_stub(Process& process, const std::string& where);
// With the connection of the emulator that executed this one (Debugger::hand_over).
Status continue_gdb_stub(Process& process, const std::string& handed_over);

}  // namespace lyre::linux_user
