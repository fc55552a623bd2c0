// Machine: one running system: memory, bus, clock, I/O thread, vCPUs, board and its devices, and run control. The
// command line fills MachineConfig; a board builds itself from it and reads top to bottom as a memory map. Threads:
// control calls (stop, cont, reset, powerdown, quit) come from any thread and are carried out on the main thread, which
// sits in run().
#pragma once
#include <array>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "machine/bus/bus.h"
#include "machine/bus/dma.h"
#include "machine/bus/irq.h"
#include "machine/bus/slots.h"
#include "machine/chardev/chardev.h"
#include "runtime/base/event_loop.h"
#include "runtime/base/result.h"
#include "runtime/mem/physical_map.h"
#include "runtime/vcpu/clock.h"
#include "runtime/vcpu/vcpu_set.h"

namespace lyre::machine {

namespace pci {
class PciBus;
}
class FwCfg;
class PluggedDevice;

// prop=value list in the order typed, after `,,` unescaping. The first item without '=' is under the empty name.
struct OptionList {
  std::vector<std::pair<std::string, std::string>> items;
  const std::string* find(std::string_view name) const;
  std::string get(std::string_view name, std::string_view otherwise = {}) const;
};

// -boot, as firmware reads it through fw_cfg.
struct BootConfig {
  bool menu = false;
  std::optional<uint16_t> menu_wait_ms;  // splash-time=
  int32_t fail_wait_ms = -1;             // reboot-timeout=; -1: for ever
  std::string splash;                    // an image file
};

struct MachineConfig {
  std::string program = "lyrebird";  // argv[0]'s last part, for messages
  std::string board;                 // -M virt
  OptionList board_options;          // dumpdtb=, aclint=
  runtime::CpuConfig cpu;
  unsigned sockets = 0, cores = 0, threads = 0;  // -smp; 0: derived
  uint64_t ram_bytes = uint64_t{128} << 20;
  std::string kernel, initrd, append, dtb, bios = "default";
  std::vector<std::string> data_directories;  // -L, in the order typed: where firmware is looked for first
  std::string name;                           // -name
  std::array<uint8_t, 16> uuid{};             // -uuid, in the order written; all zero: none given
  BootConfig boot;                            // -boot
  std::vector<OptionList> devices;            // -device, first item (empty name) is the driver
  std::vector<OptionList> drives;             // -drive
  std::vector<OptionList> blockdevs;          // -blockdev
  std::vector<OptionList> netdevs;            // -netdev
  std::vector<OptionList> nics;               // -nic
  std::vector<OptionList> objects;            // -object
  std::vector<OptionList> fw_cfg;             // -fw_cfg
  bool no_reboot = false, no_shutdown = false, snapshot = false, nodefaults = false, start_paused = false;
  bool rtc_localtime = false;
};

// Rewrites -drive if=virtio and -nic (and the default network card) into -device and -netdev items, for PCI if the
// board has it, else for virtio-mmio. Error: names the option.
Status expand_shorthands(MachineConfig& config, bool pci);

enum class RunState : uint8_t { kPrelaunch, kRunning, kPaused, kShutdown };
enum class StopCause : uint8_t { kGuestShutdown, kGuestReset, kGuestFail, kHostQuit, kHostSignal };

class Machine;

// What a board provides; one file each under machine/boards, one row in boards/list.def.
class Board {
 public:
  virtual ~Board() = default;
  virtual Status build(Machine& machine) = 0;   // maps everything; called once
  virtual Status finish(Machine& machine) = 0;  // after all devices are plugged: what is left over, such as empty slots
  virtual Status load(Machine& machine) = 0;    // firmware, kernel, initrd, device tree into RAM; again on every reset
  virtual void reset() = 0;                     // all its devices
  virtual std::string_view no_power_button() const = 0;  // what to do instead, in one sentence
};

class Machine {
 public:
  // Makes the vCPUs; VcpuSet::create unless a test brings its own.
  using VcpuFactory = std::function<Result<std::unique_ptr<runtime::VcpuSet>>(
      const runtime::CpuConfig&, runtime::PhysicalMap&, runtime::VirtualClock&, runtime::TimerService&)>;

