// The virt board and the machine's run loop, with vCPUs that only remember: boot placement, device tree, options,
// requests.
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <fstream>
#include <iterator>
#include <thread>

#include "machine/boards/machine.h"
#include "machine/firmware/fdt.h"
#include "tests/support/catch.h"
#include "tests/support/machine_fakes.h"
#include "tests/support/temporary_file.h"

using namespace lyre;
using namespace lyre::machine;

namespace {

constexpr uint64_t kMib = uint64_t{1} << 20;

std::string kernel_image(uint64_t image_size = 0x1000000) {
  std::string text(4096, '\0');
  std::memcpy(&text[16], &image_size, 8);
  std::memcpy(&text[0x38], "RSC\x05", 4);
  return text;
}

struct Virt {
  Virt() {
    config.board = "virt";
    config.ram_bytes = 256 * kMib;
    config.bios = "none";
    config.nodefaults = true;
  }
  Machine& build() {
    Status built = try_build();
    if (!built) FAIL(built.error().message);
    return *machine;
  }
  Status try_build() {
    auto factory = [this](const runtime::CpuConfig& cpu, runtime::PhysicalMap&, runtime::VirtualClock&,
                          runtime::TimerService&) -> Result<std::unique_ptr<runtime::VcpuSet>> {
      auto made = std::make_unique<tests::FakeVcpus>(cpu.count);
      vcpus = made.get();
      return std::unique_ptr<runtime::VcpuSet>(std::move(made));
    };
    machine = std::make_unique<Machine>(config, factory);
    return machine->build();
  }
  std::string failure() {
    Status built = try_build();
    return built ? "" : built.error().message;
  }
  uint64_t rom(unsigned word) {
    uint64_t value = 0;
    REQUIRE(machine->dma().read(Gpa{0x1000 + 8 * word}, &value, 8));
    return value;
  }
  uint64_t read(uint64_t address, unsigned size = 4) {
    uint64_t value = 0;
    CHECK(machine->bus().io_read(Gpa{address}, size, value) == runtime::IoStatus::kOk);
    return value;
  }
  void write(uint64_t address, uint64_t value, unsigned size = 4) {
    CHECK(machine->bus().io_write(Gpa{address}, size, value) == runtime::IoStatus::kOk);
  }
  FdtReader tree() { return FdtReader(machine->dma().view(Gpa{rom(4)}, 0x100000)); }
  // Runs on another thread until `state` is seen.
  bool reaches(RunState state) {
    for (int i = 0; i < 5000 && machine->state() != state; ++i) usleep(1000);
    return machine->state() == state;
  }

  MachineConfig config;
  std::unique_ptr<Machine> machine;
  tests::FakeVcpus* vcpus = nullptr;
};

}  // namespace

TEST_CASE_METHOD(Virt, "virt places firmware, kernel, initrd and tree as its peers do", "[board]") {
  tests::TemporaryFile bios(std::string(300000, 'b')), kernel(kernel_image()), initrd(std::string(5000, 'i'));
  config.bios = bios.path();
  config.kernel = kernel.path();
  config.initrd = initrd.path();
  config.append = "console=ttyS0 quiet";
  build();
  CHECK(vcpus->reset_state.pc == Gva{0x1000});
  CHECK(rom(3) == 0x80000000);
  CHECK(rom(4) == 0x8fe00000);
  CHECK(rom(7) == 0x80200000);
  CHECK(machine->dma().view(Gpa{0x80000000}, 1)[0] == std::byte{'b'});
  CHECK(machine->dma().view(Gpa{0x80200038}, 1)[0] == std::byte{'R'});
  CHECK(machine->dma().view(Gpa{0x88200000}, 1)[0] == std::byte{'i'});
  CHECK(tree().string("/chosen", "bootargs") == "console=ttyS0 quiet");
  CHECK(tree().cells("/chosen", "linux,initrd-start") == std::vector<uint32_t>{0, 0x88200000});
  CHECK(tree().cells("/chosen", "linux,initrd-end") == std::vector<uint32_t>{0, 0x88201388});
  CHECK(tree().bytes("/chosen", "rng-seed")->size() == 32);
}

