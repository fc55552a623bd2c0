// Limits: the resource limits that are the guest's alone (getrlimit(2)). Limits on memory, stack and core files would be
// limits on the emulator, so the host's stay as they were: the guest reads and sets its own copy, the emulator keeps to
// it where the kernel would, and programs that are executed are given it. All other limits are the host's.
// Threads: any.
#pragma once
#include <sys/resource.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <new>
#include <string>

namespace lyre::linux_user {

class Limits {
 public:
  // As the host's are now.
  Limits();
  Limits(const Limits& other);

  // RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE.
  static bool holds(int resource) { return index_of(resource) < kCount; }
  // For a resource that is held here.
  rlimit get(int resource) const;
  // 0, -EINVAL (soft above hard), -EPERM (hard raised without the right to).
  int64_t set(int resource, const rlimit& wanted);

  // In a forked child: whoever was setting a limit in the parent does not here.
  void forked() { new (&mutex_) std::mutex; }

  // For the option by which an emulator tells the one that it executes: "RESOURCE:SOFT:HARD,...". Empty: none was set.
  std::string text() const;
  // False: it is not of that form. What the host's limits allow counts for nothing here.
  bool parse(const std::string& text);
  // The host's become these, for a program of the host's own that is executed; restore() if that failed.
  void apply_to_host();
  void restore_host();

 private:
  static constexpr int kResources[] = {RLIMIT_AS, RLIMIT_DATA, RLIMIT_STACK, RLIMIT_CORE};
  static constexpr unsigned kCount = sizeof kResources / sizeof kResources[0];
  static unsigned index_of(int resource) {
    unsigned k = 0;
    while (k < kCount && kResources[k] != resource) ++k;
    return k;
  }
  rlimit value(unsigned k) const { return {soft_[k].load(std::memory_order_relaxed), hard_[k].load(std::memory_order_relaxed)}; }
  void put(unsigned k, const rlimit& limit) { soft_[k] = limit.rlim_cur, hard_[k] = limit.rlim_max; }

  mutable std::mutex mutex_;  // of those that set; reading, as each mmap does, takes none
  std::atomic<rlim_t> soft_[kCount], hard_[kCount];
  rlimit host_[kCount];
  bool set_[kCount] = {};
};

}  // namespace lyre::linux_user
