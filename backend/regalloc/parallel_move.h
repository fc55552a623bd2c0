// Parallel register moves: all sources are read before any target is written. A source may feed several targets; a target has one source.
#pragma once
#include <array>
#include <cstdint>

#include "backend/regalloc/registers.h"

namespace lyre::backend {

class ParallelMove {
 public:
  void clear() { targets_ = 0; }
  void add(Reg target, Reg source) {
    if (target == source) return;
    source_of_[target] = source;
    targets_ |= mask_of(target);
  }
  // Emits the moves and forgets them.
  void emit(AllocHost& host) {
    std::array<uint8_t, 64> readers;
    for (RegMask left = targets_; left; left &= left - 1) readers[source_of_[first_of(left)]] = 0, readers[first_of(left)] = 0;
    for (RegMask left = targets_; left; left &= left - 1) readers[source_of_[first_of(left)]]++;
    // Targets nobody reads can be written; that may free their sources.
    RegMask ready = 0;
    for (RegMask left = targets_; left; left &= left - 1) {
      if (readers[first_of(left)] == 0) ready |= mask_of(first_of(left));
    }
    while (ready) {
      Reg target = first_of(ready);
      ready &= ready - 1;
      Reg source = source_of_[target];
      host.emit_move(target, source);
      targets_ &= ~mask_of(target);
      if (--readers[source] == 0 && (targets_ & mask_of(source))) ready |= mask_of(source);
    }
    // What is left are cycles: each swap puts one target right.
    while (targets_) {
      Reg target = first_of(targets_);
      Reg source = source_of_[target];
      host.emit_swap(target, source);
      targets_ &= ~mask_of(target);
      for (RegMask left = targets_; left; left &= left - 1) {
        Reg other = first_of(left);
        if (source_of_[other] == target) {
          source_of_[other] = source;
          if (other == source) targets_ &= ~mask_of(other);
          break;
        }
      }
    }
  }

 private:
  std::array<Reg, 64> source_of_;
  RegMask targets_ = 0;
};

}  // namespace lyre::backend
