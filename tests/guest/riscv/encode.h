// Instruction words from the rows' own pictures, by name and width, for programs in tests: encode("add", {{'d', 10}, {'a', 11}, {'b', 12}}).
#pragma once
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

#include "frontend/riscv/isa.h"

namespace lyre::test {

inline const riscv::Row& row_named(std::string_view name, unsigned xlen = 64) {
  const riscv::Ext other = xlen == 64 ? riscv::Ext::rv32 : riscv::Ext::rv64;
  for (std::span<const riscv::Row> file : riscv::all_rows())
    for (const riscv::Row& row : file)
      if (name == row.name && !row.needs.all.has(other)) return row;
  throw std::runtime_error("no instruction " + std::string(name));
}

// The bits of a field's value go to its places from the least significant one up, as they stand in the picture: right for fields in one piece, and for
// the split immediate of stores.
inline uint32_t encode(std::string_view name, std::initializer_list<std::pair<char, uint32_t>> fields, unsigned xlen = 64) {
  const decode::Picture& picture = row_named(name, xlen).picture;
  uint32_t word = picture.value;
  for (auto [letter, value] : fields) {
    uint32_t mask = picture.field_mask(letter);
    for (unsigned bit = 0; bit < 32; ++bit) {
      if (!(mask >> bit & 1)) continue;
      word |= (value & 1) << bit;
      value >>= 1;
    }
  }
  return word;
}

}  // namespace lyre::test
