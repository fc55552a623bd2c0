// virtio-rng (virtio 1.3, 5.4): fills the driver's buffers with random bytes, at most max_bytes in each period.
// Threads: I/O thread.
#pragma once
#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "machine/virtio/chain.h"
#include "machine/virtio/device.h"
#include "runtime/base/result.h"

namespace lyre::machine::virtio {

// Where random bytes come from: the one seam between the guest and the host's randomness. Returns how many bytes it had; 0: none now.
using EntropySource = std::function<size_t(std::span<std::byte> to)>;
EntropySource host_entropy();  // getrandom(2)
// Reads a file such as /dev/hwrng. Error: it cannot be opened.
Result<EntropySource> file_entropy(const std::string& file);

struct RngOptions {
  uint64_t max_bytes = INT64_MAX;  // in each period
  uint32_t period_ms = 1 << 16;
};

class VirtioRng final : public VirtioDevice {
 public:
  VirtioRng(VirtioContext context, EntropySource source, const RngOptions& options);
  ~VirtioRng() override;

 private:
  uint64_t device_features() const override { return 0; }
  std::span<const uint8_t> config() override { return {}; }
  void handle_queue(unsigned index) override;
  uint32_t fill(const Chain& chain);
  void queue_was_reset(unsigned) override { held_ = false; }
  void retry_in(int64_t ns, bool refill);

  const EntropySource source_;
  const RngOptions options_;
  uint64_t quota_;          // bytes left in this period
  bool waiting_ = false;    // a timer will look at the queue again
  Chain chain_;
  bool held_ = false;       // chain_ was popped and not yet answered
};

}  // namespace lyre::machine::virtio
