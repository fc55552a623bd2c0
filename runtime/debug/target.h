// Target: what the gdb stub debugs: a machine's vCPUs or the threads of a user-mode process. Threads have numbers from
// 1 on. All calls come from the stub's thread; but for is_stopped() and stop() the target is stopped when they come.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "frontend/guest_debug.h"

namespace lyre::debug {

enum class PointKind : uint8_t {
  kSoftware = 0,
  kHardware = 1,
  kWriteWatch = 2,
  kReadWatch = 3,
  kAccessWatch = 4
};  // as in Z packets

struct Point {
  PointKind kind;
  uint64_t address, bytes;
  bool operator==(const Point&) const = default;
};

enum class Action : uint8_t { kHold, kContinue, kStep };

// How a thread goes on. `signal`, gdb's number, is delivered to it first; 0: none.
struct Resume {
  unsigned thread = 1;
  Action action = Action::kContinue;
  unsigned signal = 0;
};

// Why the target stopped. kExited and kKilled: there is nothing left to debug; `number` is the status or the signal.
struct StopEvent {
  enum class Kind : uint8_t { kSignal, kWatch, kExited, kKilled, kSyscallEntry, kSyscallReturn, kExec } kind = Kind::kSignal;
  unsigned thread = 1;
  unsigned number = 5;  // gdb's number of a signal: 2 SIGINT, 5 SIGTRAP
  PointKind watch = PointKind::kWriteWatch;
  uint64_t address = 0;  // that was watched; the number of the system call
  std::string path{};    // of the program that is executed from here on
};

class Target {
 public:
  virtual ~Target() = default;
  virtual const frontend::GuestDebug& guest() const = 0;
  virtual std::string program() const = 0;                  // "lyrebird-system-riscv64", for qGDBServerVersion
  virtual std::string_view features() const { return {}; }  // of qSupported, besides those of the stub itself
  virtual unsigned process_id() const { return 1; }
  virtual bool launched() const { return false; }  // the debugger ends it when it goes
  virtual std::vector<unsigned> threads() const = 0;
  virtual std::string thread_info(unsigned thread) const = 0;

  virtual bool read_register(unsigned thread, unsigned number, uint64_t& value) = 0;
  virtual bool write_register(unsigned thread, unsigned number, uint64_t value) = 0;
  virtual bool read_memory(unsigned thread, uint64_t address, std::span<uint8_t> bytes) = 0;
  virtual bool write_memory(unsigned thread, uint64_t address, std::span<const uint8_t> bytes) = 0;
  virtual bool physical_memory() const { return false; }  // addresses are physical ones
  virtual bool set_physical_memory(bool) { return false; }
  virtual bool supports(PointKind kind) const = 0;
  virtual void set_points(std::span<const Point> points) = 0;  // replaces all

  virtual bool is_stopped() const = 0;
  virtual void attach() = 0;
  virtual void detach() = 0;                                                      // no points, everybody runs
  virtual void resume(std::span<const Resume> actions) = 0;  // threads not named are held
  virtual void stop() = 0;  // a StopEvent comes when it has stopped
  virtual void kill() = 0;
  // qXfer OBJECT:read:ANNEX, as the thread has it
  virtual std::optional<std::string> object(unsigned, std::string_view, std::string_view) { return std::nullopt; }
  virtual std::optional<std::string> command(const std::string&) { return std::nullopt; }  // monitor

  // Of processes alone; false and nothing: the target has no such thing.
  virtual std::optional<uint64_t> load_offset() const { return std::nullopt; }  // of the program's addresses
  // The debugger does not want to hear of these signals (gdb's numbers).
  virtual bool pass_signals(std::span<const unsigned>) { return false; }
  // No numbers: every system call.
  virtual bool catch_syscalls(bool, std::span<const uint64_t>) { return false; }
  // The host's name of a file that the debugger names as the guest would.
  virtual std::optional<std::string> host_path(const std::string&) const { return std::nullopt; }
  // Opens it for reading; a descriptor or -errno.
  virtual int open_file(const std::string& path);
};

}  // namespace lyre::debug
