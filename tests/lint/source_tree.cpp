#include "tests/lint/source_tree.h"

#include <algorithm>
#include <fstream>
#include <sstream>

namespace lyre::test {
namespace fs = std::filesystem;
namespace {

std::string read(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream all;
  all << in.rdbuf();
  return all.str();
}

std::vector<Include> find_includes(const std::string& text) {
  std::vector<Include> found;
  std::istringstream lines(text);
  std::string line;
  for (size_t number = 1; std::getline(lines, line); ++number) {
    const size_t at = line.find_first_not_of(" \t");
    if (at == line.npos || line.compare(at, 8, "#include") != 0) continue;
    const size_t open = line.find_first_of("<\"", at + 8);
    if (open == line.npos) continue;
    const size_t close = line.find_first_of(">\"", open + 1);
    found.push_back({line.substr(open + 1, close - open - 1), line[open] == '"', number});
  }
  return found;
}

std::vector<SourceFile> read_all() {
  std::vector<SourceFile> files;
  for (const char* folder : {"runtime", "ir", "frontend", "backend", "machine", "tests", "bench"}) {
    for (const auto& entry : fs::recursive_directory_iterator(source_root() / folder)) {
      const std::string extension = entry.path().extension().string();
      if (!entry.is_regular_file() || (extension != ".h" && extension != ".cpp" && extension != ".def")) continue;
      std::string text = read(entry.path());
      auto includes = find_includes(text);
      files.push_back(
          {fs::relative(entry.path(), source_root()).generic_string(), std::move(text), std::move(includes)});
    }
  }
  std::sort(files.begin(), files.end(), [](const SourceFile& a, const SourceFile& b) { return a.path < b.path; });
  return files;
}

}  // namespace

const fs::path& source_root() {
  static const fs::path root = LYRE_SOURCE_ROOT;
  return root;
}

const std::vector<SourceFile>& source_files() {
  static const std::vector<SourceFile> files = read_all();
  return files;
}

}  // namespace lyre::test
