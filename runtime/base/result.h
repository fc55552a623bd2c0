// Result<T>: a value, or an error of the user's or host's making in one clear sentence that names the file or option.
// Guest faults are data and never travel as a Result; our own bugs are LYRE_CHECK.
#pragma once
#include <string>
#include <utility>
#include <variant>

namespace lyre {

struct Error {
  std::string message;  // one sentence, no trailing newline
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}
  explicit operator bool() const { return state_.index() == 0; }
  T& operator*() { return std::get<0>(state_); }
  const T& operator*() const { return std::get<0>(state_); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

struct Ok {};
using Status = Result<Ok>;

}  // namespace lyre
