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
  // From the first block that the device refused to read to behind the last
  // one; `bytes` has zeroes for them. 0 and 0: there was none.
  uint64_t unreadable_from = 0;
  uint64_t unreadable_to = 0;
};

// Reads the first `size` bytes of the file; where the device reports an error,
// all but the blocks of kBlockBytes that it refuses twice. Any other error is
// passed on. What is under way keeps the file open.
void ReadAround(std::shared_ptr<File> file, uint64_t size,
                ResultFn<PatchedBytes> done);

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_PATCHED_READ_H_
