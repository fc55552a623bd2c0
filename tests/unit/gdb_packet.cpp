// gdb's remote protocol: the packet layer, and what packets mean to a target of the test's own.
#include <stdlib.h>
#include <unistd.h>

#include <cstring>
#include <string>
#include <vector>

#include "runtime/debug/server.h"
#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::debug;

namespace {

using Kind = PacketEvent::Kind;

std::span<const uint8_t> bytes_of(std::string_view text) {
  return {reinterpret_cast<const uint8_t*>(text.data()), text.size()};
}

// One letter an event: P packet (its payload follows in brackets), B bad, I interrupt, A ack, N nak.
std::string read(PacketReader& reader, std::string_view text) {
  std::string seen;
  for (const PacketEvent& event : reader.take(bytes_of(text))) {
    seen += "PBIAN"[static_cast<unsigned>(event.kind)];
    if (event.kind == Kind::kPacket) seen += "[" + event.payload + "]";
  }
  return seen;
}
std::string read(std::string_view text) {
  PacketReader reader;
  return read(reader, text);
}

}  // namespace

TEST_CASE("gdb packets: framing and checksums", "[gdb]") {
  CHECK(read("$g#67") == "P[g]");
  CHECK(read("$OK#9a") == "P[OK]");
  CHECK(read("$OK#9A") == "P[OK]");
  CHECK(read("$#00") == "P[]");
  CHECK(read("$g#68") == "B");
  CHECK(read("$g#6x") == "B");
  CHECK(read("+$g#67-\x03") == "AP[g]NI");
  CHECK(read("noise$g#67") == "P[g]");
  CHECK(read("$m0,4$g#67") == "BP[g]");  // the first one's end was lost
  CHECK(read("$g#$g#67") == "BP[g]");
  CHECK(read("$a\x03#64") == "P[a\x03]");  // inside a packet it is no interrupt
  PacketReader reader;
  std::string seen;
  for (char c : std::string("$qC#b4+")) seen += read(reader, std::string(1, c));  // any piece at a time
  CHECK(seen == "P[qC]A");
}

TEST_CASE("gdb packets: escapes", "[gdb]") {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  CHECK(escape("#$}*") == "}\x03}\x04}]}\x0a");
  CHECK(escape(all).find_first_of("#$*") == std::string::npos);
  CHECK(unescape(escape(all)) == all);
  CHECK(unescape("a}") == "a}");  // nothing follows
  CHECK(frame_packet("OK") == "$OK#9a");
  CHECK(read(frame_packet(all)) == "P[" + all + "]");
}

TEST_CASE("gdb packets: the longest that is taken", "[gdb]") {
  CHECK(read(frame_packet(std::string(kPacketSize, 'x'))).size() == kPacketSize + 3);
  CHECK(read(frame_packet(std::string(kPacketSize + 1, 'x'))) == "B");
  CHECK(read(frame_packet(std::string(kPacketSize + 1, 'x')) + "$g#67") == "BP[g]");
}

TEST_CASE("gdb packets: hexadecimal", "[gdb]") {
  std::vector<uint8_t> bytes;
  CHECK(from_hex("00ffA5", bytes));
  CHECK(bytes == std::vector<uint8_t>{0, 255, 0xa5});
  CHECK(to_hex(bytes) == "00ffa5");
  CHECK_FALSE(from_hex("0", bytes));
  CHECK_FALSE(from_hex("0g", bytes));
  uint64_t value = 0;
  std::string_view text = "ffffffffffffffff,4";
  CHECK(take_hex(text, value));
  CHECK(value == ~uint64_t{0});
  CHECK(text == ",4");
  text = "10000000000000000";
  CHECK_FALSE(take_hex(text, value));
  text = ",";
  CHECK_FALSE(take_hex(text, value));
}

namespace {

// Two registers of 4 and 8 bytes, two threads, 256 bytes of memory from 0x1000 on.
class FakeGuest final : public frontend::GuestDebug {
 public:
  std::string document(std::string_view name) const override {
    return name == "target.xml" ? std::string(100, 'd') : "";
  }
  unsigned core_registers() const override { return 2; }
  unsigned register_bytes(unsigned number) const override { return number == 0 ? 4 : number < 3 ? 8 : 0; }
  bool read_register(ir::VcpuBlock&, unsigned, uint64_t&) const override { return false; }
  bool write_register(ir::VcpuBlock&, unsigned, uint64_t) const override { return false; }
  bool physical(ir::VcpuBlock&, Gva, Gpa&) const override { return false; }
  uint64_t address_mask() const override { return ~uint64_t{0}; }
};

class FakeTarget final : public Target {
 public:
  FakeGuest fake;
  uint64_t registers[3][3] = {};  // by thread
  uint8_t memory[256] = {};
  std::vector<Point> points;
  std::string log;
  bool running = false;
  bool has_files = false;  // it is a process

