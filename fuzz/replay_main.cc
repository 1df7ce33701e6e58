// Stands in for libFuzzer's main() in ordinary builds: runs the fuzz target
// once over the empty input and once over each file that is named.

#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

// A target may define this one; libFuzzer calls it once, before any input.
extern "C" __attribute__((weak)) int LLVMFuzzerInitialize(int* argc,
                                                          char*** argv);

// A target's own mutator may ask libFuzzer for a plain mutation. Nothing is
// mutated in a replay, so this is here only to be linked.
extern "C" size_t LLVMFuzzerMutate(uint8_t*, size_t size, size_t) {
  return size;
}

int main(int argc, char** argv) {
  if (LLVMFuzzerInitialize != nullptr) LLVMFuzzerInitialize(&argc, &argv);
  LLVMFuzzerTestOneInput(nullptr, 0);
  for (int i = 1; i < argc; ++i) {
    std::ifstream file(argv[i], std::ios::binary);
    if (!file) {
      std::fprintf(stderr, "cannot open %s\n", argv[i]);
      return 1;
    }
    // Said beforehand: if the input kills the process, this names it.
    std::fprintf(stderr, "replaying %s\n", argv[i]);
    // As libFuzzer hands it over: a copy of exactly this size, so that a
    // sanitizer sees a read past its end.
    const std::vector<uint8_t> bytes((std::istreambuf_iterator<char>(file)),
                                     std::istreambuf_iterator<char>());
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::fprintf(stderr, "replayed %d files\n", argc - 1);
  return 0;
}
