#ifndef HOLDFAST_ENGINE_NODE_COLD_READ_PACE_H_
#define HOLDFAST_ENGINE_NODE_COLD_READ_PACE_H_

#include <algorithm>
#include <cstdint>
#include <map>

#include "engine/base/time.h"
#include "engine/base/types.h"

namespace holdfast {

// What so many bytes take at that pace, which isn't 0; to the microsecond.
Duration TimeFor(uint64_t bytes, uint64_t bytes_per_second);

// When entries may be read from the log's files for what isn't urgent: a server
// that is behind, or what trims have left nobody needs. At once while nothing
// is appended; otherwise so many bytes a second, to leave the rest of the disk,
// the wire and the processor to those who append, but never less than an eighth
// more than they do: whoever reads comes closer to the log's end.
class ColdReadPace {
 public:
  // `self`: this server; `bytes_per_second`: for each reader; not 0.
  ColdReadPace(ServerId self, uint64_t bytes_per_second)
      : self_(self), bytes_per_second_(bytes_per_second) {}

  // To this server's log.
  void OnAppended(Instant now, uint64_t bytes);
  // `reader`, a server that is behind, or this one, wants to read: `now`, if
  // its turn has come, which begins with that; else when to ask again.
  Instant NextRead(ServerId reader, Instant now);
  // Of the `bytes_max` that may be read at once, how many to read in that turn:
  // while others append, only so much as doesn't make them wait for long, but
  // enough for the pace, if a read takes no longer than kReadTime.
  uint64_t BytesAtOnce(Instant now, uint64_t bytes_max) const;
  // What it read in its turn.
  void OnRead(ServerId reader, uint64_t bytes) { turns_[reader].bytes = bytes; }

  struct Stats {
    // Reads that had to wait for their turn: for others, for this server.
    uint64_t paced = 0;
    uint64_t own_paced = 0;

    template <typename Fn>  // fn(name, value)
    void ForEach(Fn fn) const {
      fn("cold_read_paced", paced);
      fn("trim_read_paced", own_paced);
    }
  };
  const Stats& stats() const { return stats_; }

 private:
  // Without an append for so long, nobody appends; over so long what they
  // append is measured, since it comes in bursts; so often readers ask.
  static constexpr Duration kWindow = 100ms;
  static constexpr uint64_t kBytesAtOnceMin = 128 << 10;
  static constexpr Duration kReadTime = 10ms;
  // A turn that began late may make up for so much.
  static constexpr Duration kMakeUp = 20ms;

  bool busy(Instant now) const { return now - appended_at_ < kWindow; }
  // Bytes a second, while others append.
  uint64_t pace() const {
    return std::max(bytes_per_second_,
                    appended_per_second_ + appended_per_second_ / 8);
  }

  struct Turn {
    Instant at;
    uint64_t bytes = 0;
    bool waited = false;  // for the next one
  };

  const ServerId self_;
  const uint64_t bytes_per_second_;
  Instant appended_at_;
  Instant window_began_;
  uint64_t window_bytes_ = 0;
  uint64_t appended_per_second_ = 0;  // in the window before
  std::map<ServerId, Turn> turns_;    // the last one of each
  Stats stats_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_COLD_READ_PACE_H_
