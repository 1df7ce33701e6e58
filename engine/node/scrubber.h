#ifndef HOLDFAST_ENGINE_NODE_SCRUBBER_H_
#define HOLDFAST_ENGINE_NODE_SCRUBBER_H_

#include <cstdint>
#include <functional>

#include "engine/base/callback_scope.h"
#include "engine/base/time.h"
#include "engine/env/loop.h"
#include "engine/wal/wal.h"

namespace holdfast {

// Reads the whole log from the disk, over and over, for damage that nobody else
// would find before the copies on other servers have decayed, too; the log has
// what is damaged repaired (Wal::Scrub). A pass reads so many bytes a second,
// and begins `interval` after the one before began, or when that ends. At its
// end `on_pass` looks at all that isn't the log.
class Scrubber {
 public:
  // `bytes_per_second`: not 0. `wal` outlives it, and is open.
  Scrubber(Loop* loop, Wal* wal, uint64_t bytes_per_second, Duration interval,
           std::function<void()> on_pass);

  void Start() { Continue(); }
  void Stop() { stopped_ = true; }

  uint64_t passes() const { return passes_; }

 private:
  void Continue();
  void OnScrubbed(const Wal::Scrubbed& scrubbed);

  Loop* const loop_;
  Wal* const wal_;
  const uint64_t bytes_per_second_;
  const Duration interval_;
  const std::function<void()> on_pass_;
  Instant began_;
  uint64_t passes_ = 0;
  bool stopped_ = false;
  Timer timer_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_SCRUBBER_H_
