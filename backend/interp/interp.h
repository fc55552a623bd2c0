// The IR interpreter: an ordinary host, slow and plain, and the reference that the others are compared with. It runs optimised regions and,
// unlike the others, also regions as the frontend built them (get and set work on the state area directly).
// A compiled region is a copy of the IR. Threads: run() keeps its values in thread-local memory; regions are immutable.
#pragma once
#include <memory>

#include "backend/backend.h"

namespace lyre::backend {

std::unique_ptr<Backend> make_interp_backend(const GuestLayout& layout, const BackendOptions& options);

}  // namespace lyre::backend
