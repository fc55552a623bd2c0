// virtio-rng on the command line.
#include <vector>

#include "machine/devices/options.h"
#include "machine/virtio/classes.h"
#include "machine/virtio/rng.h"
#include "runtime/base/nearest.h"

namespace lyre::machine::virtio {
namespace {

constexpr PropertyInfo kProperties[] = {
    {"rng", "str", "where the bytes come from: id of a -object rng-builtin or rng-random", "the host's getrandom()"},
    {"max-bytes", "size", "bytes that the guest gets in each period", "no limit"},
    {"period", "uint32", "milliseconds", "65536"},
};

Result<std::unique_ptr<VirtioDevice>> make_rng(const VirtioMake& make) {
  RngOptions rng;
  uint64_t period = rng.period_ms;
  if (Status s = read_size(make.options, make.where, "max-bytes", rng.max_bytes); !s) return s.error();
  if (Status s = read_number(make.options, make.where, "period", 0x7fffffff, period); !s) return s.error();
  if (!period || !rng.max_bytes) return Error{make.where + ": max-bytes= and period= must be at least 1"};
  rng.period_ms = static_cast<uint32_t>(period);
  EntropySource source = host_entropy();
  if (const std::string* id = find_option(make.options, "rng")) {
    const auto found = make.plug.entropy.find(*id);
    if (found == make.plug.entropy.end()) {
      std::vector<std::string_view> names;
      for (const auto& [name, each] : make.plug.entropy) names.push_back(name);
      return Error{make.where + ": there is no object '" + *id + "'" + did_you_mean(*id, names)};
    }
    source = found->second;
  }
  return std::unique_ptr<VirtioDevice>(std::make_unique<VirtioRng>(make.context, std::move(source), rng));
}

}  // namespace

extern const VirtioClass kVirtioRng;
const VirtioClass kVirtioRng{"virtio-rng", "entropy source", kProperties, 0x00ff00, make_rng, {}, {}};

}  // namespace lyre::machine::virtio
