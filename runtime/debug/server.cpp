// The conversation: connections, packets by name, threads, running and stopping. Registers, memory and documents:
// server_data.cpp.
#include "runtime/debug/server.h"

#include <algorithm>
#include <cstdio>
#include <utility>

namespace lyre::debug {
namespace {

// What an answer that is sent later looks like to handle(): nothing is sent now.
constexpr std::string_view kLater{"\0later", 6};
constexpr std::string_view kBadRequest = "E22", kNoThread = "E03";

std::string hex_byte(unsigned value) {
  char text[8];
  std::snprintf(text, sizeof text, "%02x", value);
  return text;
}

}  // namespace

// Longer names before their beginnings. Never in memory: a user-mode process would relocate it at every start.
struct GdbServer::Table {
  using S = GdbServer;
  static constexpr Row kRows[] = {
      {"vCont?", &S::on_vcont_question},
      {"vCont;", &S::on_vcont},
      {"vAttach;", &S::on_vattach},
      {"vKill;", &S::on_kill},
      {"qSupported", &S::on_supported},
      {"QStartNoAckMode", &S::on_no_ack},
      {"qXfer:", &S::on_transfer},
      {"qfThreadInfo", &S::on_first_threads},
      {"qsThreadInfo", &S::on_next_threads},
      {"qThreadExtraInfo,", &S::on_thread_info},
      {"qAttached", &S::on_attached},
      {"qRcmd,", &S::on_command},
      {"qGDBServerVersion", &S::on_version},
      {"qqemu.sstepbits", &S::on_step_bits},
      {"qqemu.sstep", &S::on_step_mask},
      {"Qqemu.sstep", &S::on_step_mask},
      {"qqemu.PhyMemMode", &S::on_physical},
      {"Qqemu.PhyMemMode", &S::on_physical},
      {"qqemu.Supported", &S::on_qemu_supported},
      {"vFile:", &S::on_file},
      {"QPassSignals:", &S::on_pass_signals},
      {"QCatchSyscalls:", &S::on_catch_syscalls},
      {"qOffsets", &S::on_offsets},
      {"qC", &S::on_current_thread},
      {"?", &S::on_halt_reason},
      {"!", &S::on_extended},
      {"c", &S::on_continue},
      {"C", &S::on_continue_signal},
      {"s", &S::on_step},
      {"S", &S::on_step_signal},
      {"D", &S::on_detach},
      {"k", &S::on_kill},
      {"g", &S::on_read_registers},
      {"G", &S::on_write_registers},
      {"p", &S::on_read_register},
      {"P", &S::on_write_register},
      {"m", &S::on_read_memory},
      {"M", &S::on_write_memory},
      {"X", &S::on_write_binary},
      {"H", &S::on_set_thread},
      {"T", &S::on_thread_alive},
      {"Z", &S::on_insert_point},
      {"z", &S::on_remove_point},
  };
  template <size_t... I>
  static bool find(GdbServer& server, std::string_view packet, std::string& answer, std::index_sequence<I...>) {
    return (try_row<I>(server, packet, answer) || ...);
  }
  template <size_t I>
  static bool try_row(GdbServer& server, std::string_view packet, std::string& answer) {
    constexpr Row row = kRows[I];
    if (!packet.starts_with(row.name)) return false;
    answer = (server.*row.handle)(packet.substr(row.name.size()));
    return true;
  }
};

void GdbServer::connected() {
  reader_.reset();
  running_ = ended_ = end_acknowledged_ = false;
  agreed_ = {};
  points_.clear();
  waiting_.clear();
  const auto threads = target_.threads();
  thread_ = threads.empty() ? 1 : threads.front(), resume_thread_ = -1;
  last_stop_ = {.thread = thread_};
  close_files();
  attached_ = true;
  target_.attach();
  if (!target_.is_stopped()) target_.stop();
}

void GdbServer::go_on_with(const Agreed& agreed, std::vector<int> files) {
  connected();
  files_ = std::move(files);
  agreed_ = agreed;
  running_ = true;
}

void GdbServer::disconnected() {
  if (!attached_) return;
  attached_ = running_ = false;
  waiting_.clear();
  close_files();
  target_.detach();
}

void GdbServer::receive(std::span<const uint8_t> bytes) {
  for (PacketEvent& event : reader_.take(bytes)) {
    switch (event.kind) {
      case PacketEvent::Kind::kPacket:
        if (!agreed_.no_ack) send_("+");
        take(event.payload);
        break;
      case PacketEvent::Kind::kBad:
        if (!agreed_.no_ack) send_("-");
        break;
      case PacketEvent::Kind::kInterrupt:
        if (attached_ && running_) target_.stop();
        break;
      case PacketEvent::Kind::kNak:
        if (!agreed_.no_ack && !last_sent_.empty()) send_(last_sent_);
        break;
      case PacketEvent::Kind::kAck:
        if (ended_) end_acknowledged_ = true;
        break;
    }
  }
}

// A packet that asks about a running target stops it first: somebody else (the monitor) may have let it run.
void GdbServer::take(const std::string& packet) {
  if (!attached_) return;
  if (running_ || !target_.is_stopped() || !waiting_.empty()) {
    running_ = false;
    waiting_.push_back(packet);
    if (waiting_.size() == 1) target_.stop();
    return;
  }
  handle(packet);
}

void GdbServer::reply(std::string_view payload) {
  last_sent_ = frame_packet(payload);
  send_(last_sent_);
}

void GdbServer::handle(std::string_view packet) {
  std::string answer;  // of a packet that is not known
  Table::find(*this, packet, answer, std::make_index_sequence<std::size(Table::kRows)>());
  if (answer != kLater) reply(answer);
}

void GdbServer::stopped(const StopEvent& event) {
  if (!attached_) return;
  last_stop_ = event;
  ended_ = event.kind == StopEvent::Kind::kExited || event.kind == StopEvent::Kind::kKilled;
  if (!ended_) thread_ = event.thread;
  if (running_ || ended_) {
    running_ = false;
    reply(stop_reply());
  }
  const auto packets = std::exchange(waiting_, {});
  for (const std::string& packet : packets) take(packet);
}

std::string GdbServer::stop_reply() const {
  if (last_stop_.kind == StopEvent::Kind::kExited || last_stop_.kind == StopEvent::Kind::kKilled) {
    const std::string text =
        (last_stop_.kind == StopEvent::Kind::kExited ? "W" : "X") + hex_byte(last_stop_.number & 0xff);
    char process[24];
    std::snprintf(process, sizeof process, ";process:%x", target_.process_id());
    return agreed_.multiprocess ? text + process : text;
  }
  std::string text = "T" + hex_byte(last_stop_.number) + "thread:" + thread_id(last_stop_.thread) + ";";
  if (last_stop_.kind == StopEvent::Kind::kWatch) {
    const char* name = last_stop_.watch == PointKind::kReadWatch     ? "rwatch"
                       : last_stop_.watch == PointKind::kAccessWatch ? "awatch"
                                                                     : "watch";
    char address[40];
    std::snprintf(address, sizeof address, "%s:%llx;", name, static_cast<unsigned long long>(last_stop_.address));
    text += address;
  } else if (last_stop_.kind == StopEvent::Kind::kSyscallEntry || last_stop_.kind == StopEvent::Kind::kSyscallReturn) {
    char call[40];
    std::snprintf(call, sizeof call, "%s:%llx;",
                  last_stop_.kind == StopEvent::Kind::kSyscallEntry ? "syscall_entry" : "syscall_return",
                  static_cast<unsigned long long>(last_stop_.address));
    text += call;
  } else if (last_stop_.kind == StopEvent::Kind::kExec) {
    text += "exec:" + to_hex(last_stop_.path) + ";";
  }
  return text;
}

std::string GdbServer::on_halt_reason(std::string_view) {
  points_.clear();
  target_.set_points(points_);
  return stop_reply();
}
std::string GdbServer::on_extended(std::string_view) { return "OK"; }

// Threads.

std::string GdbServer::thread_id(unsigned thread) const {
  char text[32];
  if (agreed_.multiprocess)
    std::snprintf(text, sizeof text, "p%02x.%02x", target_.process_id(), thread);
  else
    std::snprintf(text, sizeof text, "%02x", thread);
  return text;
}

bool GdbServer::take_thread(std::string_view& text, int64_t& thread) const {
  auto number = [&](int64_t& value) {
    if (text.starts_with("-1")) {
      text.remove_prefix(2);
      value = -1;
      return true;
    }
    uint64_t digits;
    if (!take_hex(text, digits) || digits > INT32_MAX) return false;
    value = static_cast<int64_t>(digits);
    return true;
  };
  if (!text.starts_with("p")) return number(thread);
  text.remove_prefix(1);
  int64_t process;
  if (!number(process)) return false;
  thread = -1;  // a process alone: all its threads
  if (text.starts_with(".")) {
    text.remove_prefix(1);
    if (!number(thread)) return false;
  }
  return process <= 0 || process == static_cast<int64_t>(target_.process_id());
}

bool GdbServer::exists(int64_t thread) const {
  const auto threads = target_.threads();
  return thread > 0 && std::find(threads.begin(), threads.end(), static_cast<unsigned>(thread)) != threads.end();
}

std::string GdbServer::on_set_thread(std::string_view arguments) {
  if (arguments.empty()) return std::string(kBadRequest);
  const char what = arguments.front();
  arguments.remove_prefix(1);
  int64_t thread;
  if ((what != 'g' && what != 'c') || !take_thread(arguments, thread)) return std::string(kBadRequest);
  if (thread > 0 && !exists(thread)) return std::string(kBadRequest);
  if (what == 'c')
    resume_thread_ = thread;
  else if (thread > 0)
    thread_ = static_cast<unsigned>(thread);
  return "OK";
}

std::string GdbServer::on_thread_alive(std::string_view arguments) {
  int64_t thread;
  return take_thread(arguments, thread) && exists(thread) ? "OK" : std::string(kNoThread);
}

std::string GdbServer::on_current_thread(std::string_view) { return "QC" + thread_id(thread_); }

std::string GdbServer::on_first_threads(std::string_view arguments) {
  listed_ = target_.threads();
  return on_next_threads(arguments);
}
std::string GdbServer::on_next_threads(std::string_view) {
  if (listed_.empty()) return "l";
  constexpr size_t kAtOnce = 512;
  const size_t count = std::min(listed_.size(), kAtOnce);
  std::string text = "m";
  for (size_t i = 0; i < count; ++i) text += (i ? "," : "") + thread_id(listed_[i]);
  listed_.erase(listed_.begin(), listed_.begin() + static_cast<ptrdiff_t>(count));
  return text;
}

std::string GdbServer::on_thread_info(std::string_view arguments) {
  int64_t thread;
  if (!take_thread(arguments, thread) || !exists(thread)) return std::string(kBadRequest);
  return to_hex(target_.thread_info(static_cast<unsigned>(thread)));
}

// Running.

std::string GdbServer::go(std::span<const Resume> actions) {
  running_ = true;
  target_.resume(actions);
  return std::string(kLater);
}

// c and s of the thread that Hc chose; a step steps one thread, and the others stand still.
std::string GdbServer::resume_at(std::string_view arguments, Action action, unsigned signal) {
  const unsigned chosen = resume_thread_ > 0 ? static_cast<unsigned>(resume_thread_) : thread_;
  if (uint64_t address; !arguments.empty()) {
    if (!take_hex(arguments, address)) return std::string(kBadRequest);
    if (!target_.write_register(chosen, target_.guest().core_registers() - 1, address)) return std::string(kBadRequest);
  }
  std::vector<Resume> actions;
  for (unsigned thread : target_.threads())
    if (action == Action::kContinue || thread == chosen)
      actions.push_back({thread, action, thread == chosen ? signal : 0});
  return go(actions);
}

std::string GdbServer::on_continue(std::string_view arguments) { return resume_at(arguments, Action::kContinue); }
std::string GdbServer::on_step(std::string_view arguments) { return resume_at(arguments, Action::kStep); }

// C SIGNAL[;ADDRESS]
std::string GdbServer::resume_with_signal(std::string_view arguments, Action action) {
  uint64_t signal;
  if (!take_hex(arguments, signal) || signal > 255) return std::string(kBadRequest);
  if (arguments.starts_with(";")) arguments.remove_prefix(1);
  return resume_at(arguments, action, static_cast<unsigned>(signal));
}
std::string GdbServer::on_continue_signal(std::string_view arguments) {
  return resume_with_signal(arguments, Action::kContinue);
}
std::string GdbServer::on_step_signal(std::string_view arguments) {
  return resume_with_signal(arguments, Action::kStep);
}

std::string GdbServer::on_vcont_question(std::string_view) { return "vCont;c;C;s;S"; }

// vCont;ACTION[:THREAD]...: the leftmost action that names a thread is its own; who is not named stands still.
std::string GdbServer::on_vcont(std::string_view arguments) {
  const auto threads = target_.threads();
  std::vector<Resume> actions;
  auto give = [&](const Resume& resume) {
    const bool has =
        std::any_of(actions.begin(), actions.end(), [&](const Resume& each) { return each.thread == resume.thread; });
    if (!has) actions.push_back(resume);
  };
  while (!arguments.empty()) {
    const char kind = arguments.front();
    arguments.remove_prefix(1);
    if (kind != 'c' && kind != 'C' && kind != 's' && kind != 'S') return std::string(kBadRequest);
    uint64_t signal = 0;
    if ((kind == 'C' || kind == 'S') && (!take_hex(arguments, signal) || signal > 255)) return std::string(kBadRequest);
    const Action action = kind == 'c' || kind == 'C' ? Action::kContinue : Action::kStep;
    int64_t wanted = -1;
    if (arguments.starts_with(":")) {
      arguments.remove_prefix(1);
      if (!take_thread(arguments, wanted) || (wanted > 0 && !exists(wanted))) return std::string(kBadRequest);
    }
    if (wanted == 0) give({thread_, action, static_cast<unsigned>(signal)});
    for (unsigned thread : threads)
      if (wanted == -1 || wanted == static_cast<int64_t>(thread))
        give({thread, action, static_cast<unsigned>(signal)});
    if (!arguments.empty() && !arguments.starts_with(";")) return std::string(kBadRequest);
    if (!arguments.empty()) arguments.remove_prefix(1);
  }
  if (actions.empty()) return std::string(kBadRequest);
  return go(actions);
}

std::string GdbServer::on_vattach(std::string_view arguments) {
  uint64_t process;
  if (!take_hex(arguments, process) || process != target_.process_id()) return std::string(kBadRequest);
  return stop_reply();
}

std::string GdbServer::on_detach(std::string_view) {
  reply("OK");
  attached_ = false;
  close_files();
  target_.detach();
  return std::string(kLater);
}

// Both k and vKill;PROCESS; only the latter is answered, and a debugger that sent k has gone already.
std::string GdbServer::on_kill(std::string_view arguments) {
  if (!arguments.empty()) reply("OK");
  attached_ = false;
  target_.kill();
  return std::string(kLater);
}

// Points.

std::string GdbServer::on_insert_point(std::string_view arguments) { return change_point(arguments, true); }
std::string GdbServer::on_remove_point(std::string_view arguments) { return change_point(arguments, false); }

std::string GdbServer::change_point(std::string_view arguments, bool insert) {
  uint64_t kind, address, bytes;
  auto comma = [&] {
    const bool there = arguments.starts_with(",");
    if (there) arguments.remove_prefix(1);
    return there;
  };
  if (!take_hex(arguments, kind) || !comma() || !take_hex(arguments, address) || !comma() ||
      !take_hex(arguments, bytes))
    return std::string(kBadRequest);
  if (kind > 4 || !target_.supports(static_cast<PointKind>(kind))) return {};
  const Point point{static_cast<PointKind>(kind), address, bytes};
  const bool watch = point.kind >= PointKind::kWriteWatch;
  if (watch && (bytes == 0 || address + bytes - 1 < address)) return std::string(kBadRequest);
  const auto found = std::find(points_.begin(), points_.end(), point);
  if (insert == (found != points_.end())) return "OK";  // inserting twice and removing twice are allowed
  if (insert)
    points_.push_back(point);
  else
    points_.erase(found);
  target_.set_points(points_);
  return "OK";
}

}  // namespace lyre::debug
