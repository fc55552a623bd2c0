// null: swallows output, never sends.
#include "machine/chardev/create.h"

namespace lyre::machine {
namespace {

class NullChardev final : public Chardev {
 public:
  size_t write(std::span<const uint8_t> bytes) override { return bytes.size(); }
  void attach(ChardevReceiver) override {}
  void accept_input() override {}
  std::string description() const override { return "null"; }
};

}  // namespace

Result<std::unique_ptr<Chardev>> create_null(const OptionList&, const ChardevContext&) {
  return std::unique_ptr<Chardev>(std::make_unique<NullChardev>());
}

}  // namespace lyre::machine
