#include "runtime/cli/options.h"

#include <string>
#include <vector>

#include "runtime/cli/option_list.h"
#include "runtime/cli/system.h"
#include "runtime/cli/terminals.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::cli;

namespace {

std::string show(const machine::OptionList& list) {
  std::string text;
  for (auto& [name, value] : list.items) text += name + "=" + value + ";";
  return text;
}

std::string list_of(std::string_view text, std::string_view implied = {}) {
  auto list = parse_option_list(text, implied);
  return list ? show(*list) : "error: " + list.error().message;
}

struct Parsed {
  Settings settings;
  std::string error;  // empty: good
};

Parsed parse(std::vector<const char*> arguments) {
  Parsed parsed;
  parsed.settings.program = "lyrebird-system-riscv64";
  parsed.settings.guest = "riscv64";
  if (Status status = parse_command_line(arguments, parsed.settings); !status) parsed.error = status.error().message;
  return parsed;
}

}  // namespace

TEST_CASE("option lists: commas, flags and the implied first name", "[options]") {
  REQUIRE(list_of("virtio-blk-device,drive=d0,packed", "driver") == "=virtio-blk-device;drive=d0;packed=on;");
  REQUIRE(list_of("drive=d0,driver=virtio-blk-device", "driver") == "=virtio-blk-device;drive=d0;");
  REQUIRE(list_of("file=a,,b,,,,c,format=raw") == "file=a,b,,c;format=raw;");
  REQUIRE(list_of("path=a=b") == "path=a=b;");
  REQUIRE(list_of("server") == "server=on;");
  REQUIRE(list_of("x=") == "x=;");
  REQUIRE(list_of("") == "");
  REQUIRE(list_of("a=1,=2") == "error: a property without a name in '=2'");
  REQUIRE(list_of("{\"driver\":1}") == "error: JSON is not understood here, write prop=value,...");
}

TEST_CASE("sizes take QEMU's suffixes", "[options]") {
  const uint64_t mib = uint64_t{1} << 20;
  auto size = [&](std::string_view text) {
    auto value = parse_size(text, mib);
    return value ? *value : UINT64_MAX;
  };
  REQUIRE(size("128") == 128 * mib);
  REQUIRE(size("1G") == 1024 * mib);
  REQUIRE(size("1.5g") == 1536 * mib);
  REQUIRE(size("0.5") == mib / 2);
  REQUIRE(size("262144k") == 256 * mib);
  REQUIRE(size("4096b") == 4096);
  REQUIRE(size("0x10") == 16 * mib);
  REQUIRE(size("1T") == mib * mib);
  for (const char* bad : {"", "x", "-1", "+1", "1x", "1GG", "1.5b", "G", "17179869184G", "1e3", "nan", " 1"}) {
    INFO(bad);
    REQUIRE(!parse_size(bad, mib));
  }
}

TEST_CASE("an ordinary command line", "[options]") {
  const Parsed p =
      parse({"-M", "virt,aclint=on", "--smp", "4", "-m", "2G", "-kernel", "Image", "-append", "console=ttyS0 a,b",
             "-device", "virtio-rng-device", "-nographic", "-accel", "tcg,thread=single,tb-size=32", "-no-reboot"});
  REQUIRE(p.error.empty());
  const machine::MachineConfig& config = p.settings.machine;
  REQUIRE(config.board == "virt");
  REQUIRE(show(config.board_options) == "aclint=on;");
  REQUIRE(config.cpu.count == 4);
  REQUIRE(config.sockets * config.cores * config.threads == 4);
  REQUIRE(config.ram_bytes == uint64_t{2} << 30);
  REQUIRE(config.append == "console=ttyS0 a,b");
  REQUIRE(config.cpu.single_thread);
  REQUIRE(config.cpu.code_cache_bytes == uint64_t{32} << 20);
  REQUIRE(config.no_reboot);
  REQUIRE(p.settings.nographic);
  REQUIRE(config.devices.size() == 1);
}

