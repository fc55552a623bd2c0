// The sources of this project, read once: for tests about how the tree is built.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace lyre::test {

struct Include {
  std::string path;  // as written
  bool quoted = false;
  size_t line = 0;
};

struct SourceFile {
  std::string path;  // relative to the root, with '/'
  std::string text;
  std::vector<Include> includes;
  bool is_header() const { return path.ends_with(".h"); }
};

const std::filesystem::path& source_root();
// C++ files of the product folders, tests and bench.
const std::vector<SourceFile>& source_files();

}  // namespace lyre::test
