// Options of the machine itself: board, CPU, memory, firmware and kernel, running.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <vector>

#include "machine/boards/boards.h"
#include "runtime/base/log.h"
#include "runtime/base/nearest.h"
#include "runtime/cli/option_handlers.h"
#include "runtime/cli/option_list.h"
#include "runtime/cli/options.h"

namespace lyre::cli {
namespace {

constexpr uint64_t kMiB = uint64_t{1} << 20;
constexpr uint64_t kMemoryGrain = 8192;  // -m is rounded up to it
constexpr uint64_t kMaxCpus = 4096;      // the board says how many it takes; this only bounds arithmetic

Status done(Settings& settings) {
  settings.exit_status = 0;
  return Ok{};
}

// "kvm:tcg" means the first one that works here.
Status choose_accel(Settings& settings, std::string_view list) {
  constexpr std::array<std::string_view, 2> kKnown = {"tcg", "interp"};
  std::string first;
  while (!list.empty()) {
    const std::string name(list.substr(0, list.find(':')));
    list.remove_prefix(std::min(list.size(), name.size() + 1));
    if (first.empty()) first = name;
    if (std::find(kKnown.begin(), kKnown.end(), name) == kKnown.end()) continue;
    settings.machine.cpu.accel = name;
    return Ok{};
  }
  return Error{"invalid accelerator '" + first + "'" + did_you_mean(first, kKnown)};
}

Result<std::string> one_of(const machine::OptionList& options, std::string_view name,
                           std::initializer_list<std::string_view> choices) {
  const std::string value = options.get(name);
  if (value.empty() || std::find(choices.begin(), choices.end(), value) != choices.end()) return value;
  return Error{"'" + std::string(name) + "' cannot be '" + value + "'" +
               did_you_mean(value, {choices.begin(), choices.size()})};
}

}  // namespace

Status on_help(Settings& settings, const std::string&) {
  std::fputs(help_text(settings).c_str(), stdout);
  return done(settings);
}

Status on_version(Settings& settings, const std::string&) {
  std::fputs(version_text(settings.program).c_str(), stdout);
  return done(settings);
}

Status on_machine(Settings& settings, const std::string& text) {
  auto list = parse_option_list(text, "type");
  if (!list) return list.error();
  if (asks_for_help(*list)) {
    std::puts("Supported machines are:");
    for (const machine::BoardInfo& board : machine::boards()) {
      if (board.guest != settings.guest) continue;
      std::printf("%-20s %s\n", std::string(board.name).c_str(), std::string(board.description).c_str());
    }
    return done(settings);
  }
  if (const std::string* type = list->find("")) {
    if (auto board = machine::find_board(settings.guest, *type); !board) return board.error();
    settings.machine.board = *type;
  }
  for (auto& [name, value] : list->items) {
    if (name.empty()) continue;
    if (name == "accel") {
      if (Status status = choose_accel(settings, value); !status) return status;
      continue;
    }
    // What libvirt says to every machine, and what has no effect here.
    if (name == "usb" || name == "dump-guest-core" || name == "graphics") continue;
    settings.machine.board_options.items.emplace_back(name, value);
  }
  return Ok{};
}

Status on_cpu(Settings& settings, const std::string& text) {
  auto list = parse_option_list(text, "model");
  if (!list) return list.error();
  if (asks_for_help(*list)) {
    std::puts("Available CPUs:");
    for (const auto& model : runtime::cpu_models(settings.guest))
      std::printf("  %-18s %s\n", model.name.c_str(), model.description.c_str());
    std::puts("\nRecognized features, as feature=on|off:");
    for (const auto& feature : runtime::cpu_features(settings.guest)) {
      std::printf("  %-18s %s\n", feature.name.c_str(), feature.description.c_str());
    }
    return done(settings);
  }
  std::vector<std::string_view> names;
  const auto models = runtime::cpu_models(settings.guest);
  for (const auto& model : models) names.push_back(model.name);
  const std::string model = list->get("");
  if (std::find(names.begin(), names.end(), model) == names.end()) {
    return Error{"unable to find CPU model '" + model + "'" + did_you_mean(model, names)};
  }
  settings.machine.cpu.model = model;
  settings.machine.cpu.features.clear();
  const auto features = runtime::cpu_features(settings.guest);
  for (auto& [name, value] : list->items) {
    if (name.empty()) continue;
    // +zba and -zba are older spellings of zba=on and zba=off.
    const bool plus = name[0] == '+', minus = name[0] == '-';
    const std::string feature = plus || minus ? name.substr(1) : name;
    names.clear();
    for (const auto& known : features) names.push_back(known.name);
    if (std::find(names.begin(), names.end(), feature) == names.end()) {
      return Error{"CPU model '" + model + "' has no feature '" + feature + "'" + did_you_mean(feature, names)};
    }
    settings.machine.cpu.features.push_back(feature + "=" + (minus ? "off" : plus ? "on" : value));
  }
  return Ok{};
}

Status on_accel(Settings& settings, const std::string& text) {
  auto list = parse_option_list(text, "accel");
  if (!list) return list.error();
  if (asks_for_help(*list)) {
    std::puts("Accelerators supported in this binary:\ntcg\ninterp");
    return done(settings);
  }
  if (Status status = check_names(*list, {"thread", "tb-size", "counted", "one-insn-per-tb", "split-wx"}); !status) return status;
  if (Status status = choose_accel(settings, list->get("")); !status) return status;
  const auto thread = one_of(*list, "thread", {"single", "multi"});
  if (!thread) return thread.error();
  settings.machine.cpu.single_thread = *thread == "single";
  if (const std::string* size = list->find("tb-size")) {
    const auto mib = parse_count("tb-size", *size, uint64_t{1} << 20);
    if (!mib) return mib.error();
    settings.machine.cpu.code_cache_bytes = *mib * kMiB;
  }
  const std::pair<std::string_view, bool*> switches[] = {{"counted", &settings.machine.cpu.counted},
                                                         {"one-insn-per-tb", &settings.machine.cpu.one_insn_per_tb}};
  for (const auto& [name, value] : switches) {
    const auto given = one_of(*list, name, {"off", "on"});
    if (!given) return given.error();
    *value = *given == "on";
  }
  if (list->get("split-wx", "off") != "off") return Error{"'split-wx' can only be off"};
  return Ok{};
}

Status on_smp(Settings& settings, const std::string& text) {
  auto list = parse_option_list(text, "cpus");
  if (!list) return list.error();
  if (Status status = check_names(*list, {"sockets", "dies", "clusters", "cores", "threads", "maxcpus"}); !status)
    return status;
  uint64_t cpus = 0, sockets = 0, dies = 1, clusters = 1, cores = 0, threads = 0, maxcpus = 0;
  const std::pair<std::string_view, uint64_t*> fields[] = {
      {"", &cpus},       {"sockets", &sockets}, {"dies", &dies},      {"clusters", &clusters},
      {"cores", &cores}, {"threads", &threads}, {"maxcpus", &maxcpus}};
  for (auto [name, value] : fields) {
    const std::string* given = list->find(name);
    if (!given) continue;
    const auto count = parse_count(name.empty() ? "cpus" : name, *given, kMaxCpus);
    if (!count) return count.error();
    if (*count == 0) return Error{"Invalid CPU topology: CPU topology parameters must be greater than zero"};
    *value = *count;
  }
  if (dies != 1 || clusters != 1) return Error{"this machine has no dies and clusters to set"};
  // What is not given follows from the rest, cores before sockets.
  const uint64_t total = maxcpus ? maxcpus : cpus;
  if (!threads && sockets && cores && total) threads = std::max<uint64_t>(1, total / (sockets * cores));
  if (!threads) threads = 1;
  if (!cores) cores = total ? std::max<uint64_t>(1, total / ((sockets ? sockets : 1) * threads)) : 1;
  if (!sockets) sockets = total ? std::max<uint64_t>(1, total / (cores * threads)) : 1;
  const uint64_t product = sockets * cores * threads;
  if (!maxcpus) maxcpus = cpus ? cpus : product;
  if (!cpus) cpus = maxcpus;
  if (product != maxcpus) {
    return Error{"Invalid CPU topology: product of the hierarchy must match maxcpus: sockets (" +
                 std::to_string(sockets) + ") * cores (" + std::to_string(cores) + ") * threads (" +
                 std::to_string(threads) + ") != maxcpus (" + std::to_string(maxcpus) + ")"};
  }
  if (maxcpus != cpus) return Error{"CPU hot-plug is not supported: maxcpus must equal cpus"};
  settings.machine.cpu.count = static_cast<unsigned>(cpus);
  settings.machine.sockets = static_cast<unsigned>(sockets);
  settings.machine.cores = static_cast<unsigned>(cores);
  settings.machine.threads = static_cast<unsigned>(threads);
  return Ok{};
}

Status on_memory(Settings& settings, const std::string& text) {
  auto list = parse_option_list(text, "size");
  if (!list) return list.error();
  if (Status status = check_names(*list, {"slots", "maxmem"}); !status) return status;
  if (list->get("slots", "0") != "0" || list->find("maxmem"))
    return Error{"memory hot-plug is not supported: no slots= and maxmem="};
  const std::string* given = list->find("");
  if (!given) return Error{"needs a size"};
  const auto size = parse_size(*given, kMiB);
  if (!size) return size.error();
  if (*size > UINT64_MAX - kMemoryGrain) return Error{"'" + *given + "' is too large"};
  if (*size) settings.machine.ram_bytes = (*size + kMemoryGrain - 1) / kMemoryGrain * kMemoryGrain;
  return Ok{};
}

Status on_name(Settings& settings, const std::string& text) {
  auto list = parse_option_list(text, "guest");
  if (!list) return list.error();
  if (Status status = check_names(*list, {"debug-threads", "process"}); !status) return status;
  settings.machine.name = list->get("");
  return Ok{};
}

Status on_uuid(Settings& settings, const std::string& text) {
  const std::string_view shape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  bool good = text.size() == shape.size();
  for (size_t i = 0; good && i < shape.size(); ++i) {
    good = shape[i] == '-' ? text[i] == '-' : std::isxdigit(static_cast<unsigned char>(text[i])) != 0;
  }
  if (!good) return Error{"'" + text + "' is not a UUID"};
  std::string digits;
  std::copy_if(text.begin(), text.end(), std::back_inserter(digits), [](char c) { return c != '-'; });
  for (size_t i = 0; i < settings.machine.uuid.size(); ++i)
    settings.machine.uuid[i] = static_cast<uint8_t>(std::stoul(digits.substr(2 * i, 2), nullptr, 16));
  return Ok{};
}

// Drives have letters, each at most once. They mean something to firmware that was told of such a list, which this
// board's never is.
static Status check_drive_letters(std::string_view letters) {
  for (size_t i = 0; i < letters.size(); ++i) {
    const std::string letter(1, letters[i]);
    if (letters[i] < 'a' || letters[i] > 'p') return Error{"Invalid boot device '" + letter + "'"};
    if (letters.find(letters[i]) != i) return Error{"Boot device '" + letter + "' was given twice"};
  }
  return Ok{};
}

static Result<int32_t> milliseconds(const machine::OptionList& list, std::string_view name, int32_t lowest) {
  const std::string text = list.get(name);
  char* end = nullptr;
  errno = 0;
  const long value = std::strtol(text.c_str(), &end, 10);
  if (text.empty() || *end || errno || value < lowest || value > 65535)
    return Error{"'" + std::string(name) + "' is a number of milliseconds from " + std::to_string(lowest) +
                 " to 65535"};
  return static_cast<int32_t>(value);
}

Status on_boot(Settings& settings, const std::string& text) {
  auto list = parse_option_list(text, "order");
  if (!list) return list.error();
  if (Status status = check_names(*list, {"once", "menu", "splash", "splash-time", "reboot-timeout", "strict"});
      !status)
    return status;
  for (std::string_view name : {"", "once"}) {
    if (Status status = check_drive_letters(list->get(name)); !status) return status;
  }
  if (list->find("once")) return Error{"the firmware of this board cannot be told a boot order, for once or for ever"};
  const auto menu = one_of(*list, "menu", {"on", "off"}), strict = one_of(*list, "strict", {"on", "off"});
  if (!menu) return menu.error();
  if (!strict) return strict.error();
  machine::BootConfig& boot = settings.machine.boot;
  if (!menu->empty()) boot.menu = *menu == "on";
  if (list->find("splash-time")) {
    const auto wait = milliseconds(*list, "splash-time", 0);
    if (!wait) return wait.error();
    boot.menu_wait_ms = static_cast<uint16_t>(*wait);
  }
  if (list->find("reboot-timeout")) {
    const auto wait = milliseconds(*list, "reboot-timeout", -1);
    if (!wait) return wait.error();
    boot.fail_wait_ms = *wait;
  }
  if (list->find("splash")) boot.splash = list->get("splash");
  return Ok{};
}

Status on_data_directory(Settings& settings, const std::string& text) {
  if (is_help(text)) {
    for (const std::string& directory : settings.data_directories) std::puts(directory.c_str());
    return done(settings);
  }
  settings.data_directories.push_back(text);
  return Ok{};
}

Status on_bios(Settings& settings, const std::string& text) {
  settings.machine.bios = text;
  return Ok{};
}
Status on_kernel(Settings& settings, const std::string& text) {
  settings.machine.kernel = text;
  return Ok{};
}
Status on_initrd(Settings& settings, const std::string& text) {
  settings.machine.initrd = text;
  return Ok{};
}
Status on_append(Settings& settings, const std::string& text) {
  settings.machine.append = text;
  return Ok{};
}
Status on_dtb(Settings& settings, const std::string& text) {
  settings.machine.dtb = text;
  return Ok{};
}

Status on_fw_cfg(Settings& settings, const std::string& text) {
  auto list = parse_option_list(text, "name");
  if (!list) return list.error();
  if (Status status = check_names(*list, {"file", "string"}); !status) return status;
  if (list->get("").empty()) return Error{"needs name=NAME"};
  if ((list->find("file") != nullptr) == (list->find("string") != nullptr))
    return Error{"needs file=FILE or string=TEXT"};
  settings.machine.fw_cfg.push_back(std::move(*list));
  return Ok{};
}

Status on_rtc(Settings& settings, const std::string& text) {
  auto list = parse_option_list(text);
  if (!list) return list.error();
  if (Status status = check_names(*list, {"base", "clock", "driftfix"}); !status) return status;
  const auto base = one_of(*list, "base", {"utc", "localtime"}), clock = one_of(*list, "clock", {"host"}),
             drift = one_of(*list, "driftfix", {"none", "slew"});
  for (const auto* choice : {&base, &clock, &drift}) {
    if (!*choice) return choice->error();
  }
  settings.machine.rtc_localtime = *base == "localtime";
  return Ok{};
}

Status on_start_paused(Settings& settings, const std::string&) {
  settings.machine.start_paused = true;
  return Ok{};
}
Status on_no_reboot(Settings& settings, const std::string&) {
  settings.machine.no_reboot = true;
  return Ok{};
}
Status on_no_shutdown(Settings& settings, const std::string&) {
  settings.machine.no_shutdown = true;
  return Ok{};
}

Status on_action(Settings& settings, const std::string& text) {
  auto list = parse_option_list(text);
  if (!list) return list.error();
  if (Status status = check_names(*list, {"reboot", "shutdown", "panic", "watchdog"}); !status) return status;
  const auto reboot = one_of(*list, "reboot", {"reset", "shutdown"}),
             shutdown = one_of(*list, "shutdown", {"poweroff", "pause"});
  if (!reboot) return reboot.error();
  if (!shutdown) return shutdown.error();
  if (!reboot->empty()) settings.machine.no_reboot = *reboot == "shutdown";
  if (!shutdown->empty()) settings.machine.no_shutdown = *shutdown == "pause";
  return Ok{};
}

Status on_enable_kvm(Settings&, const std::string&) {
  return Error{"the guest cannot run on the host's processor; use -accel tcg"};
}

Status on_log_items(Settings& settings, const std::string& text) {
  if (is_help(text)) {
    std::puts("Log items (comma separated):");
    for (const LogItem& item : log_items())
      std::printf("%-15s %s\n", std::string(item.name).c_str(), std::string(item.help).c_str());
    return done(settings);
  }
  return log_set_items(text);
}

Status on_log_file(Settings&, const std::string& text) { return log_set_file(text); }
Status on_log_filter(Settings&, const std::string& text) { return log_set_filter(text); }

}  // namespace lyre::cli
