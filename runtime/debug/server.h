// GdbServer: one debugger's conversation with a Target: what each packet means. Bytes come in by receive(), answers
// leave by `send`; transport and threads are its owner's. All calls come from one thread.
#pragma once
#include <deque>
#include <functional>

#include "runtime/debug/packet.h"
#include "runtime/debug/target.h"

namespace lyre::debug {

class GdbServer {
 public:
  GdbServer(Target& target, std::function<void(std::string_view)> send) : target_(target), send_(std::move(send)) {}
  ~GdbServer() { close_files(); }

  void connected();     // a debugger came: the target is stopped
  void disconnected();  // it left without a word: the target goes on
  void receive(std::span<const uint8_t> bytes);
  void stopped(const StopEvent& event);  // the target stopped or ended
  bool attached() const { return attached_; }
  // For a process that executes another program: what has been agreed on, and the same in that program's server, whose
  // first stop is to be told.
  struct Agreed {
    bool no_ack = false, multiprocess = false, exec_events = false;
  };
  const Agreed& agreed() const { return agreed_; }
  const std::vector<int>& files() const { return files_; }  // descriptors that the debugger knows by their numbers
  void go_on_with(const Agreed& agreed, std::vector<int> files);
  bool end_acknowledged() const { return end_acknowledged_ || agreed_.no_ack || !attached_; }

 private:
  using Handler = std::string (GdbServer::*)(std::string_view arguments);
  struct Row {
    std::string_view name;
    Handler handle;
  };
  struct Table;
  void take(const std::string& packet);
  void handle(std::string_view packet);
  void reply(std::string_view payload);

  std::string on_halt_reason(std::string_view);
  std::string on_extended(std::string_view);
  std::string on_continue(std::string_view arguments);
  std::string on_continue_signal(std::string_view arguments);
  std::string on_step(std::string_view arguments);
  std::string on_step_signal(std::string_view arguments);
  std::string on_detach(std::string_view arguments);
  std::string on_kill(std::string_view arguments);
  std::string on_read_registers(std::string_view);
  std::string on_write_registers(std::string_view arguments);
  std::string on_read_register(std::string_view arguments);
  std::string on_write_register(std::string_view arguments);
  std::string on_read_memory(std::string_view arguments);
  std::string on_write_memory(std::string_view arguments);
  std::string on_write_binary(std::string_view arguments);
  std::string on_set_thread(std::string_view arguments);
  std::string on_thread_alive(std::string_view arguments);
  std::string on_insert_point(std::string_view arguments);
  std::string on_remove_point(std::string_view arguments);
  std::string on_vcont(std::string_view arguments);
  std::string on_vcont_question(std::string_view);
  std::string on_vattach(std::string_view arguments);
  std::string on_supported(std::string_view arguments);
  std::string on_no_ack(std::string_view);
  std::string on_transfer(std::string_view arguments);
  std::string on_current_thread(std::string_view);
  std::string on_first_threads(std::string_view);
  std::string on_next_threads(std::string_view);
  std::string on_thread_info(std::string_view arguments);
  std::string on_attached(std::string_view);
  std::string on_command(std::string_view arguments);
  std::string on_version(std::string_view);
  std::string on_step_bits(std::string_view);
  std::string on_step_mask(std::string_view arguments);
  std::string on_physical(std::string_view arguments);
  std::string on_qemu_supported(std::string_view);
  std::string on_offsets(std::string_view);
  std::string on_pass_signals(std::string_view arguments);
  std::string on_catch_syscalls(std::string_view arguments);
  std::string on_file(std::string_view arguments);

  // p1.2, p1.-1, 2, -1, 0: a thread, or all (-1), or any (0). False: not a thread id.
  bool take_thread(std::string_view& text, int64_t& thread) const;
  bool exists(int64_t thread) const;
  std::string thread_id(unsigned thread) const;
  std::string stop_reply() const;
  std::string registers_hex(unsigned first, unsigned end);
  bool write_hex(unsigned number, std::string_view& digits);
  std::string resume_at(std::string_view arguments, Action action, unsigned signal = 0);
  std::string resume_with_signal(std::string_view arguments, Action action);
  std::string go(std::span<const Resume> actions);
  void close_files();
  std::string change_point(std::string_view arguments, bool insert);

  Target& target_;
  std::function<void(std::string_view)> send_;
  PacketReader reader_;
  std::string last_sent_;
  bool attached_ = false, running_ = false, ended_ = false, end_acknowledged_ = false;
  Agreed agreed_;
  unsigned thread_ = 1;         // of g, m, p and so on
  int64_t resume_thread_ = -1;  // of c and s
  StopEvent last_stop_;
  std::vector<Point> points_;
  std::deque<std::string> waiting_;  // packets that came before the target had stopped
  std::vector<unsigned> listed_;     // still to be told by qsThreadInfo
  std::vector<int> files_;           // that the debugger opened
};

}  // namespace lyre::debug