TEST_CASE("errors name the option as typed and the nearest name", "[options]") {
  const std::pair<std::vector<const char*>, const char*> cases[] = {
      {{"-kernal", "x"}, "-kernal: invalid option, did you mean '-kernel'?"},
      {{"--xyzzyx"}, "--xyzzyx: invalid option"},
      {{"-kernel"}, "-kernel: requires an argument"},
      {{"-M", "vitr"}, "-M vitr: unsupported machine type 'vitr', did you mean 'virt'?"},
      {{"-m", "12Q"}, "-m 12Q: '12Q' is not a size, expected a number with an optional suffix k, M, G, T, P or E"},
      {{"-smp", "0"}, "-smp 0: Invalid CPU topology: CPU topology parameters must be greater than zero"},
      {{"-smp", "4,socket=2"}, "-smp 4,socket=2: no property 'socket', did you mean 'sockets'?"},
      {{"-accel", "interpr"}, "-accel interpr: invalid accelerator 'interpr', did you mean 'interp'?"},
      {{"-accel", "tcg,thread=mutli"}, "-accel tcg,thread=mutli: 'thread' cannot be 'mutli', did you mean 'multi'?"},
      {{"-d", "in_as"}, "-d in_as: unknown log item 'in_as', did you mean 'in_asm'?"},
      {{"-device", "virtio-blk-devcie"},
       "-device virtio-blk-devcie: 'virtio-blk-devcie' is not a valid device model name, did you mean "
       "'virtio-blk-device'?"},
      {{"-uuid", "x"}, "-uuid x: 'x' is not a UUID"},
      {{"-boot", "order=z"}, "-boot order=z: Invalid boot device 'z'"},
      {{"-boot", "cdc"}, "-boot cdc: Boot device 'c' was given twice"},
      {{"-boot", "once=n"},
       "-boot once=n: the firmware of this board cannot be told a boot order, for once or for ever"},
      {{"-boot", "menu=maybe"}, "-boot menu=maybe: 'menu' cannot be 'maybe'"},
      {{"-boot", "splash-time=65536"},
       "-boot splash-time=65536: 'splash-time' is a number of milliseconds from 0 to 65535"},
      {{"-boot", "reboot-timeout=-2"},
       "-boot reboot-timeout=-2: 'reboot-timeout' is a number of milliseconds from -1 to 65535"},
      {{"-boot", "mneu=on"}, "-boot mneu=on: no property 'mneu', did you mean 'menu'?"},
      {{"-chardev", "stdio"}, "-chardev stdio: needs id=ID"},
      {{"-object", "rng-rnadom,id=r"},
       "-object rng-rnadom,id=r: 'rng-rnadom' is not a valid object type, did you mean 'rng-random'?"},
  };
  for (auto& [arguments, message] : cases) REQUIRE(parse(arguments).error == message);
  REQUIRE(parse({"-smp", "4,sockets=2,cores=4"}).error.find("product of the hierarchy must match maxcpus") !=
          std::string::npos);
}

TEST_CASE("UUID and boot options are kept", "[options]") {
  const Parsed p = parse({"-uuid", "00112233-4455-6677-8899-aAbBcCdDeEfF", "-boot",
                          "cn,menu=on,strict=on,splash-time=500,reboot-timeout=-1"});
  REQUIRE(p.error.empty());
  for (size_t i = 0; i < 16; ++i) CHECK(p.settings.machine.uuid[i] == 0x11 * i);
  CHECK(p.settings.machine.boot.menu);
  CHECK(p.settings.machine.boot.menu_wait_ms == 500);
  CHECK(p.settings.machine.boot.fail_wait_ms == -1);
}

TEST_CASE("CPU topology follows from what is given, cores before sockets", "[options]") {
  auto topology = [](const char* text) {
    const Parsed p = parse({"-smp", text});
    const auto& c = p.settings.machine;
    return p.error.empty() ? std::to_string(c.cpu.count) + ":" + std::to_string(c.sockets) + "*" +
                                 std::to_string(c.cores) + "*" + std::to_string(c.threads)
                           : "error";
  };
  REQUIRE(topology("8") == "8:1*8*1");
  REQUIRE(topology("8,sockets=2") == "8:2*4*1");
  REQUIRE(topology("8,threads=2") == "8:1*4*2");
  REQUIRE(topology("sockets=2,cores=3,threads=2") == "12:2*3*2");
  REQUIRE(topology("cpus=4,cores=2,sockets=2") == "4:2*2*1");
  REQUIRE(topology("4,maxcpus=8") == "error");
}

TEST_CASE("what -serial takes", "[options]") {
  auto terminal = [](std::string_view text) {
    auto spec = parse_terminal(text);
    if (!spec) return "error: " + spec.error().message;
    if (spec->kind == TerminalSpec::Kind::kNone) return std::string("none");
    return (spec->with_monitor ? "mon " : "") +
           (spec->kind == TerminalSpec::Kind::kExisting ? "chardev " + spec->id : show(spec->options));
  };
  REQUIRE(terminal("stdio") == "=stdio;");
  REQUIRE(terminal("mon:stdio") == "mon =stdio;signal=off;mux=on;");
  REQUIRE(terminal("none") == "none");
  REQUIRE(terminal("file:/tmp/a,b") == "=file;path=/tmp/a,b;");
  REQUIRE(terminal("tcp:localhost:4444,server,nowait") == "=socket;host=localhost;port=4444;server=on;nowait=on;");
  REQUIRE(terminal("tcp:[::1]:4444") == "=socket;host=::1;port=4444;");
  REQUIRE(terminal("tcp::4444,server=on,wait=off") == "=socket;host=;port=4444;server=on;wait=off;");
  REQUIRE(terminal("mon:unix:/run/s,server=on") == "mon =socket;path=/run/s;server=on;mux=on;");
  REQUIRE(terminal("chardev:c0") == "chardev c0");
  REQUIRE(terminal("stdoi") == "error: 'stdoi' is not a character device, did you mean 'stdio'?");
  REQUIRE(terminal("tcp:4444") == "error: '4444' is not HOST:PORT");
}

TEST_CASE("the program's name chooses the guest", "[options]") {
  REQUIRE(guest_of_program("lyrebird-system-riscv64") == "riscv64");
  REQUIRE(guest_of_program("qemu-system-riscv64") == "riscv64");
  REQUIRE(guest_of_program("lyrebird").empty());
  REQUIRE(version_text("lyrebird-system-riscv64").starts_with("Lyrebird emulator version "));
  REQUIRE(version_text("qemu-system-riscv64").starts_with("QEMU emulator version "));
}
