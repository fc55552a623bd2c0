// Device trees: written, read back, patched, damaged.
#include "machine/firmware/fdt.h"

#include "tests/support/catch.h"

using namespace lyre;
using namespace lyre::machine;

namespace {

std::vector<std::byte> tree_of(unsigned nodes) {
  FdtBuilder fdt;
  fdt.u32("#address-cells", 2);
  {
    auto node = fdt.node_at("serial", Gpa{0x10000000});
    fdt.strings("compatible", {"ns16550a", "ns8250"});
    fdt.reg(Gpa{0x123456789}, 0x100);
    fdt.flag("big");
    fdt.u64("wide", 0x1122334455667788);
  }
  for (unsigned i = 0; i < nodes; ++i) {
    auto node = fdt.node_at("cpu", Gpa{i});
    fdt.string("riscv,isa", std::string(100, 'x'));
  }
  return fdt.finish();
}

}  // namespace

TEST_CASE("a tree reads back as it was written", "[fdt]") {
  auto tree = tree_of(2);
  FdtReader reader(tree);
  CHECK(reader.string("/serial@10000000", "compatible") == "ns16550a");
  CHECK(reader.bytes("/serial@10000000", "compatible")->size() == 16);
  CHECK(reader.cells("/serial@10000000", "reg") == std::vector<uint32_t>{1, 0x23456789, 0, 0x100});
  CHECK(reader.bytes("/serial@10000000", "big")->empty());
  CHECK(reader.cells("/serial@10000000", "wide") == std::vector<uint32_t>{0x11223344, 0x55667788});
  CHECK_FALSE(reader.bytes("/serial@10000000", "none"));
  CHECK_FALSE(reader.has_node("/soc"));
  CHECK(reader.subnodes("/") == std::vector<std::string>{"serial@10000000", "cpu@0", "cpu@1"});
}

TEST_CASE("a tree grows past its first buffer", "[fdt]") {
  auto tree = tree_of(2000);
  auto checked = check_fdt(tree, "t");
  REQUIRE(checked);
  CHECK(FdtReader(*checked).subnodes("/").size() == 2001);
}

TEST_CASE("chosen is made, changed and kept", "[fdt]") {
  auto tree = tree_of(1);
  std::byte seed[32] = {std::byte{7}};
  REQUIRE(patch_chosen(tree, {.bootargs = "console=ttyS0",
                              .stdout_path = "/serial@10000000",
                              .initrd_start = Gpa{0x88200000},
                              .initrd_end = Gpa{0x88300000},
                              .rng_seed = seed}));
  FdtReader reader(tree);
  CHECK(reader.string("/chosen", "bootargs") == "console=ttyS0");
  CHECK(reader.cells("/chosen", "linux,initrd-start") == std::vector<uint32_t>{0, 0x88200000});
  CHECK(reader.cells("/chosen", "linux,initrd-end") == std::vector<uint32_t>{0, 0x88300000});
  CHECK(reader.bytes("/chosen", "rng-seed")->size() == 32);
  REQUIRE(patch_chosen(
      tree,
      {.bootargs = std::string(5000, 'a'), .stdout_path = {}, .initrd_start = {}, .initrd_end = {}, .rng_seed = {}}));
  FdtReader again(tree);
  CHECK(again.string("/chosen", "bootargs")->size() == 5000);
  CHECK(again.string("/chosen", "stdout-path") == "/serial@10000000");
  REQUIRE(check_fdt(tree, "t"));
}

TEST_CASE("a user's tree is checked before it is used", "[fdt]") {
  auto tree = tree_of(1);
  auto message = [](std::vector<std::byte> bytes) {
    auto result = check_fdt(std::move(bytes), "x.dtb");
    return result ? std::string("good") : result.error().message;
  };
  CHECK(message(tree) == "good");
  CHECK(message({}) == "x.dtb is not a flattened device tree");
  CHECK(message(std::vector<std::byte>(100)) == "x.dtb is not a flattened device tree");
  auto longer = tree;
  longer.resize(tree.size() + 100);
  CHECK(check_fdt(longer, "x")->size() == tree.size());
  auto shorter = tree;
  shorter.resize(tree.size() - 8);
  CHECK(message(shorter).find("x.dtb is cut short") == 0);
  // No damage may crash the checker or what is read after it has agreed.
  for (size_t at = 0; at < tree.size(); ++at) {
    auto damaged = tree;
    damaged[at] ^= std::byte{0xff};
    auto result = check_fdt(damaged, "x.dtb");
    if (result) {
      FdtReader(*result).subnodes("/");
      (void)static_cast<bool>(patch_chosen(
          *result, {.bootargs = "a", .stdout_path = {}, .initrd_start = {}, .initrd_end = {}, .rng_seed = {}}));
    }
  }
}
