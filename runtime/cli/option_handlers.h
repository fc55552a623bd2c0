// Declarations of the handlers that options.def names: each reads one option's argument into the settings.
#pragma once
#include <string>

#include "runtime/base/result.h"
#include "runtime/cli/settings.h"

namespace lyre::cli {

#define LYRE_HEADING(text)
#define LYRE_OPTION(name, alias, argument, help, handler) \
  Status handler(Settings& settings, const std::string& argument_text);
#include "runtime/cli/options.def"
#undef LYRE_OPTION
#undef LYRE_HEADING

}  // namespace lyre::cli
