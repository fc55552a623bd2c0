// RISC-V extensions as a set, and what an instruction row needs of it. Rows of extensions.def; models and features in extensions.cpp.
#pragma once
#include <bit>
#include <cstdint>
#include <string_view>

namespace lyre::riscv {

// rv32 and rv64 are the widths: instructions that only one of them has name it among their needs.
enum class Ext : uint8_t {
#define LYRE_EXT(name, needs, description) name,
#include "frontend/riscv/extensions.def"
#undef LYRE_EXT
  rv32,
  rv64,
  kCount
};
inline constexpr unsigned kNamedExtCount = static_cast<unsigned>(Ext::rv32);
inline constexpr unsigned kExtCount = static_cast<unsigned>(Ext::kCount);

struct ExtInfo {
  std::string_view name;
  std::string_view needs;
  std::string_view description;
};
inline constexpr ExtInfo kExtInfo[] = {
#define LYRE_EXT(name, needs, description) {#name, needs, description},
#include "frontend/riscv/extensions.def"
#undef LYRE_EXT
};

// A set of extensions: two words, trivially copyable.
struct ExtSet {
  uint64_t words[2] = {};
  static_assert(kExtCount <= 128);

  constexpr ExtSet() = default;
  constexpr ExtSet(Ext ext) { add(ext); }
  constexpr void add(Ext ext) { words[index(ext) / 64] |= uint64_t{1} << index(ext) % 64; }
  constexpr void remove(Ext ext) { words[index(ext) / 64] &= ~(uint64_t{1} << index(ext) % 64); }
  constexpr bool has(Ext ext) const { return words[index(ext) / 64] >> index(ext) % 64 & 1; }
  constexpr bool empty() const { return !(words[0] | words[1]); }
  constexpr bool contains(const ExtSet& other) const {
    return (words[0] & other.words[0]) == other.words[0] && (words[1] & other.words[1]) == other.words[1];
  }
  constexpr bool meets(const ExtSet& other) const { return (words[0] & other.words[0]) | (words[1] & other.words[1]); }
  constexpr ExtSet operator|(const ExtSet& other) const {
    ExtSet result = *this;
    result.words[0] |= other.words[0], result.words[1] |= other.words[1];
    return result;
  }
  constexpr bool operator==(const ExtSet&) const = default;

 private:
  static constexpr unsigned index(Ext ext) { return static_cast<unsigned>(ext); }
};

// What a row needs: all of `all`, and one of `any` unless that is empty. Written `Ext::zbb`, `Ext::zbb || Ext::zbkb`, `Ext::zcb && Ext::zbb`.
struct Needs {
  ExtSet all;
  ExtSet any;
  constexpr Needs(Ext ext) : all(ext) {}
  constexpr Needs(ExtSet all_of, ExtSet any_of) : all(all_of), any(any_of) {}
  constexpr bool met_by(const ExtSet& set) const { return set.contains(all) && (any.empty() || set.meets(any)); }
};
constexpr Needs operator&&(const Needs& a, const Needs& b) { return {a.all | b.all, a.any | b.any}; }  // at most one side has `any`
constexpr Needs operator||(const Needs& a, const Needs& b) { return {ExtSet{}, a.all | a.any | b.all | b.any}; }  // of single extensions
constexpr Needs operator&&(Ext a, Ext b) { return Needs(a) && Needs(b); }
constexpr Needs operator||(Ext a, Ext b) { return Needs(a) || Needs(b); }

}  // namespace lyre::riscv