  explicit Machine(MachineConfig config);
  Machine(MachineConfig config, VcpuFactory vcpu_factory);
  ~Machine();
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  // Chardevs of the command line, by id ("serial0", "serial1", "mon0", ids of -chardev). Added before build().
  void add_chardev(std::string id, std::unique_ptr<Chardev> chardev);
  Chardev* chardev(std::string_view id) const;  // null: none

  // Board, vCPUs, devices; one sentence on failure. Then `finished()` says whether there is anything to run (dumpdtb=
  // leaves nothing).
  Status build();
  bool finished() const { return finished_; }
  // Runs until quit, poweroff or (with -no-reboot) reset. Returns the exit status.
  int run();

  int exit_status() const { return exit_status_; }  // on the main thread, at exit

  // Requests, from any thread.
  void request_stop();
  void request_cont();
  void request_reset(StopCause cause = StopCause::kGuestReset);
  void request_shutdown(StopCause cause, int exit_status = 0);  // guest powered off, host quit
  // Presses the power buttons. Returns a sentence if there are none.
  std::string_view request_powerdown();
  RunState state() const;

  const MachineConfig& config() const { return config_; }
  runtime::PhysicalMap& memory() { return memory_; }
  Bus& bus() { return bus_; }
  Dma dma() { return Dma(memory_); }
  runtime::VirtualClock& clock() { return clock_; }
  runtime::TimerService& timers() { return timers_; }
  EventLoop& io() { return io_; }
  runtime::VcpuSet& vcpus() { return *vcpus_; }
  Board& board() { return *board_; }

  // Places to plug devices. The board fills them in while it builds; device classes look them up. pci_bus() is null on
  // a board without PCI.
  std::vector<VirtioMmioSlot>& virtio_slots() { return virtio_slots_; }
  pci::PciBus* pci_bus() { return pci_bus_; }
  void set_pci_bus(pci::PciBus* bus) { pci_bus_ = bus; }
  FwCfg* fw_cfg() { return fw_cfg_; }  // null on a board without fw_cfg
  void set_fw_cfg(FwCfg* fw_cfg) { fw_cfg_ = fw_cfg; }

  // While the machine is built, for devices that have one; called on the main thread.
  void add_power_button(std::function<void()> press) { power_buttons_.push_back(std::move(press)); }

  // Called on the main thread when a request has stopped the machine, and again for each later request to stop it. Set
  // before run() or after it.
  void set_stop_observer(std::function<void()> observer) { stop_observer_ = std::move(observer); }

  std::string mtree() const;  // `info mtree`
  // Called on the main thread before exit, newest first: flush disks, restore the terminal.
  void at_exit(std::function<void()> function);

 private:
  struct Request;
  void post(const Request& request);
  void forget_guest_requests();
  std::optional<Request> take_guest_shutdown();
  bool carry_out(const Request& request);  // true: leave run()
  void set_state(RunState state);
  void pause_all(RunState state);
  void resume_all();
  bool reset();        // true: leave run()
  Status reset_all();  // while paused; error: the board could not be loaded again
  void run_exit_functions();

  MachineConfig config_;
  VcpuFactory vcpu_factory_;
  runtime::PhysicalMap memory_;
  Bus bus_;
  runtime::VirtualClock clock_;
  runtime::TimerService timers_;
  EventLoop io_;
  std::map<std::string, std::unique_ptr<Chardev>, std::less<>> chardevs_;
  std::unique_ptr<runtime::VcpuSet> vcpus_;
  std::unique_ptr<Board> board_;
  std::vector<VirtioMmioSlot> virtio_slots_;
  pci::PciBus* pci_bus_ = nullptr;
  FwCfg* fw_cfg_ = nullptr;
  std::vector<std::unique_ptr<PluggedDevice>> plugged_;
  std::vector<std::function<void()>> exit_functions_;
  std::vector<std::function<void()>> power_buttons_;
  std::function<void()> stop_observer_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<Request> requests_;
  RunState state_ = RunState::kPrelaunch;
  bool finished_ = false;
  bool vcpus_started_ = false;
  int exit_status_ = 0;
};

}  // namespace lyre::machine
