// The dependency rule, read off the includes:
//   runtime/base <- ir <- {frontend/*, backend/*} <- runtime <- machine <- runtime/cli
#include <array>
#include <span>
#include <string>
#include <string_view>

#include "tests/lint/source_tree.h"
#include "tests/support/catch.h"

using namespace lyre::test;

namespace {

enum class Layer { kBase, kIr, kFrontend, kBackend, kRuntime, kMachine, kCli, kFree };

Layer layer_of(std::string_view path) {
  constexpr std::pair<std::string_view, Layer> kLayers[] = {
      {"runtime/base/", Layer::kBase}, {"runtime/cli/", Layer::kCli},
      {"runtime/", Layer::kRuntime},   {"ir/", Layer::kIr},
      {"frontend/", Layer::kFrontend}, {"backend/", Layer::kBackend},
      {"machine/", Layer::kMachine},
  };
  for (auto [prefix, layer] : kLayers) {
    if (path.starts_with(prefix)) return layer;
  }
  return Layer::kFree;  // tests and bench see everything
}

bool may_include(Layer from, Layer to) {
  if (from == to || from == Layer::kFree) return true;
  switch (to) {
    case Layer::kBase:
      return true;
    case Layer::kIr:
      return from != Layer::kBase;
    case Layer::kFrontend:
    case Layer::kBackend:
      return from == Layer::kRuntime || from == Layer::kMachine || from == Layer::kCli;
    case Layer::kRuntime:
      return from == Layer::kMachine || from == Layer::kCli;
    case Layer::kMachine:
      return from == Layer::kCli;
    case Layer::kCli:
    case Layer::kFree:
      return false;
  }
  return false;
}

// "riscv" of "frontend/riscv/mmu.h"; empty for files that all guests (or hosts) share.
std::string_view member_of(std::string_view path, std::string_view folder, std::span<const std::string_view> shared) {
  if (!path.starts_with(folder)) return {};
  const std::string_view rest = path.substr(folder.size());
  const size_t slash = rest.find('/');
  if (slash == rest.npos) return {};
  const std::string_view member = rest.substr(0, slash);
  for (std::string_view name : shared) {
    if (member == name) return {};
  }
  return member;
}

}  // namespace

TEST_CASE("lint: includes follow the dependency rule", "[lint]") {
  for (const SourceFile& file : source_files()) {
    for (const Include& include : file.includes) {
      if (!include.quoted) continue;
      INFO(file.path << ":" << include.line << " includes " << include.path);
      CHECK(may_include(layer_of(file.path), layer_of(include.path)));
    }
  }
}

TEST_CASE("lint: guests do not include guests, hosts do not include hosts", "[lint]") {
  constexpr std::array<std::string_view, 1> kSharedFrontend = {"decode"};
  constexpr std::array<std::string_view, 2> kSharedBackend = {"regalloc", "code"};
  for (const SourceFile& file : source_files()) {
    for (const Include& include : file.includes) {
      INFO(file.path << ":" << include.line << " includes " << include.path);
      const auto guest = member_of(file.path, "frontend/", kSharedFrontend),
                 other_guest = member_of(include.path, "frontend/", kSharedFrontend);
      const auto host = member_of(file.path, "backend/", kSharedBackend),
                 other_host = member_of(include.path, "backend/", kSharedBackend);
      if (file.path.starts_with("frontend/decode/")) CHECK(other_guest.empty());
      if (!guest.empty() && !other_guest.empty()) CHECK(guest == other_guest);
      if (!host.empty() && !other_host.empty()) CHECK(host == other_host);
    }
  }
}

TEST_CASE("lint: includes are root-relative and exist", "[lint]") {
  for (const SourceFile& file : source_files()) {
    if (file.path.ends_with(".def") || file.path.find("kernels/") != std::string::npos)
      continue;  // guest programs in C are no part of the tree
    for (const Include& include : file.includes) {
      if (!include.quoted) continue;
      INFO(file.path << ":" << include.line << " includes " << include.path);
      CHECK(std::filesystem::exists(source_root() / include.path));
    }
  }
}

TEST_CASE("lint: every library has one owner", "[lint]") {
  struct Owner {
    std::string_view header;  // how the include begins
    std::array<std::string_view, 3> folders;
  };
  // Tests and bench may use what they need of the test-only libraries, and assemble guests with the assemblers.
  constexpr Owner kOwners[] = {
      {"xbyak", {"backend/x64/", "tests/", "bench/"}},
      {"asmjit", {"backend/a64/", "tests/", ""}},
      {"capstone", {"backend/code/", "tests/", ""}},
      {"boost/", {"runtime/base/", "", ""}},
      {"catch2/", {"tests/support/", "", ""}},
      {"benchmark/", {"bench/", "", ""}},
      {"libfdt", {"machine/firmware/", "tests/", ""}},
      {"fdt.h", {"machine/firmware/", "tests/", ""}},
      {"slirp/", {"machine/net/", "", ""}},
      {"nlohmann/", {"machine/monitor/", "", ""}},
      {"zlib.h", {"machine/block/", "", ""}},
      {"zstd.h", {"machine/block/", "", ""}},
      {"liburing", {"machine/block/", "", ""}},
      {"nettle/", {"machine/block/", "", ""}},
      {"mpfr.h", {"tests/", "", ""}},
      {"gmp.h", {"tests/", "", ""}},
  };
  for (const SourceFile& file : source_files()) {
    for (const Include& include : file.includes) {
      if (include.quoted) continue;
      for (const Owner& owner : kOwners) {
        if (!include.path.starts_with(owner.header)) continue;
        bool owned = false;
        for (std::string_view folder : owner.folders) owned |= !folder.empty() && file.path.starts_with(folder);
        INFO(file.path << ":" << include.line << " includes <" << include.path << ">, which belongs to "
                       << owner.folders[0]);
        CHECK(owned);
      }
    }
  }
}
