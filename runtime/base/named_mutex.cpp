#include "runtime/base/named_mutex.h"

#include <pthread.h>

#include <set>

namespace lyre {
namespace {

thread_local LockNotes own_notes;
thread_local LockNotes* current_notes = nullptr;

LockNotes& notes_of_thread() { return current_notes ? *current_notes : own_notes; }

// The calling thread's name. Never freed: a report may read it after the thread has ended.
const char* thread_name() {
  static std::mutex mutex;
  static auto* names = new std::set<std::string>;
  char name[16] = "";
  pthread_getname_np(pthread_self(), name, sizeof name);
  std::lock_guard lock(mutex);
  return names->insert(name).first->c_str();
}

}  // namespace

void use_lock_notes(LockNotes* notes) { current_notes = notes; }

std::string LockNotes::text() const {
  std::string text;
  for (const auto& held : held_) {
    const NamedMutex* mutex = held.load(std::memory_order_acquire);
    if (mutex) text += (text.empty() ? "holds the lock of " : " and ") + std::string(mutex->name());
  }
  const NamedMutex* mutex = waits_for_.load(std::memory_order_acquire);
  if (!mutex) return text;
  if (!text.empty()) text += ", ";
  text += "waits for the lock of " + std::string(mutex->name());
  const char* holder = mutex->holder();
  return holder ? text + " (held by " + holder + ")" : text;
}

void NamedMutex::lock() {
  LockNotes& notes = notes_of_thread();
  if (!mutex_.try_lock()) {
    notes.waits_for_.store(this, std::memory_order_release);
    mutex_.lock();
    notes.waits_for_.store(nullptr, std::memory_order_release);
  }
  note(notes);
}

bool NamedMutex::try_lock() {
  if (!mutex_.try_lock()) return false;
  note(notes_of_thread());
  return true;
}

void NamedMutex::note(LockNotes& notes) {
  if (!notes.thread_) notes.thread_ = thread_name();
  holder_.store(notes.thread_, std::memory_order_release);
  if (notes.depth_ < LockNotes::kDepth) notes.held_[notes.depth_].store(this, std::memory_order_release);
  ++notes.depth_;
}

// Locks are given back in any order: what was noted above this one moves down.
void NamedMutex::unlock() {
  LockNotes& notes = notes_of_thread();
  --notes.depth_;
  unsigned at = 0;
  while (at < LockNotes::kDepth && notes.held_[at].load(std::memory_order_relaxed) != this) ++at;
  for (; at < LockNotes::kDepth; ++at) {
    const NamedMutex* above =
        at + 1 < LockNotes::kDepth ? notes.held_[at + 1].load(std::memory_order_relaxed) : nullptr;
    notes.held_[at].store(above, std::memory_order_release);
    if (!above) break;
  }
  holder_.store(nullptr, std::memory_order_release);
  mutex_.unlock();
}

}  // namespace lyre