TEST_CASE_METHOD(Virt, "virt for 32-bit harts places what 32-bit kernels reach", "[board]") {
  tests::TemporaryFile bios(std::string(300000, 'b')), kernel(kernel_image()), initrd(std::string(5000, 'i'));
  config.cpu.guest = "riscv32";
  config.ram_bytes = 2048 * kMib;
  config.bios = bios.path();
  config.kernel = kernel.path();
  config.initrd = initrd.path();
  build();
  CHECK(rom(3) == 0x80000000);
  CHECK(rom(4) == 0xbfc00000);                        // below 3 GiB, on four megabytes
  CHECK(rom(6) == (uint64_t{1} << 32 | 0x80400000));  // fw_dynamic: next address and mode, words of 32 bits
  CHECK(machine->dma().view(Gpa{0x80400038}, 1)[0] == std::byte{'R'});
  CHECK(tree().cells("/chosen", "linux,initrd-start") == std::vector<uint32_t>{0, 0x88400000});
  auto ranges = tree().cells("/soc/pci@30000000", "ranges");
  REQUIRE(ranges);
  CHECK(std::vector<uint32_t>(ranges->end() - 7, ranges->end()) == std::vector<uint32_t>{0x3000000, 3, 0, 3, 0, 1, 0});
  config.ram_bytes = 10241 * kMib;
  CHECK(failure() == "-m 10241.0 MiB: a 32-bit virt machine has at most 10240.0 MiB of RAM");
}

TEST_CASE_METHOD(Virt, "virt without firmware starts the kernel at the start of RAM", "[board]") {
  tests::TemporaryFile kernel(kernel_image());
  config.kernel = kernel.path();
  build();
  CHECK(rom(3) == 0x80000000);
  CHECK(machine->dma().view(Gpa{0x80000038}, 1)[0] == std::byte{'R'});
}

TEST_CASE_METHOD(Virt, "virt's tree has what kernels look for", "[board]") {
  config.cpu.count = 3;
  build();
  FdtReader fdt = tree();
  CHECK(fdt.string("/", "compatible") == "riscv-virtio");
  CHECK(fdt.cells("/memory@80000000", "reg") == std::vector<uint32_t>{0, 0x80000000, 0, 0x10000000});
  CHECK(fdt.cells("/cpus", "timebase-frequency") == std::vector<uint32_t>{10000000});
  CHECK(fdt.string("/cpus/cpu@2", "riscv,isa") == vcpus->isa_string());
  CHECK(fdt.string("/cpus/cpu@2", "riscv,isa-base") == "rv64i");
  CHECK(fdt.cells("/cpus/cpu@2", "riscv,cbom-block-size") == std::vector<uint32_t>{64});
  CHECK_FALSE(fdt.cells("/cpus/cpu@2", "riscv,cbop-block-size"));
  CHECK(fdt.subnodes("/cpus/cpu-map/cluster0").size() == 3);
  CHECK(fdt.cells("/soc/interrupt-controller@c000000", "interrupts-extended")->size() == 12);
  CHECK(fdt.cells("/soc/interrupt-controller@c000000", "riscv,ndev") == std::vector<uint32_t>{95});
  CHECK(fdt.cells("/soc/clint@2000000", "reg") == std::vector<uint32_t>{0, 0x2000000, 0, 0x10000});
  CHECK(fdt.cells("/soc/serial@10000000", "interrupts") == std::vector<uint32_t>{10});
  CHECK(fdt.cells("/soc/virtio_mmio@10008000", "interrupts") == std::vector<uint32_t>{8});
  CHECK(fdt.string("/chosen", "stdout-path") == "/soc/serial@10000000");
  CHECK(fdt.cells("/poweroff", "regmap") == fdt.cells("/soc/test@100000", "phandle"));
  CHECK(fdt.has_node("/fw-cfg@10100000"));
  CHECK(fdt.has_node("/flash@20000000"));
  CHECK(fdt.cells("/soc/pci@30000000", "interrupt-map")->size() == 16 * 6);
  CHECK(fdt.cells("/soc/pci@30000000", "ranges") ==
        std::vector<uint32_t>{0x1000000,  0, 0,          0,         0x3000000, 0, 0x10000, 0x2000000, 0, 0x40000000, 0,
                              0x40000000, 0, 0x40000000, 0x3000000, 4,         0, 4,       0,         4, 0});
  CHECK_FALSE(fdt.has_node("/soc/sswi@2f00000"));
  config.board_options.items = {{"aclint", "on"}};
  build();
  CHECK(tree().has_node("/soc/sswi@2f00000"));
  CHECK(tree().has_node("/soc/mtimer@200bff8"));
  CHECK_FALSE(tree().has_node("/soc/clint@2000000"));
}

