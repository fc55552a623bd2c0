// Pflash: a flash bank of a board with its memory and, if the command line gives it a drive, the file behind it: -drive
// if=pflash or -machine pflashN=NODE. Writes reach the file from the I/O thread, in order.
#pragma once
#include <memory>

#include "machine/boards/machine.h"
#include "machine/devices/cfi_flash.h"

namespace lyre::machine {

class Pflash {
 public:
  // Adds the memory and maps the device. Errors: the file is missing or has another size than the bank.
  static Result<std::unique_ptr<Pflash>> make(Machine& machine, unsigned bank, Gpa base, uint64_t size);
  ~Pflash();

  CfiFlash& device() { return *device_; }
  bool has_contents() const { return fd_ >= 0; }

 private:
  Pflash() = default;
  Status open_file(const std::string& path, bool read_only, uint64_t size, Hva to);
  int fd_ = -1;
  std::unique_ptr<CfiFlash> device_;
};

}  // namespace lyre::machine
