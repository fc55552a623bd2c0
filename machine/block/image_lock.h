// Locks on an image file, so that two emulators do not write the same disk. Byte-range OFD locks at the places that QEMU uses, so that
// the two see each other: a shared lock on byte 100+P says "I use permission P", one on byte 200+P says "nobody else may".
// Cold; the locks live as long as the open file description.
#pragma once
#include <string>

#include "runtime/base/result.h"

namespace lyre::machine::block {

struct ImageUse {
  bool write = false;         // we write
  bool share_writes = false;  // others may write meanwhile (share-rw=on)
};

// must: false (locking=auto) lets a file system without locks pass.
Status lock_image(int fd, const std::string& file, const ImageUse& use, bool must);

}  // namespace lyre::machine::block
