#ifndef HOLDFAST_ENGINE_NODE_CATCH_UP_PACE_H_
#define HOLDFAST_ENGINE_NODE_CATCH_UP_PACE_H_

#include <cstdint>
#include <map>

#include "engine/base/time.h"
#include "engine/base/types.h"

namespace holdfast {

// What so many bytes take at that pace, which isn't 0; to the microsecond.
Duration TimeFor(uint64_t bytes, uint64_t bytes_per_second);

// When a leader may read the next entries from its files for a server that is
// behind. At once while nobody appends; otherwise so many bytes a second, to
// leave the rest of the disk, the wire and the processor to those who do, but
// never less than twice what they append: a server that is behind comes closer.
class CatchUpPace {
 public:
  // `bytes_per_second`: to each server; not 0.
  explicit CatchUpPace(uint64_t bytes_per_second)
      : bytes_per_second_(bytes_per_second) {}

  // A client's entry was appended.
  void OnAppended(Instant now, uint64_t bytes);
  // What was read was sent.
  void OnSent(ServerId to, Instant now, uint64_t bytes);
  // `now` or later.
  Instant NextRead(ServerId to, Instant now);

  struct Stats {
    uint64_t paced = 0;  // reads that had to wait for their turn

    template <typename Fn>  // fn(name, value)
    void ForEach(Fn fn) const {
      fn("cold_read_paced", paced);
    }
  };
  const Stats& stats() const { return stats_; }

 private:
  // Without an append for so long, nobody appends.
  static constexpr Duration kBusyFor = 100ms;

  struct Sent {
    Instant at;
    uint64_t bytes = 0;
    uint64_t appended = 0;  // appended_ then
  };

  const uint64_t bytes_per_second_;
  uint64_t appended_ = 0;
  Instant appended_at_;
  std::map<ServerId, Sent> sent_;  // the last one to each server
  Stats stats_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_CATCH_UP_PACE_H_