TEST_CASE_METHOD(Virt, "virt has its devices where its peers have them", "[board]") {
  config.cpu.count = 2;
  build();
  CHECK(read(0x10000005, 1) == 0x60);
  CHECK(read(0x10100000, 4) == 0x554d4551);  // "QEMU"
  CHECK(read(0x30000000) == 0x00081b36);     // the PCI host bridge
  CHECK(read(0x30008000) == 0xffffffff);     // nobody in slot 1
  CHECK(machine->virtio_slots().size() == 8);
  for (uint64_t slot = 0x10001000; slot < 0x10009000; slot += 0x1000) {
    CHECK(read(slot) == 0x74726976);  // "virt"
    CHECK(read(slot + 8) == 0);       // no device
  }
  write(0x2000004, 1);
  CHECK(vcpus->pins.level(64 + 3));
  // The UART's interrupt through the PLIC to hart 1's S context (3).
  write(0xc000000 + 4 * 10, 1);
  write(0xc002000 + 0x80 * 3, 1u << 10);
  write(0x10000001, 2, 1);
  CHECK(vcpus->pins.level(64 + 9));
  CHECK(read(0xc203004) == 10);
  CHECK_FALSE(vcpus->pins.level(64 + 9));
  std::string map = machine->mtree();
  CHECK(map.find("  0000000080000000-000000008fffffff (ram): ram\n") != std::string::npos);
  CHECK(map.find("  000000000c000000-000000000c5fffff (i/o): plic\n") != std::string::npos);
}

