#include "machine/monitor/monitor.h"

#include <string>

#include "tests/support/catch.h"

using namespace lyre::machine;

namespace {

// What a terminal would show in one line after these characters, and the lines entered.
struct Screen {
  LineEditor editor{"> ", complete_monitor_line};
  std::string row, entered, raw;
  size_t at = 0;

  void type(std::string_view keys) {
    for (char key : keys) {
      std::string echo;
      auto line = editor.key(static_cast<uint8_t>(key), echo);
      raw += echo;
      for (char c : echo) {
        if (c == '\b') {
          REQUIRE(at > 0);
          --at;
        } else if (c == '\n') {
          row.clear();
          at = 0;
        } else {
          if (at >= row.size()) row.resize(at + 1, ' ');
          row[at++] = c;
        }
      }
      if (line) entered += "[" + *line + "]";
    }
  }
  std::string shown() const { return row.substr(0, row.find_last_not_of(' ') + 1); }
};

}  // namespace

TEST_CASE("line editor: typing, erasing and moving keep the screen true", "[monitor]") {
  Screen s;
  s.type("info stutas");
  s.type("\x1b[D\x1b[D\x1b[D\x7f");  // left three times, rub out the u
  s.type("at");
  REQUIRE(s.shown() == "info stattas");
  s.type("\x0b");
  REQUIRE(s.shown() == "info stat");
  s.type(
      "us\x01"
      "X\x1b[3~\x05!");
  REQUIRE(s.shown() == "Xnfo status!");
  s.type("\x17");
  REQUIRE(s.shown() == "Xnfo");
  s.type(
      "\x15"
      "done\r\n\nmore\n");
  REQUIRE(s.entered == "[done][][more]");
}

TEST_CASE("line editor: history goes up and down", "[monitor]") {
  Screen s;
  s.type("one\rtwo\rtwo\r");
  s.type("\x1b[A");
  REQUIRE(s.shown() == "two");
  s.type("\x1b[A");
  REQUIRE(s.shown() == "one");
  s.type("\x1b[A\x1b[B\x1b[B");
  REQUIRE(s.shown().empty());
  s.type("\x10\x10\r");
  REQUIRE(s.entered == "[one][two][two][one]");
}

TEST_CASE("line editor: Tab completes", "[monitor]") {
  Screen s;
  s.type("inf\tstat\t\r");
  REQUIRE(s.entered == "[info status ]");
  s.type("system_\t");
  REQUIRE(s.raw.find("system_powerdown  system_reset") != std::string::npos);
  s.type("r\t\r");
  REQUIRE(s.entered == "[info status ][system_reset ]");
}

TEST_CASE("line editor: a very long line and odd bytes do no harm", "[monitor]") {
  Screen s;
  s.type(std::string(10000, 'x'));
  s.type("\x1b[99999999999999~\x1bOZ\x02\x06\x04\xff\r");
  REQUIRE(s.entered.size() > 4000);
}

TEST_CASE("every monitor command describes itself", "[monitor]") {
  for (auto table : {monitor_commands(), monitor_info_commands()}) {
    std::string_view before;
    for (const MonitorCommand& row : table) {
      REQUIRE(row.run != nullptr);
      REQUIRE(!row.help.empty());
      REQUIRE(before < row.name);
      before = row.name;
    }
  }
}
