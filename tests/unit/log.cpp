#include "runtime/base/log.h"

#include <stdlib.h>
#include <unistd.h>

#include <array>
#include <fstream>
#include <sstream>
#include <string>

#include "runtime/base/nearest.h"
#include "tests/support/catch.h"

using namespace lyre;

namespace {

std::string slurp(const std::string& path) {
  std::ifstream in(path);
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

// Leaves the process's log as it was found.
struct LogFile {
  std::string directory, path;
  LogFile() {
    char name[] = "/tmp/lyre_log_XXXXXX";
    directory = mkdtemp(name);
    path = directory + "/log." + std::to_string(getpid());
    REQUIRE(log_set_file(directory + "/log.%d"));
  }
  ~LogFile() {
    REQUIRE(log_set_file("/dev/stderr"));
    REQUIRE(log_set_items(""));
    REQUIRE(log_set_filter(""));
    unlink(path.c_str());
    rmdir(directory.c_str());
  }
};

}  // namespace

TEST_CASE("log items switch classes on", "[log]") {
  LogFile file;
  REQUIRE(!log_on(kLogInt));
  REQUIRE(log_set_items("in_asm,int"));
  REQUIRE(log_on(kLogInt));
  REQUIRE(log_on(kLogInAsm));
  REQUIRE(!log_on(kLogExec));
  REQUIRE(log_set_items("all"));
  REQUIRE(log_on(kLogExec));
  REQUIRE(!log_on(kLogNoChain));
}

TEST_CASE("an unknown log item is an error with the nearest name", "[log]") {
  const Status status = log_set_items("in_asm,out_asn");
  REQUIRE(!status);
  REQUIRE(status.error().message == "unknown log item 'out_asn', did you mean 'out_asm'?");
}

TEST_CASE("log lines are whole and %d is the process id", "[log]") {
  LogFile file;
  log_line("one %d\n", 1);
  log_line("two");
  log_line("%s", std::string(2000, 'x').c_str());
  log_text("raw");
  REQUIRE(slurp(file.path) == "one 1\ntwo\n" + std::string(2000, 'x') + "\nraw");
}

TEST_CASE("log filter takes the three forms of a range", "[log]") {
  LogFile file;
  REQUIRE(log_in_filter(0x1234));
  REQUIRE(log_set_filter("0x8000+0x200,0xffffffc000080000-0x100,0x10..0x20"));
  REQUIRE(log_in_filter(0x8000));
  REQUIRE(log_in_filter(0x81ff));
  REQUIRE(!log_in_filter(0x8200));
  REQUIRE(log_in_filter(0xffffffc000080000));
  REQUIRE(log_in_filter(0xffffffc00007ff01));
  REQUIRE(!log_in_filter(0xffffffc00007ff00));
  REQUIRE(log_in_filter(0x20));
  REQUIRE(!log_in_filter(0x21));
  for (const char* bad : {"12", "x+1", "1+0", "5..4", "1+", "+1", "0x..2"}) REQUIRE(!log_set_filter(bad));
}

TEST_CASE("guest messages are limited and counted", "[log]") {
  LogFile file;
  REQUIRE(log_set_items("guest_errors"));
  for (int i = 0; i < 1000; ++i) LYRE_GUEST_ERROR("bad %d", i);
  const std::string text = slurp(file.path);
  REQUIRE(text.starts_with("bad 0\n"));
  REQUIRE(text.find("bad 999") == text.npos);
  LogRate rate;
  for (int i = 0; i < 30; ++i) log_rate_allows(rate);
  rate.window_start_ns = 1;  // long ago
  REQUIRE(log_rate_allows(rate));
  REQUIRE(slurp(file.path).find("10 more like the next line") != std::string::npos);
}

TEST_CASE("nearest name", "[log]") {
  const std::array<std::string_view, 5> names = {"virt", "none", "virtio-blk-device", "virtio-net-device", "rv64"};
  REQUIRE(nearest_name("vitr", names) == "virt");
  REQUIRE(nearest_name("VIRT", names) == "virt");
  REQUIRE(nearest_name("virtio-blk-devcie", names) == "virtio-blk-device");
  REQUIRE(nearest_name("virtio-net", names) == "virtio-net-device");
  REQUIRE(nearest_name("zzzz", names).empty());
  REQUIRE(nearest_name("", names).empty());
  REQUIRE(did_you_mean("rv63", names) == ", did you mean 'rv64'?");
  REQUIRE(did_you_mean("zzzz", names).empty());
}