TEST_CASE_METHOD(Virt, "virt writes its tree with dumpdtb and has nothing to run", "[board]") {
  tests::TemporaryFile out("");
  config.board_options.items = {{"dumpdtb", out.path()}};
  config.append = "x=y";
  build();
  CHECK(machine->finished());
  CHECK(machine->run() == 0);
  std::ifstream file(out.path(), std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  std::vector<std::byte> bytes(text.size());
  std::memcpy(bytes.data(), text.data(), text.size());
  auto dtb = check_fdt(bytes, "dumped");
  REQUIRE(dtb);
  CHECK(FdtReader(*dtb).string("/chosen", "bootargs") == "x=y");
}

TEST_CASE_METHOD(Virt, "virt takes a user's tree and adds to chosen only", "[board]") {
  FdtBuilder own;
  own.string("compatible", "my-board");
  auto bytes = own.finish();
  tests::TemporaryFile dtb(std::string(reinterpret_cast<char*>(bytes.data()), bytes.size()));
  config.dtb = dtb.path();
  config.append = "mine";
  build();
  CHECK(tree().string("/", "compatible") == "my-board");
  CHECK(tree().string("/chosen", "bootargs") == "mine");
  CHECK(tree().subnodes("/").size() == 1);
}

TEST_CASE_METHOD(Virt, "virt starts from flash, or hands it to the firmware", "[board]") {
  std::string contents(32 * kMib, '\0');
  contents[0] = 'F';
  tests::TemporaryFile flash(contents), bios(std::string(1000, 'b'));
  config.drives.push_back({{{"if", "pflash"}, {"file", flash.path()}, {"format", "raw"}}});
  build();
  CHECK(rom(3) == 0x20000000);
  CHECK(machine->dma().view(Gpa{0x20000000}, 1)[0] == std::byte{'F'});
  write(0x20000000, 0x00200020);
  write(0x20000000, 0x00d000d0);
  machine.reset();  // what was written is in the file when the machine is gone
  std::ifstream file(flash.path(), std::ios::binary);
  CHECK(file.get() == 0xff);
  config.bios = bios.path();
  build();
  CHECK(rom(3) == 0x80000000);
  CHECK(rom(7) == 0x20000000);
  config.drives[0].items.emplace_back("unit", "1");
  build();
  CHECK(rom(7) == 0);
}

TEST_CASE_METHOD(Virt, "virt refuses what it cannot do, in one sentence", "[board]") {
  auto with = [&](auto change) {
    MachineConfig before = config;
    change(config);
    std::string message = failure();
    config = before;
    return message;
  };
  tests::TemporaryFile kernel(kernel_image()), text("not a kernel"), large(std::string(3 * kMib, 'i')),
      small_flash("x");
  CHECK(with([](auto& c) { c.board = "virtt"; }) == "unsupported machine type 'virtt', did you mean 'virt'?");
  CHECK(with([](auto& c) { c.board = ""; }) ==
        "no machine specified, and there is no default; use -machine help to list supported machines");
  CHECK(with([](auto& c) { c.cpu.count = 513; }) == "the machine 'virt' has 1 to 512 CPUs, not 513");
  CHECK(with([](auto& c) {
          c.board_options.items = {{"aclnt", "on"}};
        }) == "the machine 'virt' has no property 'aclnt', did you mean 'aclint'?");
  CHECK(with([](auto& c) {
          c.board_options.items = {{"aclint", "maybe"}};
        }) == "-machine aclint=maybe: it is on or off");
  CHECK(with([](auto& c) { c.kernel = "/nonexistent"; }) ==
        "cannot open the kernel '/nonexistent': No such file or directory");
  CHECK(with([&](auto& c) { c.kernel = text.path(); }) ==
        "the kernel '" + text.path() + "' is neither an ELF file nor a RISC-V Linux Image");
  CHECK(with([&](auto& c) { c.dtb = text.path(); }) ==
        "the device tree '" + text.path() + "' is not a flattened device tree");
  CHECK(with([&](auto& c) { c.initrd = text.path(); }) == "-initrd needs -kernel");
  CHECK(with([](auto& c) { c.ram_bytes = uint64_t{1} << 60; }).find("the host cannot map") == 0);
  CHECK(with([&](auto& c) { c.ram_bytes = 20 * kMib, c.kernel = kernel.path(), c.initrd = large.path(); }) ==
        "the initrd '" + large.path() +
            "' (3.0 MiB) does not fit into RAM between the kernel and the device tree; give more with -m");
  CHECK(with([&](auto& c) {
          c.drives.push_back({{{"if", "pflash"}, {"file", small_flash.path()}}});
        }) == "the flash image '" + small_flash.path() + "' has 1 bytes; the bank needs exactly 33554432");
}

TEST_CASE_METHOD(Virt, "machine runs, stops, goes on, resets and ends with the guest's status", "[board]") {
  build();
  CHECK(machine->state() == RunState::kPrelaunch);
  int status = -1;
  std::thread main_thread([&] { status = machine->run(); });
  CHECK(reaches(RunState::kRunning));
  machine->request_stop();
  CHECK(reaches(RunState::kPaused));
  CHECK_FALSE(machine->clock().running());
  machine->request_cont();
  CHECK(reaches(RunState::kRunning));
  for (int i = 0; i < 100; ++i) write(0x100000, 0x7777);  // a guest that insists
  for (int i = 0; i < 5000 && vcpus->calls().find("reset") == std::string::npos; ++i) usleep(1000);
  CHECK(reaches(RunState::kRunning));
  // Which of its requests comes first is open: this guest insists too.
  std::atomic<bool> ended{false};
  std::thread guest([&] {
    while (!ended) {
      write(0x100000, 0x2a3333);
      usleep(1000);
    }
  });
  main_thread.join();
  ended = true;
  guest.join();
  CHECK(status == 42);
  CHECK(vcpus->calls().find("start pause resume pause reset resume ") == 0);
}

TEST_CASE_METHOD(Virt, "machine: a guest that powers off while a reset is under way stays off", "[board]") {
  config.no_shutdown = GENERATE(false, true);
  const bool by_guest = GENERATE(false, true);
  build();
  int status = -1;
  std::thread main_thread([&] { status = machine->run(); });
  CHECK(reaches(RunState::kRunning));
  vcpus->on_pause = [&, once = true]() mutable {
    if (std::exchange(once, false)) write(0x100000, 0x5555);
  };
  machine->request_reset(by_guest ? StopCause::kGuestReset : StopCause::kHostQuit);
  if (config.no_shutdown) {
    for (int i = 0; i < 5000 && vcpus->calls().find("reset") == std::string::npos; ++i) usleep(1000);
    CHECK(reaches(RunState::kPaused));
    machine->request_shutdown(StopCause::kHostQuit, 7);
  }
  main_thread.join();
  CHECK(status == (config.no_shutdown ? 7 : 0));
  CHECK(vcpus->calls() == (config.no_shutdown ? "start pause reset " : "start pause "));
}

TEST_CASE_METHOD(Virt, "machine with -no-reboot ends at a reset, with -no-shutdown stays for the monitor", "[board]") {
  config.no_reboot = true;
  build();
  write(0x100000, 0x7777);
  CHECK(machine->run() == 0);

  config.no_reboot = false;
  config.no_shutdown = true;
  build();
  int status = -1, exits = 0;
  machine->at_exit([&] { exits = exits * 10 + 1; });
  machine->at_exit([&] { exits = exits * 10 + 2; });
  std::thread main_thread([&] { status = machine->run(); });
  CHECK(reaches(RunState::kRunning));
  write(0x100000, 0x5555);
  CHECK(reaches(RunState::kShutdown));
  machine->request_cont();
  machine->request_reset(StopCause::kHostQuit);
  CHECK(reaches(RunState::kPaused));
  machine->request_cont();
  CHECK(reaches(RunState::kRunning));
  machine->request_shutdown(StopCause::kHostQuit);
  main_thread.join();
  CHECK(status == 0);
  CHECK(exits == 21);
}

TEST_CASE_METHOD(Virt, "machine with -S waits for cont, and reset puts memory back", "[board]") {
  tests::TemporaryFile kernel(kernel_image());
  config.kernel = kernel.path();
  config.start_paused = true;
  build();
  std::thread main_thread([&] { machine->run(); });
  usleep(5000);
  CHECK(vcpus->calls().empty());
  uint32_t zero = 0;
  REQUIRE(machine->dma().write(Gpa{0x80000038}, &zero, 4));
  machine->request_reset();
  for (int i = 0; i < 5000 && vcpus->calls().find("reset") == std::string::npos; ++i) usleep(1000);
  CHECK(machine->dma().view(Gpa{0x80000038}, 1)[0] == std::byte{'R'});
  machine->request_cont();
  CHECK(reaches(RunState::kRunning));
  machine->request_shutdown(StopCause::kHostSignal, 3);
  main_thread.join();
  CHECK(vcpus->calls().find("reset start") == 0);
}

TEST_CASE("shorthands become devices and back ends", "[board]") {
  MachineConfig config;
  config.drives = {{{{"file", "a.img"}}}, {{{"if", "none"}, {"id", "hd"}}}, {{{"if", "pflash"}}}};
  config.nics = {{{{"", "user"}, {"hostfwd", "tcp::2222-:22"}, {"mac", "52:54:00:12:34:56"}}}, {{{"", "none"}}}};
  REQUIRE(expand_shorthands(config, true));
  REQUIRE(config.devices.size() == 2);
  CHECK(config.devices[0].get("") == "virtio-blk-pci");
  CHECK(config.devices[0].get("drive") == config.drives[0].get("id"));
  CHECK(config.devices[1].get("") == "virtio-net-pci");
  CHECK(config.devices[1].get("mac") == "52:54:00:12:34:56");
  REQUIRE(config.netdevs.size() == 1);
  CHECK(config.netdevs[0].get("hostfwd") == "tcp::2222-:22");
  CHECK(config.devices[1].get("netdev") == config.netdevs[0].get("id"));

  MachineConfig plain;
  REQUIRE(expand_shorthands(plain, false));
  CHECK(plain.devices.at(0).get("") == "virtio-net-device");
  MachineConfig bad;
  bad.drives = {{{{"if", "ide"}}}};
  CHECK_FALSE(expand_shorthands(bad, true));
}
