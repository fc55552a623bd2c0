// LineEditor: turns keys into edited lines and the characters to echo. Left, right, home, end, delete, history with up
// and down, ^A ^E ^B ^F ^K ^U ^W ^C, completion with Tab. No I/O and no threads of its own.
#pragma once
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lyre::machine {

class LineEditor {
 public:
  using Complete = std::function<std::vector<std::string>(std::string_view line)>;  // whole words that may stand at the
                                                                                    // end of the line

  LineEditor(std::string prompt, Complete complete) : prompt_(std::move(prompt)), complete_(std::move(complete)) {}

  // What to echo goes to `echo`; a finished line is returned.
  std::optional<std::string> key(uint8_t byte, std::string& echo);
  // The prompt and what has been typed so far.
  std::string redraw() const;

 private:
  void insert(char c, std::string& echo);
  void move(size_t to, std::string& echo);
  void erase(size_t from, size_t count, std::string& echo);
  void replace(std::string line, std::string& echo);
  void history(int step, std::string& echo);
  void tab(std::string& echo);
  void control(uint8_t byte, std::string& echo);
  void escape_sequence(uint8_t byte, std::string& echo);
  size_t word_start() const;

  const std::string prompt_;
  const Complete complete_;
  std::string line_;
  size_t cursor_ = 0;
  std::vector<std::string> history_;
  size_t history_at_ = 0;
  enum class State : uint8_t { kPlain, kEscape, kBracket } state_ = State::kPlain;
  unsigned parameter_ = 0;
  uint8_t last_ = 0;
};

}  // namespace lyre::machine
