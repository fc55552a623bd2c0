// Parser of IR text. Two passes over the lines: names first, so that an argument may name a value that stands further down (around a
// back edge, or in a test of the verifier).
#include <cctype>
#include <charconv>
#include <unordered_map>

#include "ir/text.h"
#include "ir/text_names.h"

namespace lyre::ir {
namespace {

struct ParseError {
  std::string message;
};

// One line, read from left to right.
class Cursor {
 public:
  explicit Cursor(std::string_view text) : rest_(text) { skip(); }
  bool done() const { return rest_.empty(); }
  bool take(std::string_view token) {
    if (!rest_.starts_with(token)) return false;
    if (is_word(token.back()) && rest_.size() > token.size() && is_word(rest_[token.size()])) return false;
    rest_.remove_prefix(token.size());
    skip();
    return true;
  }
  void expect(std::string_view token) {
    if (!take(token)) throw ParseError{"expected '" + std::string(token) + "' at '" + std::string(rest_) + "'"};
  }
  std::string_view word() {
    size_t length = 0;
    while (length < rest_.size() && is_word(rest_[length])) length++;
    if (!length) throw ParseError{"expected a word at '" + std::string(rest_) + "'"};
    std::string_view result = rest_.substr(0, length);
    rest_.remove_prefix(length);
    skip();
    return result;
  }
  uint64_t number() {
    bool hex = rest_.starts_with("0x");
    if (hex) rest_.remove_prefix(2);
    uint64_t value = 0;
    auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), value, hex ? 16 : 10);
    if (error != std::errc{}) throw ParseError{"expected a number at '" + std::string(rest_) + "'"};
    rest_.remove_prefix(static_cast<size_t>(end - rest_.data()));
    skip();
    return value;
  }
  // + or -, then a number.
  int64_t offset() {
    if (take("-")) return static_cast<int64_t>(-number());
    expect("+");
    return static_cast<int64_t>(number());
  }
  // A name in parentheses, for the reader.
  void skip_name() {
    if (!rest_.starts_with("(")) return;
    size_t end = rest_.find(')');
    rest_.remove_prefix(end == std::string_view::npos ? rest_.size() : end + 1);
    skip();
  }
  char next() const { return rest_.empty() ? '\0' : rest_[0]; }

 private:
  static bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
  void skip() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\t')) rest_.remove_prefix(1);
  }
  std::string_view rest_;
};

template <size_t N>
bool find_name(const char* const (&names)[N], std::string_view word, unsigned& index) {
  for (index = 0; index < N; index++)
    if (word == names[index]) return true;
  return false;
}

class Parser {
 public:
  Region parse(std::string_view text) {
    scan_names(text);
    each_line(text, [&](std::string_view line) { parse_line(line); });
    if (!region_.blocks.empty()) close_block();
    return std::move(region_);
  }
  unsigned line_number() const { return line_number_; }

 private:
  template <typename Visit>
  void each_line(std::string_view text, Visit&& visit) {
    line_number_ = 0;
    while (!text.empty()) {
      line_number_++;
      size_t end = text.find('\n');
      std::string_view line = text.substr(0, end);
      text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
      line = line.substr(0, line.find(';'));
      while (!line.empty() && std::isspace(static_cast<unsigned char>(line.back()))) line.remove_suffix(1);
      while (!line.empty() && std::isspace(static_cast<unsigned char>(line.front()))) line.remove_prefix(1);
      if (!line.empty()) visit(line);
    }
  }
  static bool is_label(std::string_view line) { return line.starts_with("block") && line.back() == ':'; }
  static bool is_snapshot(std::string_view line) { return line.size() > 1 && line[0] == 's' && std::isdigit(static_cast<unsigned char>(line[1])); }
  static bool is_frame(std::string_view line) { return line.starts_with("region") || line == "}"; }

  void scan_names(std::string_view text) {
    ValueId next = 0;
    each_line(text, [&](std::string_view line) {
      if (is_label(line) || is_snapshot(line) || is_frame(line)) return;
      size_t colon = line.find(':');
      if (line[0] == 'v' && colon != std::string_view::npos && std::isdigit(static_cast<unsigned char>(line[1]))) {
        std::string name(line.substr(0, colon));
        if (!names_.emplace(name, next).second) throw ParseError{name + " is defined twice"};
      }
      next++;
    });
  }

