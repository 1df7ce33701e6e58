#include "engine/node/scrubber.h"

#include <algorithm>
#include <utility>

#include "engine/node/cold_read_pace.h"

namespace holdfast {
namespace {

// Read at once; a hundredth of a second's work for a slow disk.
constexpr size_t kBytesAtOnce = 256 << 10;

}  // namespace

Scrubber::Scrubber(Loop* loop, Wal* wal, uint64_t bytes_per_second,
                   Duration interval, std::function<void()> on_pass)
    : loop_(loop),
      wal_(wal),
      bytes_per_second_(bytes_per_second),
      interval_(interval),
      on_pass_(std::move(on_pass)),
      began_(loop->Now()) {}

void Scrubber::Continue() {
  if (stopped_) return;
  wal_->Scrub(kBytesAtOnce,
              scope_.Wrap([this](absl::StatusOr<Wal::Scrubbed> scrubbed) {
                OnScrubbed(*scrubbed);
              }));
}

void Scrubber::OnScrubbed(const Wal::Scrubbed& scrubbed) {
  const Instant now = loop_->Now();
  Duration wait = TimeFor(scrubbed.bytes, bytes_per_second_);
  if (scrubbed.reached_end) {
    ++passes_;
    wait = std::max(began_ + interval_ - now, Duration(1ms));
    began_ = now + wait;
    on_pass_();
  }
  timer_ = loop_->After(wait, [this] { Continue(); });
}

}  // namespace holdfast
