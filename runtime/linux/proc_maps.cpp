#include "runtime/linux/proc_maps.h"

#include <stdio.h>
#include <sys/mman.h>

#include <algorithm>
#include <map>
#include <set>

#include "runtime/linux/trace_peer.h"

namespace lyre::linux_user {
namespace {

using Table = std::map<uint64_t, Mapping>;
constexpr size_t kMostMappings = 1 << 20;

// A node of std::map as libstdc++ lays it out (bits/stl_tree.h).
struct Node {
  std::_Rb_tree_node_base links;
  std::pair<const uint64_t, Mapping> value;
};

// It may be changing while it is read: then some of it is missed, or a node is not what it was, which the order shows.
Table peer_table(pid_t pid, uint64_t header_address) {
  Table table;
  std::_Rb_tree_node_base header;
  if (!header_address || !peer_get(pid, header_address, header)) return table;
  std::vector<uint64_t> to_do{reinterpret_cast<uint64_t>(header._M_parent)};
  std::set<uint64_t> seen;
  while (!to_do.empty() && table.size() < kMostMappings) {
    const uint64_t at = to_do.back();
    to_do.pop_back();
    alignas(Node) std::byte image[sizeof(Node)];
    if (!at || !seen.insert(at).second || !peer_read(pid, at, image, sizeof image)) continue;
    const Node& node = *reinterpret_cast<const Node*>(image);
    if (node.value.second.end > node.value.first) table.insert(node.value);
    to_do.push_back(reinterpret_cast<uint64_t>(node.links._M_left));
    to_do.push_back(reinterpret_cast<uint64_t>(node.links._M_right));
  }
  uint64_t last = 0;
  for (auto each = table.begin(); each != table.end();) {
    if (each->first < last) {
      each = table.erase(each);
    } else {
      last = each->second.end;
      ++each;
    }
  }
  return table;
}

struct Line {
  unsigned long long first = 0, last = 0, offset = 0;
  char rights[5] = {};
  std::string rest;  // device, inode, name
  bool file = false;
};

bool parse(const std::string& text, Line& line) {
  int used = 0, offset_used = 0;
  if (sscanf(text.c_str(), "%llx-%llx %4s%n", &line.first, &line.last, line.rights, &used) < 3 || !used) return false;
  if (sscanf(text.c_str() + used, " %llx%n", &line.offset, &offset_used) != 1) return false;
  line.rest = text.substr(static_cast<size_t>(used + offset_used));
  line.file = text.find('/') != text.npos;
  return true;
}

std::string shown(const Line& line, uint64_t from, uint64_t to, int p, const ShownProcess& process) {
  char head[96];
  snprintf(head, sizeof head, "%012llx-%012llx %c%c%c%c %08llx", static_cast<unsigned long long>(from),
           static_cast<unsigned long long>(to), p & PROT_READ ? 'r' : '-', p & PROT_WRITE ? 'w' : '-',
           p & PROT_EXEC ? 'x' : '-', line.rights[3], line.file ? line.offset + (from - line.first) : 0ull);
  std::string text = head + line.rest;
  // The host knows its own program break and stack; the guest's are others.
  if (const size_t label = text.rfind('['); label != text.npos && text.ends_with(']') && !line.file)
    text = text.substr(0, text.find_last_not_of(' ', label - 1) + 1);
  if (from < process.stack_high && process.stack_low < to && !line.file) text += "                          [stack]";
  if (from >= process.vdso && from < process.vdso_end) text += "                          [vdso]";
  return text + '\n';
}

}  // namespace

std::optional<std::string> guest_maps(Process& process, const ProcName& name) {
  ShownProcess about;
  const std::optional<uint64_t> peer = name.own ? reinterpret_cast<uint64_t>(&g_trace_process) : find_peer(name.pid);
  if (!peer || !peer_get(name.pid, *peer + offsetof(TraceProcess, shown), about)) return std::nullopt;
  const Table table = name.own ? process.space().snapshot() : peer_table(name.pid, about.table);
  FILE* file = fopen(("/proc/" + std::to_string(name.pid) + "/" + name.entry).c_str(), "re");
  if (!file) return std::nullopt;
  const bool blocks = name.entry == "smaps";
  std::string text;
  bool inside = false;
  char* line_text = nullptr;
  size_t room = 0;
  for (ssize_t got; (got = getline(&line_text, &room, file)) > 0;) {
    std::string host(line_text, static_cast<size_t>(got));
    if (host.ends_with('\n')) host.pop_back();
    Line line;
    if (!parse(host, line)) {  // what smaps says of the mapping above
      if (inside) text += host + '\n';
      continue;
    }
    inside = false;
    auto each = table.upper_bound(line.first);
    if (each != table.begin() && std::prev(each)->second.end > line.first) --each;
    for (; each != table.end() && each->first < line.last; ++each) {
      const uint64_t from = std::max<uint64_t>(line.first, each->first),
                     to = std::min<uint64_t>(line.last, each->second.end);
      if (from >= to) continue;
      // The kernel counts for the whole of what it has as one mapping: it is shown as one, with the first one's rights.
      text += shown(line, from, blocks ? line.last : to, each->second.protection, about);
      inside = true;
      if (blocks) break;
    }
  }
  free(line_text);
  fclose(file);
  return text;
}

}  // namespace lyre::linux_user
