#ifndef HOLDFAST_ENGINE_WAL_PATCHED_READ_H_
#define HOLDFAST_ENGINE_WAL_PATCHED_READ_H_

#include <cstdint>
#include <memory>

#include "engine/base/buffer.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"

namespace holdfast {

struct PatchedBytes {
  Buffer bytes;
  // Behind the last block that the device refused to read, of which `bytes` has
  // zeroes; 0: there was none.
  uint64_t unreadable_to = 0;
};

// Reads the first `size` bytes of the file; where the device reports an error,
// all but the blocks of 4 KiB that it refuses. Any other error is passed on.
// What is under way keeps the file open.
void ReadAround(std::shared_ptr<File> file, uint64_t size,
                ResultFn<PatchedBytes> done);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_PATCHED_READ_H_
