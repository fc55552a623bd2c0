// Flattened device trees (Devicetree Specification v0.4): FdtBuilder writes one front to back, patch_chosen() and
// FdtReader work on a finished one, ours or the user's. The only place that knows libfdt. Not thread-safe; cold.
#pragma once
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/base/result.h"
#include "runtime/base/types.h"

namespace lyre::machine {

// Writes nodes and properties in document order. Properties of a node come before its subnodes.
class FdtBuilder {
 public:
  // Ends its node when it goes out of scope.
  class Node {
   public:
    explicit Node(FdtBuilder& builder) : builder_(builder) {}
    ~Node() { builder_.end_node(); }
    Node(const Node&) = delete;
    Node& operator=(const Node&) = delete;

   private:
    FdtBuilder& builder_;
  };

  FdtBuilder();  // the root node is open
  FdtBuilder(const FdtBuilder&) = delete;
  FdtBuilder& operator=(const FdtBuilder&) = delete;

  [[nodiscard]] Node node(const std::string& name);
  [[nodiscard]] Node node_at(std::string_view name, Gpa address);  // "name@<hex>"
  void flag(const char* name);                                     // a property without a value
  void u32(const char* name, uint32_t value);
  void u64(const char* name, uint64_t value);
  void cells(const char* name, std::span<const uint32_t> values);
  void cells(const char* name, std::initializer_list<uint32_t> values);
  void string(const char* name, const std::string& value);
  void strings(const char* name, std::span<const std::string> values);
  void strings(const char* name, std::initializer_list<const char*> values);
  void reg(Gpa base, uint64_t size);  // with two address and two size cells
  uint32_t new_phandle() { return ++last_phandle_; }

  std::vector<std::byte> finish();  // closes the root; the builder is used up

 private:
  void begin_node(const char* name);
  void end_node();
  void property(const char* name, const void* value, size_t size);
  void grow();
  std::vector<std::byte> buffer_;
  uint32_t last_phandle_ = 0;
};

// Where a board put a device, for the device's own node.
struct FdtPlace {
  Gpa base;
  uint64_t size = 0;
  uint32_t interrupt_parent = 0;  // phandle; 0: the device has no interrupt
  uint32_t irq = 0;
};

// What a boot loader says to the kernel in /chosen. Absent values leave what the tree has.
struct FdtChosen {
  std::optional<std::string> bootargs;
  std::optional<std::string> stdout_path;
  Gpa initrd_start;
  Gpa initrd_end;  // equal to the start: no initrd
  std::span<const std::byte> rng_seed;
};
// Makes /chosen if there is none, and grows `tree`. Error: the tree is damaged.
Status patch_chosen(std::vector<std::byte>& tree, const FdtChosen& chosen);

// Takes a range away from the kernel: a no-map node in /reserved-memory, made if there is none. Error: the tree is
// damaged.
Status patch_reserved(std::vector<std::byte>& tree, const std::string& name, Gpa base, uint64_t size);

// Error: not a device tree, or cut short. The result has exactly the size that its header states.
Result<std::vector<std::byte>> check_fdt(std::vector<std::byte> tree, const std::string& path);

// Looks things up; node paths as "/soc/serial@10000000". The tree must have passed check_fdt and outlive the reader.
class FdtReader {
 public:
  explicit FdtReader(std::span<const std::byte> tree) : tree_(tree) {}
  bool has_node(const char* path) const;
  std::optional<std::vector<std::byte>> bytes(const char* path, const char* property) const;
  std::optional<std::string> string(const char* path, const char* property) const;  // the first, of several
  std::optional<std::vector<uint32_t>> cells(const char* path, const char* property) const;
  std::vector<std::string> subnodes(const char* path) const;

 private:
  std::span<const std::byte> tree_;
};

}  // namespace lyre::machine