  const frontend::GuestDebug& guest() const override { return fake; }
  std::string program() const override { return "fake"; }
  std::vector<unsigned> threads() const override { return {1, 2}; }
  std::string thread_info(unsigned thread) const override { return "thread " + std::to_string(thread); }
  bool read_register(unsigned thread, unsigned number, uint64_t& value) override {
    return value = registers[thread][number], true;
  }
  bool write_register(unsigned thread, unsigned number, uint64_t value) override {
    return registers[thread][number] = value, true;
  }
  bool read_memory(unsigned, uint64_t address, std::span<uint8_t> bytes) override {
    if (address < 0x1000 || address + bytes.size() > 0x1100) return false;
    std::memcpy(bytes.data(), memory + (address - 0x1000), bytes.size());
    return true;
  }
  bool write_memory(unsigned, uint64_t address, std::span<const uint8_t> bytes) override {
    if (address < 0x1000 || address + bytes.size() > 0x1100) return false;
    std::memcpy(memory + (address - 0x1000), bytes.data(), bytes.size());
    return true;
  }
  bool supports(PointKind kind) const override { return kind != PointKind::kReadWatch; }
  void set_points(std::span<const Point> all) override { points.assign(all.begin(), all.end()); }
  bool is_stopped() const override { return !running; }
  void attach() override { log += "attach "; }
  void detach() override { log += "detach ", running = true; }
  void resume(std::span<const Resume> actions) override {
    for (auto [thread, action, signal] : actions)
      log += std::to_string(thread) + (action == Action::kStep ? "s" : "c") + (signal ? std::to_string(signal) : "") + " ";
    running = true;
  }
  std::optional<std::string> host_path(const std::string& path) const override {
    return has_files ? std::optional(path) : std::nullopt;
  }
  bool pass_signals(std::span<const unsigned> signals) override {
    for (unsigned signal : signals) log += "pass" + std::to_string(signal) + " ";
    return has_files;
  }
  bool catch_syscalls(bool on, std::span<const uint64_t> numbers) override {
    log += on ? "catch" : "free";
    for (uint64_t number : numbers) log += "," + std::to_string(number);
    log += " ";
    return has_files;
  }
  std::optional<uint64_t> load_offset() const override { return has_files ? std::optional<uint64_t>(0x2000) : std::nullopt; }
  void stop() override { log += "stop "; }
  void kill() override { log += "kill "; }
  std::optional<std::string> command(const std::string& line) override { return "did " + line; }
};

struct Rig {
  FakeTarget target;
  std::string sent;
  GdbServer server{target, [this](std::string_view text) { sent += text; }};
  Rig() { server.connected(); }
  // What comes back to a packet, without framing; several are separated by '|'.
  std::string ask(std::string_view packet) {
    sent.clear();
    server.receive(bytes_of(frame_packet(packet)));
    return answers();
  }
  std::string answers() {
    PacketReader reader;
    std::string text;
    for (const PacketEvent& event : reader.take(bytes_of(sent)))
      if (event.kind == Kind::kPacket) text += (text.empty() ? "" : "|") + event.payload;
    return text;
  }
  std::string stop(const StopEvent& event) {
    sent.clear();
    target.running = false;
    server.stopped(event);
    return answers();
  }
};

}  // namespace

TEST_CASE("gdb stub: what it says of itself", "[gdb]") {
  Rig rig;
  CHECK(rig.ask("qSupported:multiprocess+;swbreak+") ==
        "PacketSize=20020;qXfer:features:read+;vContSupported+;multiprocess+");
  CHECK(rig.ask("vCont?") == "vCont;c;C;s;S");
  CHECK(rig.ask("qGDBServerVersion") == "name:fake;version:" LYRE_VERSION ";");
  CHECK(rig.ask("qqemu.sstepbits") == "ENABLE=1,NOIRQ=2,NOTIMER=4");
  CHECK(rig.ask("qqemu.sstep") == "0x7");
  CHECK(rig.ask("Qqemu.sstep=0x1") == "E22");
  CHECK(rig.ask("?") == "T05thread:p01.01;");
  CHECK(rig.ask("qfThreadInfo") == "mp01.01,p01.02");
  CHECK(rig.ask("qsThreadInfo") == "l");
  CHECK(rig.ask("qThreadExtraInfo,p1.2") == to_hex(std::string_view("thread 2")));
  CHECK(rig.ask("qC") == "QCp01.01");
  CHECK(rig.ask("qAttached") == "1");
  CHECK(rig.ask("qRcmd,6869") == "O" + to_hex(std::string_view("did hi")) + "|OK");
  CHECK(rig.ask("vMustReplyEmpty") == "");
  CHECK(rig.ask("qXfer:features:read:target.xml:0,a") == "mdddddddddd");
  CHECK(rig.ask("qXfer:features:read:target.xml:5f,a") == "lddddd");
  CHECK(rig.ask("qXfer:features:read:target.xml:65,a") == "E00");
  CHECK(rig.ask("qXfer:features:read:none.xml:0,a") == "E00");
  CHECK(rig.ask("qXfer:auxv:read::0,a") == "");
}

