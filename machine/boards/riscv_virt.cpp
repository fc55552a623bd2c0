// The RISC-V `virt` board, for 64-bit and 32-bit harts: build() reads top to bottom as its memory map, load() as its
// boot sequence. Compatible with the machine of the same name that firmware and kernels know; addresses in
// riscv_virt_layout.h.
#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "machine/boards/boards.h"
#include "machine/boards/pflash.h"
#include "machine/boards/riscv_virt_layout.h"
#include "machine/boards/riscv_virt_tree.h"
#include "machine/devices/aclint.h"
#include "machine/devices/cpu_pins.h"
#include "machine/devices/fw_cfg.h"
#include "machine/devices/goldfish_rtc.h"
#include "machine/devices/ns16550a.h"
#include "machine/devices/plic.h"
#include "machine/devices/sifive_test.h"
#include "machine/firmware/fdt.h"
#include "machine/firmware/fw_cfg_items.h"
#include "machine/firmware/loader.h"
#include "machine/firmware/riscv_reset.h"
#include "machine/firmware/sbi.h"
#include "machine/pci/bus.h"
#include "machine/virtio/mmio.h"
#include "runtime/base/bits.h"
#include "runtime/base/log.h"
#include "runtime/base/nearest.h"

namespace lyre::machine {
namespace riscv_virt {
namespace {

constexpr unsigned kPinSsi = 1, kPinMsi = 3, kPinMti = 7, kPinSei = 9, kPinMei = 11;  // mip bits (Privileged 3.1.9)
constexpr Gpa kTreeCeiling{0xc0000000};  // the tree lies below 3 GiB, within reach of 32-bit loaders
constexpr std::string_view kFirmwareNames64[] = {"fw_dynamic.bin", "opensbi-riscv64-generic-fw_dynamic.bin"};
constexpr std::string_view kFirmwareNames32[] = {"opensbi-riscv32-generic-fw_dynamic.bin"};

// What differs between the widths.
struct Width {
  unsigned xlen;
  uint64_t megapage;       // kernels and device trees are aligned to it
  uint64_t initrd_offset;  // at most, from the kernel; 32-bit kernels reach 1 GiB
  std::span<const std::string_view> firmware;
};
constexpr Width kWidth64{64, uint64_t{2} << 20, uint64_t{512} << 20, kFirmwareNames64};
constexpr Width kWidth32{32, uint64_t{4} << 20, uint64_t{128} << 20, kFirmwareNames32};

constexpr std::string_view kBoardOptions[] = {"dumpdtb", "aclint", "acpi", "aia", "pflash0", "pflash1"};

class RiscvVirt final : public Board {
 public:
  Status build(Machine& machine) override;
  Status finish(Machine& machine) override;
  Status load(Machine& machine) override;
  void reset() override;
  std::string_view no_power_button() const override {
    return "the virt machine has no power button; -device virtio-keyboard-pci adds one, or use poweroff inside the guest";
  }

 private:
  Status check_options(const MachineConfig& config);
  Status open_files(const MachineConfig& config);
  Status map_memory(Machine& machine);
  Status map_interrupts(Machine& machine);
  Status map_peripherals(Machine& machine);
  void offer_virtio_slots(Machine& machine);
  Status map_pci(Machine& machine);
  template <typename Device>
  Status map(Machine& machine, const Place& place, Device& device, uint64_t size) {
    resettable_.push_back(&device);
    return machine.bus().map(place.base, size, device);
  }

  bool has_firmware() const { return builtin_sbi_ || firmware_; }
  SbiImage builtin_sbi(Machine& machine, Gpa next) const;
  Result<LoadedImage> load_firmware(Machine& machine);
  Result<GuestRange> load_initrd(Machine& machine, const GuestRange& kernel, Gpa tree_at);
  Result<std::vector<std::byte>> base_tree(Machine& machine);
  Gpa tree_address(size_t size) const;

