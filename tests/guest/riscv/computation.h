// Runs one instruction of the form "op a0, a1, a2" (or with an immediate) on edge values and compares with a model.
#pragma once
#include <cstdint>
#include <functional>
#include <string>

#include "tests/guest/riscv/encode.h"
#include "tests/guest/riscv/hart_rig.h"
#include "tests/support/catch.h"

namespace lyre::test {

inline constexpr uint64_t kEdges[] = {0, 1, 2, 31, 32, 63, 64, 0x7f, 0x80, 0xff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
                                      0x7fffffffffffffff, 0x8000000000000000, 0x8000000000000001, 0xffffffff80000000, 0xffffffffffffffff,
                                      0x0123456789abcdef, 0xfedcba9876543210, 0x00ff00ff00ff00ff};

using Model = std::function<uint64_t(uint64_t, uint64_t)>;
inline uint64_t sext32(uint64_t value) { return static_cast<uint64_t>(int64_t{static_cast<int32_t>(value)}); }

// One rig for all instructions of a test: making one builds the decoder.
class ComputationTest {
 public:
  // Register form; one-operand instructions ignore the second value.
  void binary(const std::string& name, const Model& model) {
    // Distinct registers, then destination and sources overlapping.
    check(name, encode(name, {{'d', a0}, {'a', a1}, {'b', a2}}), model, a1, a2, a0);
    check(name, encode(name, {{'d', s2}, {'a', s2}, {'b', t3}}), model, s2, t3, s2);
    check(name, encode(name, {{'d', a5}, {'a', a4}, {'b', a5}}), model, a4, a5, a5);
    check_zero_destination(name, encode(name, {{'d', 0}, {'a', a1}, {'b', a2}}));
    for (uint64_t edge : kEdges) {
      rig_.x(a1) = edge;
      run(encode(name, {{'d', a0}, {'a', a1}, {'b', 0}}));
      INFO(name << " of " << std::hex << edge << " and x0");
      CHECK(rig_.x(a0) == model(edge, 0));
      rig_.x(a2) = edge;
      run(encode(name, {{'d', a0}, {'a', 0}, {'b', a2}}));
      CHECK(rig_.x(a0) == model(0, edge));
      rig_.x(a1) = edge;
      run(encode(name, {{'d', a0}, {'a', a1}, {'b', a1}}));
      CHECK(rig_.x(a0) == model(edge, edge));
    }
  }
  void unary(const std::string& name, const std::function<uint64_t(uint64_t)>& model) {
    for (auto [destination, source] : {std::pair{a0, a1}, {sp, sp}, {t6, ra}}) {
      for (uint64_t edge : kEdges) {
        rig_.x(source) = edge;
        run(encode(name, {{'d', destination}, {'a', source}}));
        INFO(name << " of " << std::hex << edge);
        CHECK(rig_.x(destination) == model(edge));
      }
    }
    check_zero_destination(name, encode(name, {{'d', 0}, {'a', a1}}));
  }
  // Immediate form: field 'i' (12 bits, sign-extended for the model) or 's' (shift amount).
  void immediate(const std::string& name, char field, std::initializer_list<int64_t> values, const Model& model) {
    for (int64_t value : values) {
      for (uint64_t edge : kEdges) {
        for (auto [destination, source] : {std::pair{a0, a1}, {a1, a1}}) {
          rig_.x(source) = edge;
          run(encode(name, {{'d', destination}, {'a', source}, {field, static_cast<uint32_t>(value)}}));
          INFO(name << " of " << std::hex << edge << " and " << value);
          CHECK(rig_.x(destination) == model(edge, static_cast<uint64_t>(value)));
        }
      }
      run(encode(name, {{'d', a0}, {'a', 0}, {field, static_cast<uint32_t>(value)}}));
      CHECK(rig_.x(a0) == model(0, static_cast<uint64_t>(value)));
    }
    check_zero_destination(name, encode(name, {{'d', 0}, {'a', a1}, {field, 1}}));
  }
  HartRig& rig() { return rig_; }
  void run(uint32_t word) {
    if (word != last_) {
      rig_.load(HartRig::kRam, {word, 0x00000013});
      last_ = word;
    }
    rig_.state().pc = HartRig::kRam;
    rig_.run_block();
  }

 private:
  void check(const std::string& name, uint32_t word, const Model& model, Reg first, Reg second, Reg destination) {
    for (uint64_t a : kEdges) {
      for (uint64_t b : kEdges) {
        rig_.x(destination) = 0x5555555555555555;
        rig_.x(first) = a;
        rig_.x(second) = b;
        run(word);
        INFO(name << " of " << std::hex << a << " and " << b);
        CHECK(rig_.x(destination) == model(a, b));
      }
    }
  }
  void check_zero_destination(const std::string& name, uint32_t word) {
    rig_.x(0) = 0;
    rig_.x(a1) = rig_.x(a2) = 77;
    run(word);
    INFO(name << " into x0");
    CHECK(rig_.x(0) == 0);
  }

  HartRig rig_{"interp", {}, 1};
  uint32_t last_ = 0;
};

}  // namespace lyre::test
