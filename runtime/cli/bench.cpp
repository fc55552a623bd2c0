// `lyrebird bench`: runs of a machine, timed, with the engine's counters. Each run is a process of its own, so that
// none inherits another's memory.
#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cinttypes>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "machine/boards/boards.h"
#include "runtime/base/nearest.h"
#include "runtime/cli/option_list.h"
#include "runtime/cli/system.h"
#include "runtime/cli/tool_options.h"
#include "runtime/exec/counters.h"

namespace lyre::cli {
namespace {

using Clock = std::chrono::steady_clock;
using CounterList = std::vector<std::pair<std::string, uint64_t>>;

struct CounterInfo {
  const char* name;
  const char* help;
};
constexpr CounterInfo kCounters[] = {
#define LYRE_ROW(name, help) {#name, help},
    LYRE_COUNTERS(LYRE_ROW)
#undef LYRE_ROW
        {"blocks", "translated regions at the end"},
    {"code_bytes", "bytes of code memory in use at the end"},
};

struct BenchOptions {
  std::string guest = "riscv64", until;
  uint64_t runs = 1, timeout_s = 600;
  bool json = false, show = false;
};

struct Run {
  double wall_s = 0;
  CounterList counters;
};

// A pair of descriptors that closes what is left of it.
struct Pipe {
  int fd[2] = {-1, -1};
  bool open() { return pipe(fd) == 0; }
  ~Pipe() { close(0), close(1); }
  void close(int end) {
    if (fd[end] >= 0) ::close(fd[end]);
    fd[end] = -1;
  }
};

void write_all(int fd, const std::string& text) {
  for (size_t done = 0; done < text.size();) {
    const ssize_t wrote = write(fd, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote <= 0) return;
    done += static_cast<size_t>(wrote);
  }
}

// The child: a machine whose console goes into `console`, which ends when a byte comes from `stop`, and tells its
// counters to `report`.
[[noreturn]] void run_child(const BenchOptions& options, const std::vector<const char*>& arguments, Pipe& console,
                            Pipe& stop, Pipe& report) {
  const int nothing = open("/dev/null", O_RDONLY);
  dup2(nothing, STDIN_FILENO);
  dup2(console.fd[1], STDOUT_FILENO);
  console.close(0), console.close(1), stop.close(1), report.close(0);
  SystemHooks hooks;
  hooks.before_run = [&](machine::Machine& machine) {
    machine.io().add(stop.fd[0], EPOLLIN, [&machine, fd = stop.fd[0]](uint32_t) {
      machine.io().remove(fd);
      machine.request_shutdown(machine::StopCause::kHostQuit);
    });
  };
  hooks.after_run = [&](machine::Machine& machine) {
    std::string text;
    for (const auto& [name, value] : machine.vcpus().counters()) text += name + " " + std::to_string(value) + "\n";
    write_all(report.fd[1], text);
  };
  const int status = run_system("lyrebird-system-" + options.guest, options.guest, arguments, hooks);
  std::fflush(nullptr);
  _exit(status);
}

// Looks for a text in a stream, across the edges of what is read at a time.
class Finder {
 public:
  explicit Finder(std::string text) : text_(std::move(text)) {}
  bool feed(std::string_view more) {
    tail_ += more;
    if (!text_.empty() && tail_.find(text_) != tail_.npos) return true;
    if (tail_.size() > text_.size()) tail_.erase(0, tail_.size() - text_.size());
    return false;
  }

