#include "machine/chardev/create.h"

#include <algorithm>
#include <array>
#include <vector>

#include "machine/chardev/mux.h"
#include "runtime/base/nearest.h"

namespace lyre::machine {
namespace {

constexpr std::array<std::string_view, 1> kStdioProperties = {"signal"};
constexpr std::array<std::string_view, 1> kPtyProperties = {"path"};
constexpr std::array<std::string_view, 3> kFileProperties = {"path", "append", "input-path"};
constexpr std::array<std::string_view, 13> kSocketProperties = {
    "path",  "host",      "port",         "server", "wait", "nowait", "nodelay",
    "delay", "reconnect", "reconnect-ms", "fd",     "ipv4", "ipv6"};

constexpr std::array<ChardevClass, 5> kClasses = {{
    {"null", "swallows output, never sends", {}, create_null},
    {"stdio", "this terminal, or standard input and output", kStdioProperties, create_stdio},
    {"pty", "a new pseudo-terminal, whose name is printed", kPtyProperties, create_pty},
    {"file", "output into a file", kFileProperties, create_file},
    {"socket", "a TCP or Unix socket, server or client", kSocketProperties, create_socket},
}};

Status check_properties(const ChardevClass& backend, const OptionList& options) {
  for (const auto& [name, value] : options.items) {
    if (name.empty() || name == "id" || name == "mux") continue;
    if (std::find(backend.properties.begin(), backend.properties.end(), name) != backend.properties.end()) continue;
    std::vector<std::string_view> known(backend.properties.begin(), backend.properties.end());
    known.insert(known.end(), {"id", "mux"});
    return Error{"character device '" + std::string(backend.name) + "' has no property '" + name + "'" +
                 did_you_mean(name, known)};
  }
  return Ok{};
}

}  // namespace

std::span<const ChardevClass> chardev_classes() { return kClasses; }

Result<bool> option_bool(const OptionList& options, std::string_view name, bool otherwise) {
  const std::string* value = options.find(name);
  if (!value) return otherwise;
  if (value->empty() || *value == "on" || *value == "yes" || *value == "true") return true;
  if (*value == "off" || *value == "no" || *value == "false") return false;
  return Error{"'" + std::string(name) + "' expects 'on' or 'off', not '" + *value + "'"};
}

Result<std::unique_ptr<Chardev>> create_chardev(const OptionList& options, const ChardevContext& context) {
  const std::string name = options.get("");
  auto backend = std::find_if(kClasses.begin(), kClasses.end(), [&](const ChardevClass& c) { return c.name == name; });
  if (backend == kClasses.end()) {
    std::vector<std::string_view> names;
    for (const ChardevClass& known : kClasses) names.push_back(known.name);
    return Error{"'" + name + "' is not a valid character device backend" + did_you_mean(name, names)};
  }
  if (Status status = check_properties(*backend, options); !status) return status.error();
  const Result<bool> mux = option_bool(options, "mux", false);
  if (!mux) return mux.error();
  auto made = backend->create(options, context);
  if (!made || !*mux) return made;
  return std::unique_ptr<Chardev>(std::make_unique<Mux>(std::move(*made), context));
}

}  // namespace lyre::machine