  void parse_line(std::string_view line) {
    Cursor at(line);
    if (is_frame(line)) return frame(at);
    if (is_label(line)) return label(line);
    if (is_snapshot(line)) return snapshot(at);
    instruction(at);
    if (!at.done()) throw ParseError{std::string("trailing text at '") + at.next() + "'"};
  }

  void frame(Cursor& at) {
    if (at.take("}")) return;
    at.expect("region");
    while (!at.done() && !at.take("{")) {
      if (at.take("start")) at.expect("="), region_.start.value = at.number();
      else if (at.take("key")) at.expect("="), region_.state_key = at.number();
      else if (at.take("insns")) at.expect("="), region_.guest_insns = static_cast<uint32_t>(at.number());
      else throw ParseError{"expected start, key or insns"};
    }
  }

  void close_block() { region_.blocks.back().end = static_cast<uint32_t>(region_.insts.size()); }
  void label(std::string_view line) {
    if (!region_.blocks.empty()) close_block();
    Block block;
    block.first = static_cast<uint32_t>(region_.insts.size());
    block.loop_header = line.find(" loop") != std::string_view::npos;
    region_.blocks.push_back(block);
  }

  Type type(Cursor& at) {
    std::string_view word = at.word();
    unsigned index;
    if (!find_name(kTypeNames, word, index)) throw ParseError{"no type '" + std::string(word) + "'"};
    return static_cast<Type>(index);
  }
  ValueId value(Cursor& at) {
    std::string name(at.word());
    if (name == "none") return kNoId;
    auto found = names_.find(name);
    if (found == names_.end()) throw ParseError{"no value " + name};
    return found->second;
  }
  uint64_t slot(Cursor& at) {
    at.expect("@");
    uint64_t offset = at.number();
    at.skip_name();
    return offset;
  }

  void snapshot(Cursor& at) {
    std::string_view name = at.word();
    if (name != "s" + std::to_string(region_.snapshots.size())) throw ParseError{"snapshots are numbered in order"};
    at.expect(":");
    Snapshot made;
    if (at.take("after")) {
      made.parent = static_cast<SnapshotId>(numbered(at, 's'));
      at.expect(",");
    }
    at.expect("pc");
    made.pc_offset = static_cast<int32_t>(at.offset());
    at.expect("insn");
    made.insn_index = static_cast<uint32_t>(at.number());
    made.first_entry = static_cast<uint32_t>(region_.snapshot_entries.size());
    at.expect("{");
    while (!at.take("}")) {
      if (made.entry_count) at.expect(",");
      SnapshotEntry entry{};
      entry.slot = static_cast<uint16_t>(slot(at));
      at.expect(":");
      entry.value = value(at);
      entry.type = entry.value < region_.insts.size() ? region_.insts[entry.value].type : Type::kVoid;
      region_.snapshot_entries.push_back(entry);
      made.entry_count++;
    }
    region_.snapshots.push_back(made);
  }

  // A letter followed by a number, as one word.
  uint64_t numbered(Cursor& at, char letter) {
    std::string_view word = at.word();
    uint64_t result = 0;
    if (word[0] != letter || std::from_chars(word.data() + 1, word.data() + word.size(), result).ec != std::errc{})
      throw ParseError{"expected " + std::string(1, letter) + "<number>"};
    return result;
  }

  void instruction(Cursor& at) {
    Inst inst;
    std::string_view word = at.word();
    bool has_result = false;
    if (word[0] == 'v' && at.take(":")) {
      inst.type = type(at);
      has_result = true;
      at.expect("=");
      word = at.word();
    }
    inst.op = find_op(word);
    suffixes(at, inst);
    operands(at, inst);
    if (at.take("!")) inst.snapshot = static_cast<SnapshotId>(numbered(at, 's'));
    bool stored = inst.op == Op::set || inst.op == Op::store;
    if (stored) {
      ValueId from = inst.op == Op::set ? inst.args[0] : inst.args[1];
      inst.type = from < region_.insts.size() ? region_.insts[from].type : Type::kVoid;
    }
    if (inst.op == Op::param && !region_.blocks.empty()) region_.blocks.back().param_count++;
    if (stored && has_result) throw ParseError{"this operation has no result"};
    region_.insts.push_back(inst);
  }

  static Op find_op(std::string_view word) {
    for (unsigned i = 0; i < static_cast<unsigned>(Op::kCount); i++) {
      std::string_view name = kOpInfo[i].name;
      if (name.back() == '_') name.remove_suffix(1);
      if (name == word) return static_cast<Op>(i);
    }
    throw ParseError{"no operation '" + std::string(word) + "'"};
  }