 private:
  const std::string text_;
  std::string tail_;
};

CounterList parse_report(const std::string& text) {
  CounterList list;
  for (size_t at = 0; at < text.size();) {
    const size_t space = text.find(' ', at), end = text.find('\n', at);
    if (space == text.npos || end == text.npos) break;
    list.emplace_back(text.substr(at, space - at), std::strtoull(text.c_str() + space + 1, nullptr, 10));
    at = end + 1;
  }
  return list;
}

// What the parent hears of a run until both of the child's ends are closed.
struct Heard {
  bool found = false, timed_out = false;
  double wall_s = 0;
  std::string report;
};

Heard listen(const BenchOptions& options, pid_t child, Clock::time_point began, Pipe& console, Pipe& stop,
             Pipe& report) {
  Heard heard;
  Finder finder(options.until);
  auto seconds = [&] { return std::chrono::duration<double>(Clock::now() - began).count(); };
  while (console.fd[0] >= 0 || report.fd[0] >= 0) {
    pollfd waits[] = {{console.fd[0], POLLIN, 0}, {report.fd[0], POLLIN, 0}};
    const double left = static_cast<double>(options.timeout_s) - seconds();
    if (left <= 0) {
      heard.timed_out = true;
      kill(child, SIGKILL);
      return heard;
    }
    if (poll(waits, 2, static_cast<int>(std::min(left, 60.0) * 1000) + 1) < 0 && errno != EINTR) return heard;
    std::array<char, 65536> buffer;
    if (waits[0].revents) {
      const ssize_t got = read(console.fd[0], buffer.data(), buffer.size());
      if (got <= 0) {
        console.close(0);
      } else {
        if (options.show) write_all(STDERR_FILENO, {buffer.data(), static_cast<size_t>(got)});
        if (!heard.found && finder.feed({buffer.data(), static_cast<size_t>(got)})) {
          heard.found = true;
          heard.wall_s = seconds();
          write_all(stop.fd[1], "x");
        }
      }
    }
    if (waits[1].revents) {
      const ssize_t got = read(report.fd[0], buffer.data(), buffer.size());
      if (got <= 0)
        report.close(0);
      else
        heard.report.append(buffer.data(), static_cast<size_t>(got));
    }
  }
  if (!heard.found) heard.wall_s = seconds();
  return heard;
}

// Error without a message: it has been printed.
Result<Run> run_once(const BenchOptions& options, const std::vector<const char*>& arguments) {
  Pipe console, stop, report;
  if (!console.open() || !stop.open() || !report.open())
    return Error{std::string("cannot make a pipe: ") + std::strerror(errno)};
  std::fflush(nullptr);
  const Clock::time_point began = Clock::now();
  const pid_t child = fork();
  if (child < 0) return Error{std::string("cannot start a process: ") + std::strerror(errno)};
  if (child == 0) run_child(options, arguments, console, stop, report);
  console.close(1), stop.close(0), report.close(1);
  const Heard heard = listen(options, child, began, console, stop, report);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (heard.timed_out)
    return Error{"the machine did not come to its end within " + std::to_string(options.timeout_s) + " s"};
  if (WIFSIGNALED(status)) return Error{"the machine was ended by signal " + std::to_string(WTERMSIG(status))};
  // A machine that could not be made has said why: nothing is left to say.
  if (heard.report.empty()) return Error{WEXITSTATUS(status) ? "" : "the options did not make a machine that runs"};
  if (!options.until.empty() && !heard.found)
    return Error{"the machine ended before its console showed '" + options.until + "'"};
  if (WEXITSTATUS(status) != 0) return Error{"the machine ended with status " + std::to_string(WEXITSTATUS(status))};
  return Run{heard.wall_s, parse_report(heard.report)};
}

template <typename T>
T median(std::vector<T> values) {
  std::sort(values.begin(), values.end());
  const size_t half = values.size() / 2;
  return values.size() % 2 ? values[half] : static_cast<T>((values[half - 1] + values[half]) / 2);
}

Run median_run(const std::vector<Run>& runs) {
  Run middle;
  std::vector<double> walls;
  for (const Run& run : runs) walls.push_back(run.wall_s);
  middle.wall_s = median(walls);
  for (size_t k = 0; k < runs[0].counters.size(); ++k) {
    std::vector<uint64_t> values;
    for (const Run& run : runs) values.push_back(run.counters[k].second);
    middle.counters.emplace_back(runs[0].counters[k].first, median(values));
  }
  return middle;
}

uint64_t counter(const Run& run, std::string_view name) {
  for (const auto& [key, value] : run.counters)
    if (key == name) return value;
  return 0;
}

void print_table(const BenchOptions& options, const std::vector<Run>& runs) {
  const Run middle = median_run(runs);
  std::printf("wall time, s, %s:", options.until.empty() ? "to the machine's end" : "to the text on its console");
  for (const Run& run : runs) std::printf(" %.3f", run.wall_s);
  std::printf("\n%smedian %.3f s\n\n", runs.size() > 1 ? "" : "1 run, ", middle.wall_s);
  for (const auto& [name, value] : middle.counters) {
    const auto* info = std::find_if(std::begin(kCounters), std::end(kCounters),
                                    [&, key = name](const CounterInfo& c) { return key == c.name; });
    std::printf("%-18s %16" PRIu64 "  %s\n", name.c_str(), value, info == std::end(kCounters) ? "" : info->help);
  }
  const auto insns = static_cast<double>(counter(middle, "translated_insns")),
             ns = static_cast<double>(counter(middle, "translation_ns"));
  if (insns == 0) return;
  std::printf("\n%-18s %16.1f  host bytes per guest instruction translated\n", "",
              static_cast<double>(counter(middle, "translated_bytes")) / insns);
  std::printf("%-18s %16.1f  nanoseconds per guest instruction translated\n", "", ns / insns);
  std::printf("%-18s %16.1f  percent of the wall time spent translating, all CPUs together\n", "",
              ns / 1e7 / middle.wall_s);
}

void print_json_run(const Run& run) {
  std::printf("{\"wall_s\": %.6f, \"counters\": {", run.wall_s);
  const char* comma = "";
  for (const auto& [name, value] : run.counters) {
    std::printf("%s\"%s\": %" PRIu64, comma, name.c_str(), value);
    comma = ", ";
  }
  std::printf("}}");
}

void print_json(const std::vector<Run>& runs) {
  std::printf("{\"runs\": [");
  for (size_t k = 0; k < runs.size(); ++k) {
    if (k) std::printf(",\n  ");
    print_json_run(runs[k]);
  }
  std::printf("],\n \"median\": ");
  print_json_run(median_run(runs));
  std::printf("}\n");
}

std::vector<ToolOption> option_rows(BenchOptions& options) {
  auto count_into = [](uint64_t& to, std::string_view name, uint64_t max) {
    return [&to, name, max](const std::string& text) -> Status {
      auto count = parse_count(name, text, max);
      if (!count) return count.error();
      if (*count == 0) return Error{"must be at least 1"};
      to = *count;
      return Ok{};
    };
  };
  auto flag = [](bool& to) {
    return [&to](const std::string&) -> Status {
      to = true;
      return Ok{};
    };
  };
  return {
      {"runs", "N", "how often (1)", count_into(options.runs, "runs", 10000)},
      {"until", "TEXT",
       "a run ends when its serial console, on standard output, has shown this; else when the guest powers off",
       [&](const std::string& text) -> Status {
         if (text.empty()) return Error{"needs a text"};
         options.until = text;
         return Ok{};
       }},
      {"timeout", "SECONDS", "give up on a run after so long (600)",
       count_into(options.timeout_s, "timeout", 1'000'000)},
      {"guest", "NAME", "the guest (riscv64)",
       [&](const std::string& text) -> Status {
         std::vector<std::string_view> names;
         for (const machine::BoardInfo& board : machine::boards()) names.push_back(board.guest);
         if (std::find(names.begin(), names.end(), text) == names.end())
           return Error{"there is no guest '" + text + "'" + did_you_mean(text, names)};
         options.guest = text;
         return Ok{};
       }},
      {"show", "", "pass the console on to standard error", flag(options.show)},
      {"json", "", "print JSON instead of a table", flag(options.json)},
  };
}

}  // namespace

int run_bench(Arguments arguments) {
  BenchOptions options;
  const std::vector<ToolOption> rows = option_rows(options);
  const ToolSyntax syntax{"bench", "[options] -- SYSTEM OPTIONS",
                          "Runs a machine with these options of lyrebird-system-GUEST, and prints wall time and the "
                          "engine's counters (medians of several runs).",
                          rows};
  auto parsed = parse_tool_options(syntax, arguments);
  if (!parsed) return tool_error(syntax, parsed.error());
  if (parsed->help) return std::fputs(tool_help(syntax).c_str(), stdout) < 0;
  if (!parsed->positional.empty())
    return tool_error(syntax, {"'" + parsed->positional[0] + "': the machine's options come after --"});
  if (parsed->rest.empty()) return tool_error(syntax, {"needs the machine's options, after --"});
  std::signal(SIGPIPE, SIG_IGN);  // a machine that ends while it is told to
  std::vector<Run> runs;
  for (uint64_t k = 0; k < options.runs; ++k) {
    auto run = run_once(options, parsed->rest);
    if (!run) return run.error().message.empty() ? 1 : tool_error(syntax, run.error());
    runs.push_back(std::move(*run));
  }
  options.json ? print_json(runs) : print_table(options, runs);
  return std::fflush(stdout) != 0;
}

}  // namespace lyre::cli
