#include "machine/monitor/line_editor.h"

#include <algorithm>

namespace lyre::machine {
namespace {

constexpr size_t kMaxLine = 4096, kMaxHistory = 64;
constexpr uint8_t ctrl(char letter) { return static_cast<uint8_t>(letter & 0x1f); }

std::string back(size_t count) { return std::string(count, '\b'); }

}  // namespace

std::string LineEditor::redraw() const { return prompt_ + line_ + back(line_.size() - cursor_); }

void LineEditor::insert(char c, std::string& echo) {
  if (line_.size() >= kMaxLine) return;
  line_.insert(cursor_, 1, c);
  echo += line_.substr(cursor_);
  ++cursor_;
  echo += back(line_.size() - cursor_);
}

void LineEditor::move(size_t to, std::string& echo) {
  if (to < cursor_) {
    echo += back(cursor_ - to);
  } else {
    echo += line_.substr(cursor_, to - cursor_);
  }
  cursor_ = to;
}

void LineEditor::erase(size_t from, size_t count, std::string& echo) {
  move(from, echo);
  line_.erase(from, count);
  // The rest moves left; blanks cover what stood at the end.
  echo += line_.substr(from) + std::string(count, ' ') + back(line_.size() - from + count);
}

void LineEditor::replace(std::string line, std::string& echo) {
  erase(0, line_.size(), echo);
  line_ = std::move(line);
  cursor_ = line_.size();
  echo += line_;
}

void LineEditor::history(int step, std::string& echo) {
  if (step < 0 ? history_at_ == 0 : history_at_ >= history_.size()) return;
  history_at_ = step < 0 ? history_at_ - 1 : history_at_ + 1;
  replace(history_at_ < history_.size() ? history_[history_at_] : "", echo);
}

size_t LineEditor::word_start() const {
  size_t at = cursor_;
  while (at > 0 && line_[at - 1] == ' ') --at;
  while (at > 0 && line_[at - 1] != ' ') --at;
  return at;
}

void LineEditor::tab(std::string& echo) {
  if (cursor_ != line_.size() || !complete_) return;
  const std::vector<std::string> words = complete_(line_);
  if (words.empty()) return;
  const size_t typed = line_.size() - (line_.rfind(' ') == std::string::npos ? 0 : line_.rfind(' ') + 1);
  std::string common = words.front();
  for (const std::string& word : words) {
    const auto end = std::mismatch(common.begin(), common.end(), word.begin(), word.end()).first;
    common.erase(end, common.end());
  }
  for (char c : common.substr(std::min(typed, common.size()))) insert(c, echo);
  if (words.size() == 1) {
    insert(' ', echo);
  } else if (common.size() == typed) {
    echo += "\n";
    for (const std::string& word : words) echo += word + "  ";
    echo += "\n" + redraw();
  }
}

void LineEditor::control(uint8_t byte, std::string& echo) {
  switch (byte) {
    case ctrl('A'):
      return move(0, echo);
    case ctrl('E'):
      return move(line_.size(), echo);
    case ctrl('B'):
      return move(cursor_ ? cursor_ - 1 : 0, echo);
    case ctrl('F'):
      return move(std::min(cursor_ + 1, line_.size()), echo);
    case ctrl('D'):
      if (cursor_ < line_.size()) erase(cursor_, 1, echo);
      return;
    case ctrl('K'):
      return erase(cursor_, line_.size() - cursor_, echo);
    case ctrl('U'):
    case ctrl('C'):
      return replace("", echo);
    case ctrl('W'): {
      const size_t from = word_start();
      return erase(from, cursor_ - from, echo);
    }
    case ctrl('P'):
      return history(-1, echo);
    case ctrl('N'):
      return history(1, echo);
    case '\t':
      return tab(echo);
    case '\b':
    case 0x7f:
      if (cursor_ > 0) erase(cursor_ - 1, 1, echo);
      return;
    case 0x1b:
      state_ = State::kEscape;
      return;
    default:
      return;
  }
}

void LineEditor::escape_sequence(uint8_t byte, std::string& echo) {
  if (state_ == State::kEscape) {
    state_ = byte == '[' || byte == 'O' ? State::kBracket : State::kPlain;
    parameter_ = 0;
    return;
  }
  if (byte >= '0' && byte <= '9') {
    parameter_ = std::min(parameter_ * 10 + (byte - '0'), 99u);
    return;
  }
  state_ = State::kPlain;
  switch (byte) {
    case 'A':
      return history(-1, echo);
    case 'B':
      return history(1, echo);
    case 'C':
      return control(ctrl('F'), echo);
    case 'D':
      return control(ctrl('B'), echo);
    case 'H':
      return control(ctrl('A'), echo);
    case 'F':
      return control(ctrl('E'), echo);
    case '~':
      if (parameter_ == 3) control(ctrl('D'), echo);
      if (parameter_ == 1 || parameter_ == 7) control(ctrl('A'), echo);
      if (parameter_ == 4 || parameter_ == 8) control(ctrl('E'), echo);
      return;
    default:
      return;
  }
}

std::optional<std::string> LineEditor::key(uint8_t byte, std::string& echo) {
  const uint8_t before = last_;
  last_ = byte;
  if (state_ != State::kPlain) {
    escape_sequence(byte, echo);
    return std::nullopt;
  }
  if (byte == '\r' || byte == '\n') {
    if (byte == '\n' && before == '\r') return std::nullopt;  // one key of a terminal that sends both
    echo += "\n";
    std::string done = std::move(line_);
    line_.clear();
    cursor_ = 0;
    if (!done.empty() && (history_.empty() || history_.back() != done)) history_.push_back(done);
    if (history_.size() > kMaxHistory) history_.erase(history_.begin());
    history_at_ = history_.size();
    return done;
  }
  if (byte >= 0x20 && byte != 0x7f) {
    insert(static_cast<char>(byte), echo);
  } else {
    control(byte, echo);
  }
  return std::nullopt;
}

}  // namespace lyre::machine