  Width width_ = kWidth64;
  uint64_t ram_bytes_ = 0;
  bool aclint_ = false;
  bool builtin_sbi_ = false;
  FileImage firmware_, kernel_, initrd_, dtb_;
  std::vector<MmioDevice*> resettable_;
  std::unique_ptr<CpuPins> pins_;
  std::unique_ptr<Clint> clint_;
  std::unique_ptr<AclintSswi> sswi_;
  std::unique_ptr<Plic> plic_;
  std::unique_ptr<SifiveTest> test_;
  std::unique_ptr<GoldfishRtc> rtc_;
  std::unique_ptr<Ns16550a> uart_;
  std::unique_ptr<FwCfg> fw_cfg_;
  std::array<std::unique_ptr<Pflash>, kFlashBanks> flash_;
  std::unique_ptr<pci::PciBus> pci_;
  std::vector<std::unique_ptr<virtio::VirtioMmio>> empty_slots_;
};

Status RiscvVirt::check_options(const MachineConfig& config) {
  for (auto& [name, value] : config.board_options.items)
    if (std::find(std::begin(kBoardOptions), std::end(kBoardOptions), name) == std::end(kBoardOptions))
      return Error{"the machine 'virt' has no property '" + name + "'" + did_you_mean(name, kBoardOptions)};
  std::string aclint = config.board_options.get("aclint", "off");
  if (aclint != "on" && aclint != "off") return Error{"-machine aclint=" + aclint + ": it is on or off"};
  if (std::string aia = config.board_options.get("aia", "none"); aia != "none")
    return Error{"-machine aia=" + aia + ": only aia=none is there"};
  if (std::string acpi = config.board_options.get("acpi", "auto"); acpi != "auto" && acpi != "off")
    return Error{"-machine acpi=" + acpi + ": the virt machine has no ACPI tables; it is auto or off"};
  aclint_ = aclint == "on";
  if (config.cpu.guest == "riscv32") width_ = kWidth32;
  ram_bytes_ = config.ram_bytes;
  if (width_.xlen == 32 && ram_bytes_ > kMaxRamNarrow)
    return Error{"-m " + mebibytes(ram_bytes_) + ": a 32-bit virt machine has at most " + mebibytes(kMaxRamNarrow) +
                 " of RAM"};
  return Ok{};
}

Status RiscvVirt::open_files(const MachineConfig& config) {
  auto open = [](const std::string& path, const char* what, FileImage& to) -> Status {
    if (path.empty()) return Ok{};
    auto file = FileImage::open(path, what);
    if (!file) return file.error();
    to = std::move(*file);
    return Ok{};
  };
  std::string firmware = config.bios;
  if (firmware == "default") firmware = find_firmware(width_.firmware, config.data_directories).value_or("builtin");
  builtin_sbi_ = firmware == "builtin";
  if (builtin_sbi_ || firmware == "none") firmware.clear();
  if (!config.initrd.empty() && config.kernel.empty()) return Error{"-initrd needs -kernel"};
  if (Status done = open(firmware, "firmware", firmware_); !done) return done;
  if (Status done = open(config.kernel, "kernel", kernel_); !done) return done;
  if (Status done = open(config.initrd, "initrd", initrd_); !done) return done;
  return open(config.dtb, "device tree", dtb_);
}

Status RiscvVirt::build(Machine& machine) {
  if (Status done = check_options(machine.config()); !done) return done;
  if (Status done = open_files(machine.config()); !done) return done;
  if (Status done = map_memory(machine); !done) return done;
  if (Status done = map_interrupts(machine); !done) return done;
  if (Status done = map_peripherals(machine); !done) return done;
  offer_virtio_slots(machine);
  return map_pci(machine);
}

Status RiscvVirt::map_memory(Machine& machine) {
  if (auto rom = machine.memory().add_ram("mrom", kMaskRom.base, kMaskRom.size, true); !rom) return rom.error();
  for (unsigned bank = 0; bank < kFlashBanks; ++bank) {
    auto flash = Pflash::make(machine, bank, Place{kFlash.base + bank * kFlash.size, kFlash.size}.base, kFlash.size);
    if (!flash) return flash.error();
    flash_[bank] = std::move(*flash);
    resettable_.push_back(&flash_[bank]->device());
  }
  if (auto ram = machine.memory().add_ram("ram", kRam, ram_bytes_); !ram) return ram.error();
  return Ok{};
}

Status RiscvVirt::map_interrupts(Machine& machine) {
  runtime::VcpuSet& vcpus = machine.vcpus();
  pins_ = std::make_unique<CpuPins>(vcpus);
  std::vector<Clint::HartPins> timers;
  std::vector<IrqLine> contexts, ssip;
  for (unsigned hart = 0; hart < vcpus.count(); ++hart) {
    timers.push_back({.software = pins_->line(hart, kPinMsi), .timer = pins_->line(hart, kPinMti)});
    contexts.insert(contexts.end(), {pins_->line(hart, kPinMei), pins_->line(hart, kPinSei)});
    ssip.push_back(pins_->line(hart, kPinSsi));
  }
  clint_ = std::make_unique<Clint>(machine.clock(), machine.timers(), vcpus.timebase_hz(), timers);
  if (Status done = map(machine, kClint, *clint_, kClint.size); !done) return done;
  if (aclint_ || builtin_sbi_) {  // our SBI sends its interrupts through it, whether the device tree shows it or not
    sswi_ = std::make_unique<AclintSswi>(ssip);
    if (Status done = map(machine, kSswi, *sswi_, kSswi.size); !done) return done;
  }
  plic_ = std::make_unique<Plic>(contexts);
  return map(machine, kPlic, *plic_, kPlic.size);
}

Status RiscvVirt::map_peripherals(Machine& machine) {
  const MachineConfig& config = machine.config();
  test_ = std::make_unique<SifiveTest>(SifiveTest::Actions{
      .power_off = [&machine] { machine.request_shutdown(StopCause::kGuestShutdown); },
      .fail = [&machine](int code) { machine.request_shutdown(StopCause::kGuestFail, code); },
      .reset = [&machine] { machine.request_reset(); },
  });
  if (Status done = map(machine, kTest, *test_, kTest.size); !done) return done;

  rtc_ = std::make_unique<GoldfishRtc>(machine.clock(), machine.timers(), host_wall_ns(config.rtc_localtime),
                                       plic_->source(kRtc.irq));
  if (Status done = map(machine, kRtc, *rtc_, kRtc.size); !done) return done;

  uart_ = std::make_unique<Ns16550a>(machine.chardev("serial0"), machine.io(), plic_->source(kUart.irq));
  if (Status done = map(machine, kUart, *uart_, kUart.size); !done) return done;
  machine.at_exit([this, &machine] {
    uart_->flush();
    if (Chardev* serial = machine.chardev("serial0")) serial->flush();
  });

  fw_cfg_ = std::make_unique<FwCfg>(machine.dma());
  machine.set_fw_cfg(fw_cfg_.get());
  if (Status done = add_fw_cfg_items(*fw_cfg_, config); !done) return done;
  return map(machine, kFwCfg, *fw_cfg_, kFwCfg.size);
}

void RiscvVirt::offer_virtio_slots(Machine& machine) {
  for (unsigned slot = 0; slot < kVirtioSlots; ++slot)
    machine.virtio_slots().push_back(
        {.base = kVirtio.base + slot * kVirtio.size, .size = kVirtioDecoded, .irq = plic_->source(kVirtio.irq + slot)});
}

Status RiscvVirt::map_pci(Machine& machine) {
  Place mmio64 = pci_mmio64(ram_bytes_, width_.xlen);
  pci::PciHostConfig config{
      .ecam = kPciEcam.base,
      .ecam_size = kPciEcam.size,
      .io = {.base = kPciPio.base, .size = kPciPio.size, .pci_base = 0},
      .mmio32 = {.base = kPciMmio32.base, .size = kPciMmio32.size, .pci_base = kPciMmio32.base.value},
      .mmio64 = {.base = mmio64.base, .size = mmio64.size, .pci_base = mmio64.base.value},
      .intx = {},
  };
  for (unsigned wire = 0; wire < config.intx.size(); ++wire) config.intx[wire] = plic_->source(kPciEcam.irq + wire);
  pci_ = std::make_unique<pci::PciBus>(std::move(config));
  machine.set_pci_bus(pci_.get());
  return pci_->map(machine.bus());
}

Status RiscvVirt::finish(Machine& machine) {
  for (VirtioMmioSlot& slot : machine.virtio_slots()) {
    if (slot.used) continue;
    empty_slots_.push_back(std::make_unique<virtio::VirtioMmio>(nullptr, slot.irq));
    if (Status done = machine.bus().map(slot.base, slot.size, *empty_slots_.back()); !done) return done;
  }
  return Ok{};
}

void RiscvVirt::reset() {
  for (MmioDevice* device : resettable_) device->reset();
  pci_->reset();
}

// The built-in SBI is made for what follows it: once with next = 0 for its size, and again when that is known.
SbiImage RiscvVirt::builtin_sbi(Machine& machine, Gpa next) const {
  std::vector<std::string> extensions = machine.vcpus().isa_extensions();
  return make_sbi({.xlen = width_.xlen,
                   .base = kRam,
                   .ram_bytes = ram_bytes_,
                   .harts = machine.vcpus().count(),
                   .next = next,
                   .clint = kClint.base,
                   .sswi = kSswi.base,
                   .uart = kUart.base,
                   .test = kTest.base,
                   .sstc = std::find(extensions.begin(), extensions.end(), "sstc") != extensions.end()});
}

Result<LoadedImage> RiscvVirt::load_firmware(Machine& machine) {
  if (builtin_sbi_) return LoadedImage{kRam, {kRam, kRam + builtin_sbi(machine, Gpa{0}).region}};
  if (!firmware_) return LoadedImage{kRam, {kRam, kRam}};
  return is_elf(firmware_) ? load_elf(machine.memory(), firmware_, {kElfRiscv, width_.xlen})
                           : load_raw(machine.memory(), firmware_, kRam);
}

// As high as possible below 3 GiB, on a megapage of its own.
Gpa RiscvVirt::tree_address(size_t size) const {
  uint64_t end = std::min(kRam.value + ram_bytes_, kTreeCeiling.value);
  return Gpa{align_down(end - size, width_.megapage)};
}

Result<GuestRange> RiscvVirt::load_initrd(Machine& machine, const GuestRange& kernel, Gpa tree_at) {
  Gpa wanted = kernel.start + std::min(ram_bytes_ / 2, width_.initrd_offset);
  auto place = place_initrd(initrd_, wanted, kernel, tree_at);
  if (!place) return place.error();
  if (auto loaded = load_raw(machine.memory(), initrd_, place->start); !loaded) return loaded.error();
  return *place;
}

Result<std::vector<std::byte>> RiscvVirt::base_tree(Machine& machine) {
  if (dtb_) {
    auto bytes = dtb_.read_all();
    return bytes ? check_fdt(std::move(*bytes), "the device tree '" + dtb_.path() + "'") : bytes;
  }
  return make_tree({.vcpus = machine.vcpus(),
                    .sockets = machine.config().sockets,
                    .ram_bytes = ram_bytes_,
                    .xlen = width_.xlen,
                    .aclint = aclint_});
}

Status RiscvVirt::load(Machine& machine) {
  const MachineConfig& config = machine.config();
  auto firmware = load_firmware(machine);
  if (!firmware) return firmware.error();
  Gpa start = firmware->entry, next{0};

  GuestRange kernel{firmware->range.end, firmware->range.end};
  if (kernel_) {
    Gpa place{align_up(firmware->range.end.value, width_.megapage)};
    auto loaded = load_riscv_kernel(machine.memory(), kernel_, place, width_.xlen);
    if (!loaded) return loaded.error();
    if (loaded->range.start < firmware->range.end && firmware->range.start < loaded->range.end)
      return Error{"the kernel '" + kernel_.path() + "' is linked to lie at " + hex(loaded->range.start.value) +
                   ", where the firmware is"};
    kernel = loaded->range;
    next = loaded->entry;
    if (!has_firmware()) start = loaded->entry;
  } else if (flash_[0]->has_contents()) {
    // Flash is started directly, or as what follows the firmware.
    (has_firmware() ? next : start) = kFlash.base;
  }

  auto tree = base_tree(machine);
  if (!tree) return tree.error();
  if (builtin_sbi_) {
    SbiImage sbi = builtin_sbi(machine, next);
    if (!machine.dma().write(kRam, sbi.bytes.data(), sbi.bytes.size()))
      return Error{"the firmware does not fit into " + mebibytes(ram_bytes_) + " of RAM"};
    if (Status done = patch_reserved(*tree, "mmode_resv0", kRam, sbi.region); !done) return done;
  }
  std::array<std::byte, 32> seed;
  if (getrandom(seed.data(), seed.size(), 0) != static_cast<ssize_t>(seed.size()))
    return Error{"the host gives no random numbers"};
  FdtChosen chosen{.bootargs = {}, .stdout_path = {}, .initrd_start = {}, .initrd_end = {}, .rng_seed = seed};
  if (!config.append.empty()) chosen.bootargs = config.append;
  if (initrd_) {
    uint64_t room_for_chosen = 4096 + config.append.size();
    auto initrd = load_initrd(machine, kernel, tree_address(tree->size() + room_for_chosen));
    if (!initrd) return initrd.error();
    chosen.initrd_start = initrd->start;
    chosen.initrd_end = initrd->end;
  }
  if (Status done = patch_chosen(*tree, chosen); !done) return done;
  if (const std::string* path = config.board_options.find("dumpdtb")) return write_file(*path, *tree);

  Gpa tree_at = tree_address(tree->size());
  if (tree_at < kernel.end || !machine.dma().write(tree_at, tree->data(), tree->size()))
    return Error{"the device tree does not fit into " + mebibytes(ram_bytes_) + " of RAM; give more with -m"};

  std::vector<std::byte> rom = riscv_reset_rom(start, tree_at, FwDynamicInfo{.next_address = next.value}, width_.xlen);
  std::memcpy(machine.memory().ram(kMaskRom.base, rom.size(), false), rom.data(), rom.size());
  machine.memory().written(kMaskRom.base, rom.size());
  machine.vcpus().set_reset_state({.pc = Gva{kMaskRom.base.value}});
  return Ok{};
}

}  // namespace
}  // namespace riscv_virt

std::unique_ptr<Board> make_riscv_virt() { return std::make_unique<riscv_virt::RiscvVirt>(); }

}  // namespace lyre::machine
