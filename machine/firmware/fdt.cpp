// Device trees on libfdt. See fdt.h.
#include "machine/firmware/fdt.h"

#include <cinttypes>
#include <cstdio>
#include <cstring>

extern "C" {
#include <libfdt.h>
}

#include "runtime/base/check.h"

namespace lyre::machine {
namespace {

void put_be32(std::byte* to, uint32_t value) {
  uint32_t be = __builtin_bswap32(value);
  std::memcpy(to, &be, sizeof be);
}

int find_node(std::span<const std::byte> tree, const char* path) { return fdt_path_offset(tree.data(), path); }

}  // namespace

FdtBuilder::FdtBuilder() : buffer_(16 * 1024) {
  LYRE_CHECK(fdt_create(buffer_.data(), static_cast<int>(buffer_.size())) == 0, "an empty tree fits");
  LYRE_CHECK(fdt_finish_reservemap(buffer_.data()) == 0, "an empty reserve map fits");
  begin_node("");
}

// libfdt's sequential writer works in a buffer that it cannot enlarge itself.
void FdtBuilder::grow() {
  std::vector<std::byte> larger(buffer_.size() * 2);
  LYRE_CHECK(fdt_resize(buffer_.data(), larger.data(), static_cast<int>(larger.size())) == 0,
             "a tree moves to a larger buffer");
  buffer_ = std::move(larger);
}

void FdtBuilder::begin_node(const char* name) {
  int error;
  while ((error = fdt_begin_node(buffer_.data(), name)) == -FDT_ERR_NOSPACE) grow();
  LYRE_CHECK(error == 0, "a node begins after properties or another node");
}

void FdtBuilder::end_node() {
  int error;
  while ((error = fdt_end_node(buffer_.data())) == -FDT_ERR_NOSPACE) grow();
  LYRE_CHECK(error == 0, "a node that ends has begun");
}

void FdtBuilder::property(const char* name, const void* value, size_t size) {
  int error;
  while ((error = fdt_property(buffer_.data(), name, value, static_cast<int>(size))) == -FDT_ERR_NOSPACE) grow();
  LYRE_CHECK(error == 0, "properties come before subnodes");
}

FdtBuilder::Node FdtBuilder::node(const std::string& name) {
  begin_node(name.c_str());
  return Node(*this);
}

FdtBuilder::Node FdtBuilder::node_at(std::string_view name, Gpa address) {
  char unit[24];
  std::snprintf(unit, sizeof unit, "@%" PRIx64, address.value);
  begin_node((std::string(name) + unit).c_str());
  return Node(*this);
}

void FdtBuilder::flag(const char* name) { property(name, "", 0); }
void FdtBuilder::u32(const char* name, uint32_t value) { cells(name, {value}); }
void FdtBuilder::u64(const char* name, uint64_t value) {
  cells(name, {static_cast<uint32_t>(value >> 32), static_cast<uint32_t>(value)});
}

void FdtBuilder::cells(const char* name, std::span<const uint32_t> values) {
  std::vector<std::byte> bytes(values.size() * 4);
  for (size_t i = 0; i < values.size(); ++i) put_be32(&bytes[4 * i], values[i]);
  property(name, bytes.data(), bytes.size());
}

void FdtBuilder::cells(const char* name, std::initializer_list<uint32_t> values) {
  cells(name, std::span<const uint32_t>(values.begin(), values.size()));
}

void FdtBuilder::string(const char* name, const std::string& value) { property(name, value.c_str(), value.size() + 1); }

void FdtBuilder::strings(const char* name, std::span<const std::string> values) {
  std::string joined;
  for (auto& value : values) (joined += value) += '\0';
  property(name, joined.data(), joined.size());
}

void FdtBuilder::strings(const char* name, std::initializer_list<const char*> values) {
  strings(name, std::vector<std::string>(values.begin(), values.end()));
}

void FdtBuilder::reg(Gpa base, uint64_t size) {
  cells("reg", {static_cast<uint32_t>(base.value >> 32), static_cast<uint32_t>(base.value),
                static_cast<uint32_t>(size >> 32), static_cast<uint32_t>(size)});
}

std::vector<std::byte> FdtBuilder::finish() {
  end_node();
  int error;
  while ((error = fdt_finish(buffer_.data())) == -FDT_ERR_NOSPACE) grow();
  LYRE_CHECK(error == 0, "every node has ended");
  buffer_.resize(fdt_totalsize(buffer_.data()));
  return std::move(buffer_);
}

Status patch_chosen(std::vector<std::byte>& tree, const FdtChosen& chosen) {
  size_t room = tree.size() + 1024 + chosen.rng_seed.size();
  if (chosen.bootargs) room += chosen.bootargs->size();
  if (chosen.stdout_path) room += chosen.stdout_path->size();
  std::vector<std::byte> larger(room);
  if (fdt_open_into(tree.data(), larger.data(), static_cast<int>(room)) != 0)
    return Error{"the device tree is damaged"};
  void* fdt = larger.data();
  int node = fdt_path_offset(fdt, "/chosen");
  if (node == -FDT_ERR_NOTFOUND) node = fdt_add_subnode(fdt, 0, "chosen");
  if (node < 0) return Error{std::string("the device tree has no room for /chosen: ") + fdt_strerror(node)};

  int error = 0;
  auto keep = [&](int result) { error = error ? error : result; };
  auto set_text = [&](const char* name, const std::string& text) {
    keep(fdt_setprop(fdt, node, name, text.c_str(), static_cast<int>(text.size() + 1)));
  };
  if (chosen.bootargs) set_text("bootargs", *chosen.bootargs);
  if (chosen.stdout_path) set_text("stdout-path", *chosen.stdout_path);
  if (chosen.initrd_start < chosen.initrd_end) {
    keep(fdt_setprop_u64(fdt, node, "linux,initrd-start", chosen.initrd_start.value));
    keep(fdt_setprop_u64(fdt, node, "linux,initrd-end", chosen.initrd_end.value));
  }
  if (!chosen.rng_seed.empty())
    keep(fdt_setprop(fdt, node, "rng-seed", chosen.rng_seed.data(), static_cast<int>(chosen.rng_seed.size())));
  if (error) return Error{std::string("/chosen of the device tree cannot be written: ") + fdt_strerror(error)};
  fdt_pack(fdt);
  larger.resize(fdt_totalsize(fdt));
  tree = std::move(larger);
  return Ok{};
}

Status patch_reserved(std::vector<std::byte>& tree, const std::string& name, Gpa base, uint64_t size) {
  std::vector<std::byte> larger(tree.size() + 1024);
  if (fdt_open_into(tree.data(), larger.data(), static_cast<int>(larger.size())) != 0)
    return Error{"the device tree is damaged"};
  void* fdt = larger.data();
  int error = 0;
  auto keep = [&](int result) { error = error ? error : result; };
  int parent = fdt_path_offset(fdt, "/reserved-memory");
  if (parent == -FDT_ERR_NOTFOUND) {
    parent = fdt_add_subnode(fdt, 0, "reserved-memory");
    if (parent >= 0) {
      keep(fdt_setprop_u32(fdt, parent, "#address-cells", 2));
      keep(fdt_setprop_u32(fdt, parent, "#size-cells", 2));
      keep(fdt_setprop(fdt, parent, "ranges", nullptr, 0));
    }
  }
  if (parent < 0)
    return Error{std::string("the device tree has no room for /reserved-memory: ") + fdt_strerror(parent)};
  char unit[24];
  std::snprintf(unit, sizeof unit, "@%" PRIx64, base.value);
  int node = fdt_add_subnode(fdt, parent, (name + unit).c_str());
  if (node < 0)
    return Error{"/reserved-memory of the device tree cannot be extended: " + std::string(fdt_strerror(node))};
  keep(fdt_appendprop_u64(fdt, node, "reg", base.value));
  keep(fdt_appendprop_u64(fdt, node, "reg", size));
  keep(fdt_setprop(fdt, node, "no-map", nullptr, 0));
  if (error) return Error{std::string("/reserved-memory of the device tree cannot be written: ") + fdt_strerror(error)};
  fdt_pack(fdt);
  larger.resize(fdt_totalsize(fdt));
  tree = std::move(larger);
  return Ok{};
}

Result<std::vector<std::byte>> check_fdt(std::vector<std::byte> tree, const std::string& path) {
  if (tree.size() < sizeof(fdt_header) || fdt_magic(tree.data()) != FDT_MAGIC)
    return Error{path + " is not a flattened device tree"};
  size_t stated = fdt_totalsize(tree.data());
  if (stated > tree.size())
    return Error{path + " is cut short: the device tree states " + std::to_string(stated) + " bytes, the file has " +
                 std::to_string(tree.size())};
  tree.resize(stated);
  if (int error = fdt_check_full(tree.data(), tree.size()); error != 0)
    return Error{path + " is a damaged device tree: " + fdt_strerror(error)};
  return tree;
}

bool FdtReader::has_node(const char* path) const { return find_node(tree_, path) >= 0; }

std::optional<std::vector<std::byte>> FdtReader::bytes(const char* path, const char* property) const {
  int node = find_node(tree_, path), size = 0;
  if (node < 0) return std::nullopt;
  auto* value = static_cast<const std::byte*>(fdt_getprop(tree_.data(), node, property, &size));
  if (!value) return std::nullopt;
  return std::vector<std::byte>(value, value + size);
}

std::optional<std::string> FdtReader::string(const char* path, const char* property) const {
  auto value = bytes(path, property);
  if (!value) return std::nullopt;
  auto* text = reinterpret_cast<const char*>(value->data());
  return std::string(text, strnlen(text, value->size()));
}

std::optional<std::vector<uint32_t>> FdtReader::cells(const char* path, const char* property) const {
  auto value = bytes(path, property);
  if (!value || value->size() % 4) return std::nullopt;
  std::vector<uint32_t> result(value->size() / 4);
  for (size_t i = 0; i < result.size(); ++i) {
    std::memcpy(&result[i], &(*value)[4 * i], 4);
    result[i] = __builtin_bswap32(result[i]);
  }
  return result;
}

std::vector<std::string> FdtReader::subnodes(const char* path) const {
  std::vector<std::string> names;
  int parent = find_node(tree_, path);
  if (parent < 0) return names;
  for (int node = fdt_first_subnode(tree_.data(), parent); node >= 0; node = fdt_next_subnode(tree_.data(), node))
    names.emplace_back(fdt_get_name(tree_.data(), node, nullptr));
  return names;
}

}  // namespace lyre::machine
