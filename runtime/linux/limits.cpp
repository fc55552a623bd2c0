#include "runtime/linux/limits.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>

namespace lyre::linux_user {
namespace {

// The C library's prototypes take enumerations of its own.
bool host_limit(int resource, const rlimit* wanted, rlimit* now) {
  return syscall(SYS_prlimit64, 0, resource, wanted, now) == 0;
}

}  // namespace

Limits::Limits() {
  for (unsigned k = 0; k < kCount; ++k) {
    if (!host_limit(kResources[k], nullptr, &host_[k])) host_[k] = {RLIM_INFINITY, RLIM_INFINITY};
    put(k, host_[k]);
  }
}

Limits::Limits(const Limits& other) {
  std::lock_guard lock(other.mutex_);
  for (unsigned k = 0; k < kCount; ++k)
    put(k, other.value(k)), host_[k] = other.host_[k], set_[k] = other.set_[k];
}

rlimit Limits::get(int resource) const {
  return value(index_of(resource));
}

int64_t Limits::set(int resource, const rlimit& wanted) {
  if (wanted.rlim_cur > wanted.rlim_max) return -EINVAL;
  std::lock_guard lock(mutex_);
  const unsigned k = index_of(resource);
  if (wanted.rlim_max > hard_[k] && geteuid() != 0) return -EPERM;
  put(k, wanted);
  set_[k] = true;
  return 0;
}

std::string Limits::text() const {
  std::lock_guard lock(mutex_);
  std::string text;
  for (unsigned k = 0; k < kCount; ++k) {
    if (!set_[k]) continue;
    if (!text.empty()) text += ',';
    text += std::to_string(kResources[k]) + ":" + std::to_string(soft_[k]) + ":" + std::to_string(hard_[k]);
  }
  return text;
}

bool Limits::parse(const std::string& text) {
  std::lock_guard lock(mutex_);
  for (const char* at = text.c_str(); *at;) {
    int resource = 0, used = 0;
    unsigned long long soft = 0, hard = 0;
    if (sscanf(at, "%d:%llu:%llu%n", &resource, &soft, &hard, &used) < 3 || !holds(resource) || soft > hard)
      return false;
    const unsigned k = index_of(resource);
    put(k, {soft, hard});
    set_[k] = true;
    at += used;
    if (*at == ',') ++at;
  }
  return true;
}

void Limits::apply_to_host() {
  std::lock_guard lock(mutex_);
  for (unsigned k = 0; k < kCount; ++k)
    if (const rlimit wanted = value(k); set_[k] && host_limit(kResources[k], nullptr, &host_[k]))
      host_limit(kResources[k], &wanted, nullptr);
}

void Limits::restore_host() {
  std::lock_guard lock(mutex_);
  for (unsigned k = 0; k < kCount; ++k)
    if (set_[k]) host_limit(kResources[k], &host_[k], nullptr);
}

}  // namespace lyre::linux_user