TEST_CASE("gdb stub: a lost acknowledgement, a bad packet", "[gdb]") {
  Rig rig;
  rig.sent.clear();
  rig.server.receive(bytes_of("$qC#00"));
  CHECK(rig.sent == "-");
  rig.sent.clear();
  rig.server.receive(bytes_of("$qC#b4"));
  CHECK(rig.sent == "+$QC01#f5");
  rig.sent.clear();
  rig.server.receive(bytes_of("-"));
  CHECK(rig.sent == "$QC01#f5");
  CHECK(rig.ask("QStartNoAckMode") == "OK");
  rig.sent.clear();
  rig.server.receive(bytes_of("$qC#b4"));
  CHECK(rig.sent == "$QC01#f5");
}

TEST_CASE("gdb stub: registers and memory", "[gdb]") {
  Rig rig;
  rig.target.registers[1][0] = 0x12345678, rig.target.registers[1][1] = 0x1122334455667788;
  CHECK(rig.ask("g") == "785634128877665544332211");
  CHECK(rig.ask("p1") == "8877665544332211");
  CHECK(rig.ask("p3") == "E14");
  CHECK(rig.ask("P2=0100000000000000") == "OK");
  CHECK(rig.target.registers[1][2] == 1);
  CHECK(rig.ask("P2=01") == "E22");
  CHECK(rig.ask("P2=010000000000000000") == "E22");
  CHECK(rig.ask("Hg2") == "OK");
  CHECK(rig.ask("G010000000200000000000000") == "OK");
  CHECK(rig.target.registers[2][1] == 2);
  CHECK(rig.target.registers[1][1] == 0x1122334455667788);
  CHECK(rig.ask("Hg3") == "E22");
  CHECK(rig.ask("Hx1") == "E22");
  CHECK(rig.ask("T2") == "OK");
  CHECK(rig.ask("T3") == "E03");
  CHECK(rig.ask("M1000,3:616263") == "OK");
  CHECK(rig.ask("m1000,4") == "61626300");
  CHECK(rig.ask("X10fe,2:#}") == "OK");
  CHECK(rig.ask("m10fe,2") == "237d");
  CHECK(rig.ask("m10fe,3") == "E14");
  CHECK(rig.ask("M1000,3:6162") == "E22");
  CHECK(rig.ask("m1000,20000000") == "E22");
  CHECK(rig.ask("m1000") == "E22");
  CHECK(rig.ask("mx") == "E22");
}

TEST_CASE("gdb stub: points", "[gdb]") {
  Rig rig;
  CHECK(rig.ask("Z0,1000,2") == "OK");
  CHECK(rig.ask("Z0,1000,2") == "OK");
  CHECK(rig.ask("Z2,1010,8") == "OK");
  CHECK(rig.target.points ==
        std::vector<Point>{{PointKind::kSoftware, 0x1000, 2}, {PointKind::kWriteWatch, 0x1010, 8}});
  CHECK(rig.ask("Z3,1010,8") == "");
  CHECK(rig.ask("Z9,1010,8") == "");
  CHECK(rig.ask("Z2,1010,0") == "E22");
  CHECK(rig.ask("Z2,fffffffffffffff8,10") == "E22");
  CHECK(rig.ask("Z1,1010") == "E22");
  CHECK(rig.ask("z0,1000,2") == "OK");
  CHECK(rig.target.points.size() == 1);
  CHECK(rig.ask("?") == "T05thread:01;");  // asks anew: nothing is left of an earlier debugger's
  CHECK(rig.target.points.empty());
}

TEST_CASE("gdb stub: running and stopping", "[gdb]") {
  Rig rig;
  rig.ask("qSupported:multiprocess+");
  rig.target.log.clear();
  CHECK(rig.ask("vCont;s:p1.2;c") == "");
  CHECK(rig.target.log == "2s 1c ");
  rig.server.receive(bytes_of("\x03"));
  CHECK(rig.target.log == "2s 1c stop ");
  CHECK(rig.stop({.thread = 2, .number = 2}) == "T02thread:p01.02;");
  CHECK(rig.stop({.thread = 1}) == "");  // nobody asked
  rig.target.log.clear();
  CHECK(rig.ask("vCont;s:p1.2") == "");
  CHECK(rig.target.log == "2s ");
  CHECK(rig.stop({.kind = StopEvent::Kind::kWatch, .thread = 2, .watch = PointKind::kReadWatch, .address = 0x1010}) ==
        "T05thread:p01.02;rwatch:1010;");
  for (const char* bad : {"vCont;", "vCont;x", "vCont;c:p1.7", "vCont;c:p2.1", "vCont;C", "vCont;cc"})
    CHECK(rig.ask(bad) == "E22");
  CHECK_FALSE(rig.target.running);
  // Somebody else let it run: the packet waits until it has stopped.
  rig.target.running = true;
  CHECK(rig.ask("m1000,1") == "");
  CHECK(rig.stop({}) == "00");
  rig.ask("c");
  CHECK(rig.stop({.kind = StopEvent::Kind::kExited, .number = 3}) == "W03;process:1");
}

