#include "backend/interp/areas.h"

#include <algorithm>

namespace lyre::backend {

bool InterpAreas::add(CompiledRegion& region) {
  std::lock_guard lock(mutex_);
  if (bytes_ + region.code_bytes > limit_) return false;
  if (current_->bytes >= limit_ / kAreas) {
    full_.push_back(std::move(current_));
    current_ = std::make_unique<Area>();
  }
  current_->regions.push_back(&region);
  current_->bytes += region.code_bytes;
  bytes_ += region.code_bytes;
  return true;
}

void InterpAreas::remove(const CompiledRegion& region) {
  std::lock_guard lock(mutex_);
  auto remove_from = [&](Area& area) {
    auto found = std::find(area.regions.begin(), area.regions.end(), &region);
    if (found == area.regions.end()) return false;
    *found = area.regions.back();
    area.regions.pop_back();
    area.bytes -= region.code_bytes;
    bytes_ -= region.code_bytes;
    return true;
  };
  if (remove_from(*current_)) return;
  for (auto& area : full_)
    if (remove_from(*area)) return;
  for (auto& area : evicted_)
    if (remove_from(*area)) return;
}

void* InterpAreas::evict_oldest(std::vector<CompiledRegion*>& regions) {
  std::lock_guard lock(mutex_);
  if (full_.empty()) return nullptr;
  evicted_.push_back(std::move(full_.front()));
  full_.pop_front();
  regions.insert(regions.end(), evicted_.back()->regions.begin(), evicted_.back()->regions.end());
  return evicted_.back().get();
}

void InterpAreas::recycle(void* area) {
  std::lock_guard lock(mutex_);
  auto found = std::find_if(evicted_.begin(), evicted_.end(), [&](auto& each) { return each.get() == area; });
  if (found == evicted_.end()) return;
  bytes_ -= (*found)->bytes;
  evicted_.erase(found);
}

uint64_t InterpAreas::bytes_in_use() const {
  std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace lyre::backend
