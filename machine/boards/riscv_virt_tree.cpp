// Device tree of the RISC-V `virt` board: processors, memory, and each device's own node. See riscv_virt_tree.h.
#include "machine/boards/riscv_virt_tree.h"

#include <algorithm>

#include "machine/boards/riscv_virt_layout.h"
#include "machine/devices/aclint.h"
#include "machine/devices/fw_cfg.h"
#include "machine/devices/goldfish_rtc.h"
#include "machine/devices/ns16550a.h"
#include "machine/devices/plic.h"
#include "machine/devices/sifive_test.h"
#include "machine/firmware/fdt.h"

namespace lyre::machine::riscv_virt {
namespace {

constexpr uint32_t kCacheBlock = 64;  // bytes that cbo instructions work on

struct Handles {
  std::vector<uint32_t> cpu, cpu_intc;
  uint32_t plic = 0, test = 0;
};

FdtPlace fdt_place(const Place& place, uint32_t interrupt_parent = 0) {
  return {place.base, place.size, interrupt_parent, place.irq};
}

// RISC-V binding riscv/cpus.yaml and riscv/extensions.yaml.
void describe_cpu(FdtBuilder& fdt, const runtime::VcpuSet& vcpus, unsigned index, const Handles& handles) {
  std::vector<std::string> extensions = vcpus.isa_extensions();
  auto has = [&](const char* name) {
    return std::find(extensions.begin(), extensions.end(), name) != extensions.end();
  };
  std::string isa = vcpus.isa_string();
  auto cpu = fdt.node_at("cpu", Gpa{index});
  fdt.string("device_type", "cpu");
  fdt.u32("reg", index);
  fdt.string("status", "okay");
  fdt.string("compatible", "riscv");
  fdt.string("mmu-type", vcpus.mmu_type());
  fdt.string("riscv,isa", isa);
  fdt.string("riscv,isa-base", isa.substr(0, 4) + "i");
  fdt.strings("riscv,isa-extensions", extensions);
  if (has("zicbom")) fdt.u32("riscv,cbom-block-size", kCacheBlock);
  if (has("zicbop")) fdt.u32("riscv,cbop-block-size", kCacheBlock);
  if (has("zicboz")) fdt.u32("riscv,cboz-block-size", kCacheBlock);
  fdt.u32("phandle", handles.cpu[index]);

  auto controller = fdt.node("interrupt-controller");
  fdt.string("compatible", "riscv,cpu-intc");
  fdt.flag("interrupt-controller");
  fdt.u32("#interrupt-cells", 1);
  fdt.u32("phandle", handles.cpu_intc[index]);
}

void describe_cpus(FdtBuilder& fdt, const TreeInput& input, const Handles& handles) {
  unsigned count = input.vcpus.count(), clusters = std::max(1u, input.sockets),
           in_cluster = (count + clusters - 1) / clusters;
  auto cpus = fdt.node("cpus");
  fdt.u32("#address-cells", 1);
  fdt.u32("#size-cells", 0);
  fdt.u32("timebase-frequency", static_cast<uint32_t>(input.vcpus.timebase_hz()));
  for (unsigned index = 0; index < count; ++index) describe_cpu(fdt, input.vcpus, index, handles);

  auto map = fdt.node("cpu-map");
  for (unsigned first = 0; first < count; first += in_cluster) {
    auto cluster = fdt.node("cluster" + std::to_string(first / in_cluster));
    for (unsigned index = first; index < std::min(count, first + in_cluster); ++index) {
      auto core = fdt.node("core" + std::to_string(index - first));
      fdt.u32("cpu", handles.cpu[index]);
    }
  }
}

// Events that the SBI may count on programmable counters (OpenSBI docs/pmu_support.md): cycles and instructions, each
// on its fixed counter or any of counters 3 to 18.
void describe_pmu(FdtBuilder& fdt) {
  auto pmu = fdt.node("pmu");
  fdt.string("compatible", "riscv,pmu");
  fdt.cells("riscv,event-to-mhpmcounters", {1, 1, 0x7fff9, 2, 2, 0x7fffc});
}

void describe_syscon(FdtBuilder& fdt, const char* name, const char* compatible, uint32_t value, uint32_t test) {
  auto node = fdt.node(name);
  fdt.string("compatible", compatible);
  fdt.u32("regmap", test);
  fdt.u32("offset", 0);
  fdt.u32("value", value);
}

void describe_flash(FdtBuilder& fdt) {
  auto flash = fdt.node_at("flash", kFlash.base);
  fdt.string("compatible", "cfi-flash");
  uint32_t base = static_cast<uint32_t>(kFlash.base.value), size = static_cast<uint32_t>(kFlash.size);
  fdt.cells("reg", {0, base, 0, size, 0, base + size, 0, size});
  fdt.u32("bank-width", 4);
}

// The last slot comes first, as it is filled first: the first disk of the command line is the first that Linux finds.
void describe_virtio(FdtBuilder& fdt, uint32_t plic) {
  for (unsigned slot = kVirtioSlots; slot-- > 0;) {
    Gpa base = kVirtio.base + slot * kVirtio.size;
    auto node = fdt.node_at("virtio_mmio", base);
    fdt.string("compatible", "virtio,mmio");
    fdt.reg(base, kVirtio.size);
    fdt.u32("interrupt-parent", plic);
    fdt.u32("interrupts", kVirtio.irq + slot);
  }
}

// PCI Bus Binding to Open Firmware: ranges and interrupt-map. Bits 31..24 of an address say the space: 1 I/O, 2 and 3
// memory of 32 and 64 bits.
void describe_pci(FdtBuilder& fdt, uint32_t plic, const Place& mmio64) {
  auto low = [](uint64_t value) { return static_cast<uint32_t>(value); };
  auto high = [](uint64_t value) { return static_cast<uint32_t>(value >> 32); };
  constexpr uint32_t kPins = 4, kSlotsInMap = 4, kSlotShift = 11;
  std::vector<uint32_t> map;
  for (uint32_t slot = 0; slot < kSlotsInMap; ++slot)
    for (uint32_t pin = 0; pin < kPins; ++pin) {
      uint32_t irq = kPciEcam.irq + (slot + pin) % kPins;
      map.insert(map.end(), {slot << kSlotShift, 0, 0, pin + 1, plic, irq});
    }
  auto node = fdt.node_at("pci", kPciEcam.base);
  fdt.string("compatible", "pci-host-ecam-generic");
  fdt.string("device_type", "pci");
  fdt.reg(kPciEcam.base, kPciEcam.size);
  fdt.u32("#address-cells", 3);
  fdt.u32("#size-cells", 2);
  fdt.u32("#interrupt-cells", 1);
  fdt.u32("linux,pci-domain", 0);
  fdt.cells("bus-range", {0, 0xff});
  fdt.flag("dma-coherent");
  uint64_t mmio32 = kPciMmio32.base.value, size32 = kPciMmio32.size, size64 = mmio64.size, base64 = mmio64.base.value;
  fdt.cells("ranges", {0x1000000,
                       0,
                       0,
                       0,
                       low(kPciPio.base.value),
                       0,
                       low(kPciPio.size),
                       0x2000000,
                       0,
                       low(mmio32),
                       0,
                       low(mmio32),
                       0,
                       low(size32),
                       0x3000000,
                       high(base64),
                       low(base64),
                       high(base64),
                       low(base64),
                       high(size64),
                       low(size64)});
  fdt.cells("interrupt-map-mask", {(kSlotsInMap - 1) << kSlotShift, 0, 0, 7});
  fdt.cells("interrupt-map", map);
}

void describe_soc(FdtBuilder& fdt, const TreeInput& input, const Handles& handles) {
  auto soc = fdt.node("soc");
  fdt.u32("#address-cells", 2);
  fdt.u32("#size-cells", 2);
  fdt.string("compatible", "simple-bus");
  fdt.flag("ranges");
  SifiveTest::describe(fdt, fdt_place(kTest), handles.test);
  GoldfishRtc::describe(fdt, fdt_place(kRtc, handles.plic));
  if (input.aclint) {
    Clint::describe_aclint(fdt, fdt_place(kClint), handles.cpu_intc);
    AclintSswi::describe(fdt, fdt_place(kSswi), handles.cpu_intc);
  } else {
    Clint::describe(fdt, fdt_place(kClint), handles.cpu_intc);
  }
  Plic::describe(fdt, fdt_place(kPlic), handles.plic, handles.cpu_intc);
  Ns16550a::describe(fdt, fdt_place(kUart, handles.plic));
  describe_virtio(fdt, handles.plic);
  describe_pci(fdt, handles.plic, pci_mmio64(input.ram_bytes, input.xlen));
}

}  // namespace

std::vector<std::byte> make_tree(const TreeInput& input) {
  FdtBuilder fdt;
  Handles handles;
  for (unsigned i = 0; i < input.vcpus.count(); ++i) {
    handles.cpu.push_back(fdt.new_phandle());
    handles.cpu_intc.push_back(fdt.new_phandle());
  }
  handles.plic = fdt.new_phandle();
  handles.test = fdt.new_phandle();
  const std::string serial = "/soc/serial@10000000";

  fdt.u32("#address-cells", 2);
  fdt.u32("#size-cells", 2);
  fdt.string("compatible", "riscv-virtio");
  fdt.string("model", "riscv-virtio,qemu");
  {
    auto aliases = fdt.node("aliases");
    fdt.string("serial0", serial);
  }
  {
    auto chosen = fdt.node("chosen");
    fdt.string("stdout-path", serial);
  }
  {
    auto memory = fdt.node_at("memory", kRam);
    fdt.string("device_type", "memory");
    fdt.reg(kRam, input.ram_bytes);
  }
  describe_cpus(fdt, input, handles);
  describe_pmu(fdt);
  describe_syscon(fdt, "poweroff", "syscon-poweroff", SifiveTest::kPass, handles.test);
  describe_syscon(fdt, "reboot", "syscon-reboot", SifiveTest::kReset, handles.test);
  FwCfg::describe(fdt, fdt_place(kFwCfg));
  describe_flash(fdt);
  describe_soc(fdt, input, handles);
  return fdt.finish();
}

}  // namespace lyre::machine::riscv_virt