TEST_CASE("gdb stub: signals and system calls of a process", "[gdb]") {
  Rig rig;
  rig.target.log.clear();
  CHECK(rig.ask("QPassSignals:e;14") == "");
  CHECK(rig.ask("qOffsets") == "");
  CHECK(rig.ask("vFile:setfs:0") == "");
  rig.target.has_files = true;
  rig.target.log.clear();
  CHECK(rig.ask("QPassSignals:e;14") == "OK");
  CHECK(rig.ask("QCatchSyscalls:1;40;5d") == "OK");
  CHECK(rig.ask("QCatchSyscalls:0") == "OK");
  CHECK(rig.ask("QCatchSyscalls:2") == "E22");
  CHECK(rig.target.log == "pass14 pass20 catch,64,93 free ");
  CHECK(rig.ask("qOffsets") == "Text=2000;Data=2000;Bss=2000");
  rig.target.log.clear();
  rig.ask("vCont;C1e:2;c");
  CHECK(rig.target.log == "2c30 1c ");
  CHECK(rig.stop({.kind = StopEvent::Kind::kSyscallEntry, .thread = 2, .address = 64}) == "T05thread:02;syscall_entry:40;");
  CHECK(rig.ask("Hc2") == "OK");
  rig.target.log.clear();
  rig.ask("S0b");
  CHECK(rig.target.log == "2s11 ");
  CHECK(rig.stop({.kind = StopEvent::Kind::kSyscallReturn, .thread = 2, .address = 64}) == "T05thread:02;syscall_return:40;");
  rig.target.log.clear();
  rig.ask("C0b;1000");
  CHECK(rig.target.log == "1c 2c11 ");
  CHECK(rig.stop({.kind = StopEvent::Kind::kKilled, .thread = 2, .number = 11}) == "X0b");
}

TEST_CASE("gdb stub: files", "[gdb]") {
  Rig rig;
  rig.target.has_files = true;
  char name[] = "/tmp/lyre-gdb-XXXXXX";
  const int made = mkstemp(name);
  REQUIRE(made >= 0);
  REQUIRE(write(made, "a#b", 3) == 3);
  close(made);
  const std::string path = to_hex(std::string_view(name));
  CHECK(rig.ask("vFile:setfs:0") == "F0");
  CHECK(rig.ask("vFile:open:2f6e6f7468696e67,0,0") == "F-1,2");
  CHECK(rig.ask("vFile:open:" + path + ",1,0") == "F-1,1e");
  const std::string opened = rig.ask("vFile:open:" + path + ",0,0");
  REQUIRE(opened.starts_with("F"));
  const std::string fd = opened.substr(1);
  CHECK(rig.ask("vFile:pread:" + fd + ",10,0") == "F3;a#b");
  CHECK(rig.ask("vFile:pread:" + fd + ",10,3") == "F0;");
  const std::string stat = rig.ask("vFile:fstat:" + fd);
  CHECK(stat.starts_with("F40;"));
  CHECK(stat.size() == 4 + 64);
  CHECK(stat.substr(4 + 28, 8) == std::string("\0\0\0\0\0\0\0\3", 8));
  CHECK(rig.ask("vFile:pread:0,1,0") == "F-1,9");  // not one of its own
  CHECK(rig.ask("vFile:close:" + fd) == "F0");
  CHECK(rig.ask("vFile:close:" + fd) == "F-1,9");
  CHECK(rig.ask("vFile:readlink:" + path) == "F-1,16");
  CHECK(rig.ask("vFile:unlink:" + path) == "");
  unlink(name);
}

TEST_CASE("gdb stub: leaving", "[gdb]") {
  Rig rig;
  rig.target.log.clear();
  CHECK(rig.ask("D;1") == "OK");
  CHECK(rig.target.log == "detach ");
  CHECK(rig.ask("g") == "");
  rig.server.connected();
  rig.server.disconnected();
  CHECK(rig.target.log == "detach attach stop detach ");
  rig.target.running = false;
  rig.server.connected();
  CHECK(rig.ask("vKill;1") == "OK");
  CHECK(rig.target.log == "detach attach stop detach attach kill ");
}
