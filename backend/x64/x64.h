// The x86-64 host. Threads: as backend/backend.h says.
#pragma once
#include <memory>

#include "backend/backend.h"
#include "backend/x64/features.h"

namespace lyre::backend {

Result<std::unique_ptr<Backend>> make_x64_backend(const GuestLayout& layout, const BackendOptions& options);
// The same with instruction-set extensions hidden: how tests reach the code for older hosts.
Result<std::unique_ptr<Backend>> make_x64_backend(const GuestLayout& layout, const BackendOptions& options, const x64::HostFeatures& features);

}  // namespace lyre::backend
