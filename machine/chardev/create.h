// What -chardev can make. Each backend lives in its own file and has one row in the table of create.cpp: name,
// properties, function.
#pragma once
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "machine/boards/machine.h"
#include "machine/chardev/chardev.h"

namespace lyre::machine {

struct ChardevContext {
  EventLoop& io;
  std::string label;           // its id, for messages
  std::function<void()> quit;  // Ctrl-A x of a mux; empty: the key does nothing
};

struct ChardevClass {
  std::string_view name;
  std::string_view description;
  std::span<const std::string_view> properties;  // besides id and mux
  Result<std::unique_ptr<Chardev>> (*create)(const OptionList& options, const ChardevContext& context);
};
std::span<const ChardevClass> chardev_classes();

// options as after -chardev: the backend under the empty name, then its properties. With mux=on the result is a Mux
// (mux.h). Errors: unknown backend or property (with the nearest name), or what the host said.
Result<std::unique_ptr<Chardev>> create_chardev(const OptionList& options, const ChardevContext& context);

// "on", "yes", "true" and "off", "no", "false"; a property without a value is on. Error: anything else.
Result<bool> option_bool(const OptionList& options, std::string_view name, bool otherwise);

Result<std::unique_ptr<Chardev>> create_null(const OptionList& options, const ChardevContext& context);
Result<std::unique_ptr<Chardev>> create_stdio(const OptionList& options, const ChardevContext& context);
Result<std::unique_ptr<Chardev>> create_pty(const OptionList& options, const ChardevContext& context);
Result<std::unique_ptr<Chardev>> create_file(const OptionList& options, const ChardevContext& context);
Result<std::unique_ptr<Chardev>> create_socket(const OptionList& options, const ChardevContext& context);

}  // namespace lyre::machine
