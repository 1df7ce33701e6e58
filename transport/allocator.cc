#include "transport/allocator.h"

#include <malloc.h>

namespace holdfast {

void KeepFreedMemory() {
  mallopt(M_TRIM_THRESHOLD, 64 << 20);
  mallopt(M_TOP_PAD, 4 << 20);
  // Above this, memory is mapped by itself and given back at once; the greatest
  // value that glibc takes.
  mallopt(M_MMAP_THRESHOLD, 32 << 20);
}

}  // namespace holdfast
