// The list of hosts.
#include "backend/backend.h"
#include "backend/interp/interp.h"
#if __has_include("backend/x64/x64.h")
#include "backend/x64/x64.h"
#define LYRE_HAVE_X64 1
#endif

namespace lyre::backend {

#ifdef LYRE_HAVE_X64
// Weak while that folder is being written: without it the host is not offered.
[[gnu::weak]] Result<std::unique_ptr<Backend>> make_x64_backend(const GuestLayout& layout, const BackendOptions& options);
#endif

Result<std::unique_ptr<Backend>> make_backend(std::string_view name, const GuestLayout& layout, const BackendOptions& options) {
  if (name == "interp") return make_interp_backend(layout, options);
#ifdef LYRE_HAVE_X64
  using Factory = Result<std::unique_ptr<Backend>> (*)(const GuestLayout&, const BackendOptions&);
  if (Factory x64 = make_x64_backend; name == "x64" && x64) return x64(layout, options);
#endif
  return Error{"no host named '" + std::string(name) + "'; there are 'x64' and 'interp'"};
}

}  // namespace lyre::backend
