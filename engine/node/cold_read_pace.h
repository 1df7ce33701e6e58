#ifndef HOLDFAST_ENGINE_NODE_COLD_READ_PACE_H_
#define HOLDFAST_ENGINE_NODE_COLD_READ_PACE_H_

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
// the wire and the processor to those who append, but never less than half as
// much again as they do: whoever reads comes closer to the log's end.
class ColdReadPace {
 public:
  // `self`: this server; `bytes_per_second`: for each reader; not 0.
  ColdReadPace(ServerId self, uint64_t bytes_per_second)
      : self_(self), bytes_per_second_(bytes_per_second) {}

  // To this server's log.
  void OnAppended(Instant now, uint64_t bytes);
  // `reader`: a server that is behind, or this one.
  void OnRead(ServerId reader, Instant now, uint64_t bytes);
  // `now` or later.
  Instant NextRead(ServerId reader, Instant now);

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
  // Without an append for so long, nobody appends.
  static constexpr Duration kBusyFor = 100ms;

  struct Read {
    Instant at;
    uint64_t bytes = 0;
    uint64_t appended = 0;          // appended_ then
    uint64_t bytes_per_second = 0;  // until the next one
  };

  // What a reader may have had since the last one, however little the pace.
  uint64_t ComesCloser(const Read& last) const;

  const ServerId self_;
  const uint64_t bytes_per_second_;
  uint64_t appended_ = 0;
  Instant appended_at_;
  std::map<ServerId, Read> reads_;  // the last one for each
  Stats stats_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_COLD_READ_PACE_H_
