// What the READMEs promise about every file.
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "runtime/cli/options.h"
#include "runtime/cli/subcommands.h"
#include "tests/lint/source_tree.h"
#include "tests/support/catch.h"

using namespace lyre::test;

TEST_CASE("lint: a header opens with what it is", "[lint]") {
  for (const SourceFile& file : source_files()) {
    if (!file.is_header() || file.path.starts_with("bench/kernels/guest/"))
      continue;  // those are C, for the guest's compiler
    INFO(file.path);
    CHECK(file.text.starts_with("//"));
    CHECK(file.text.find("#pragma once") != std::string::npos);
  }
}

TEST_CASE("lint: no unfinished work is left in the sources", "[lint]") {
  // Put together here, so that this file does not find itself.
  const std::string marks[] = {std::string("TO") + "DO", std::string("FIX") + "ME", std::string("XX") + "X:"};
  for (const SourceFile& file : source_files()) {
    for (const std::string& mark : marks) {
      INFO(file.path << " says " << mark);
      CHECK(file.text.find(mark) == std::string::npos);
    }
  }
}

TEST_CASE("lint: operations of the intermediate code name no guest", "[lint]") {
  for (const SourceFile& file : source_files()) {
    if (!file.path.starts_with("ir/") || !file.path.ends_with(".def")) continue;
    for (const char* guest : {"riscv", "x86", "aarch64"}) {
      INFO(file.path << " names " << guest);
      CHECK(file.text.find(guest) == std::string::npos);
    }
  }
}

TEST_CASE("lint: every folder with sources says what lives there", "[lint]") {
  namespace fs = std::filesystem;
  std::set<std::string> folders;
  for (const SourceFile& file : source_files()) {
    const std::string folder = file.path.substr(0, file.path.rfind('/'));
    folders.insert(folder.substr(0, folder.find('/')));
    // The rooms of the product; the folders of tests and bench are described by their own README.
    if (!folder.starts_with("tests") && !folder.starts_with("bench")) folders.insert(folder);
  }
  for (const std::string& folder : folders) {
    INFO(folder);
    CHECK(fs::exists(source_root() / folder / "README.md"));
  }
}

TEST_CASE("lint: the manual page names every option", "[lint]") {
  std::ifstream in(source_root() / "runtime/cli/lyrebird-system.1");
  std::stringstream page;
  page << in.rdbuf();
  for (const lyre::cli::Option& option : lyre::cli::options()) {
    std::string name(option.name);
    for (size_t at = 0; (at = name.find('-', at)) != name.npos; at += 2) name.replace(at, 1, "\\-");
    INFO("-" << option.name);
    CHECK(page.str().find("\\-" + name) != std::string::npos);
  }
}

TEST_CASE("lint: the manual page names every subcommand", "[lint]") {
  std::ifstream in(source_root() / "runtime/cli/lyrebird-system.1");
  std::stringstream page;
  page << in.rdbuf();
  for (const lyre::cli::Subcommand& row : lyre::cli::subcommands()) {
    INFO(row.name);
    CHECK(page.str().find("lyrebird " + std::string(row.name) + "\"") != std::string::npos);
  }
}