  void suffixes(Cursor& at, Inst& inst) {
    MemOp mem;
    bool sized = false;
    while (at.take(".")) {
      std::string_view word = at.word();
      unsigned index = 0;
      if (word == "dead") inst.aux |= kFlagsDead;
      else if (has(inst.op, kMemory) && std::isdigit(static_cast<unsigned char>(word[0]))) {
        for (mem.size_log2 = 0; std::to_string(mem.size()) != word; mem.size_log2++)
          if (mem.size_log2 == 4) throw ParseError{"no access size " + std::string(word)};
        sized = true;
      } else if (word == "s") mem.sign_extend = true;
      else if (word == "be") mem.big_endian = true;
      else if (word == "align") mem.must_align = true;
      else if (word == "atomic") mem.atomic = true;
      else if (word == "exec") mem.exec = true;
      else if (has(inst.op, kMemory) && find_name(kOrderingNames, word, index)) mem.ordering = static_cast<Ordering>(index);
      else if (find_aux(inst.op, word, index)) inst.aux = static_cast<uint8_t>(inst.aux | index);
      else throw ParseError{"no suffix '" + std::string(word) + "' here"};
    }
    if (has(inst.op, kMemory)) {
      if (!sized) throw ParseError{"an access needs a size"};
      inst.imm = mem.pack();
    }
  }

  static bool find_aux(Op op, std::string_view word, unsigned& index) {
    if (std::isdigit(static_cast<unsigned char>(word[0]))) {
      return std::from_chars(word.data(), word.data() + word.size(), index).ec == std::errc{};
    }
    switch (op) {
      case Op::cmp: case Op::select_cmp: case Op::exit_if_cmp: return find_name(kCondNames, word, index);
      case Op::fcmp: return find_name(kFloatCondNames, word, index);
      case Op::fround: return find_name(kRoundingNames, word, index);
      case Op::rmw: return find_name(kRmwNames, word, index);
      case Op::exit_direct: case Op::exit_indirect: return find_name(kHintNames, word, index);
      default: return false;
    }
  }

  void pool_list(Cursor& at, Inst& inst) {
    inst.args[0] = static_cast<ValueId>(region_.pool.size());
    inst.args[1] = 0;
    at.expect("[");
    while (!at.take("]")) {
      if (inst.args[1]) at.expect(",");
      region_.pool.push_back(value(at));
      inst.args[1]++;
    }
  }

  void address(Cursor& at, Inst& inst) {
    at.expect("[");
    inst.args[0] = value(at);
    int64_t displacement = at.next() == '+' || at.next() == '-' ? at.offset() : 0;
    inst.imm |= static_cast<uint64_t>(displacement) << 32;
    at.expect("]");
    for (unsigned i = 1; i < op_info(inst.op).args; i++) at.expect(","), inst.args[i] = value(at);
  }

  void operands(Cursor& at, Inst& inst) {
    switch (inst.op) {
      case Op::param: case Op::constant: case Op::count: inst.imm = at.number(); return;
      case Op::guest_pc: inst.imm = static_cast<uint64_t>(at.offset()); return;
      case Op::get: inst.imm = slot(at); return;
      case Op::set: inst.imm = slot(at), at.expect(","), inst.args[0] = value(at); return;
      case Op::load: case Op::store: case Op::rmw: case Op::cmpxchg: return address(at, inst);
      case Op::call: case Op::call_if: inst.imm = at.number(), at.skip_name(), pool_list(at, inst); return;
      case Op::jump: {
        std::string_view word = at.word();
        if (!word.starts_with("block") || std::from_chars(word.data() + 5, word.data() + word.size(), inst.imm).ec != std::errc{})
          throw ParseError{"expected block<number>"};
        return pool_list(at, inst);
      }
      default: break;
    }
    for (unsigned i = 0; i < op_info(inst.op).args; i++) {
      if (i) at.expect(",");
      inst.args[i] = value(at);
    }
    if (at.take("->")) inst.imm = static_cast<uint64_t>(at.offset());
  }

  Region region_;
  std::unordered_map<std::string, ValueId> names_;
  unsigned line_number_ = 0;
};

}  // namespace

Result<Region> parse(std::string_view text) {
  Parser parser;
  try {
    return parser.parse(text);
  } catch (const ParseError& error) {
    return Error{"line " + std::to_string(parser.line_number()) + ": " + error.message};
  }
}

}  // namespace lyre::ir
