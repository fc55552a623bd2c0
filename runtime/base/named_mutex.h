// NamedMutex: a mutex of which a report can say who holds it and who waits for it (`info stuck`, SIGQUIT). Devices and
// the code cache lock with it. Each thread notes in its own LockNotes what it holds and waits for: a few stores
// an acquisition, and reading them takes no lock and stops nobody. Names outlive the mutex; a mutex outlives every
// report of a thread that may hold it.
#pragma once
#include <array>
#include <atomic>
#include <mutex>
#include <string>

namespace lyre {

class NamedMutex;

// One thread's locks. Written by that thread only.
class LockNotes {
 public:
  // "holds uart, waits for plic (held by io)"; empty: neither. (any thread)
  std::string text() const;

 private:
  friend class NamedMutex;
  static constexpr unsigned kDepth = 4;  // deeper ones are counted, not named
  std::atomic<const NamedMutex*> waits_for_{nullptr};
  std::array<std::atomic<const NamedMutex*>, kDepth> held_{};
  unsigned depth_ = 0;
  const char* thread_ = nullptr;  // its name, kept for ever
};

// Makes `notes` the calling thread's; null gives back its own. They must live as long as the thread locks anything.
// Other threads have notes by themselves.
void use_lock_notes(LockNotes* notes);

class NamedMutex {
 public:
  explicit NamedMutex(const char* name) : name_(name) {}
  NamedMutex(const NamedMutex&) = delete;
  NamedMutex& operator=(const NamedMutex&) = delete;

  void lock();
  bool try_lock();
  void unlock();
  const char* name() const { return name_; }
  const char* holder() const { return holder_.load(std::memory_order_acquire); }  // name of a thread; null: free

 private:
  void note(LockNotes& notes);
  std::mutex mutex_;
  const char* const name_;
  std::atomic<const char*> holder_{nullptr};
};

}  // namespace lyre
