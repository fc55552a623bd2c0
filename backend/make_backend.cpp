// The list of hosts.
#include "backend/backend.h"
#include "backend/interp/interp.h"
#include "backend/x64/x64.h"

namespace lyre::backend {

Result<std::unique_ptr<Backend>> make_backend(std::string_view name, const GuestLayout& layout, const BackendOptions& options) {
  if (name == "interp") return make_interp_backend(layout, options);
  if (name == "x64") return make_x64_backend(layout, options);
  return Error{"no host named '" + std::string(name) + "'; there are 'x64' and 'interp'"};
}

}  // namespace lyre::backend
