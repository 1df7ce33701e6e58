#ifndef HOLDFAST_SIM_TRACE_H_
#define HOLDFAST_SIM_TRACE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <string>

#include "sim/observer.h"
#include "sim/types.h"

namespace holdfast {

// What happened in a run: a 64-bit hash over all of it, and the last events
// in memory for the report of a failure. Two runs of one seed must have the
// same hash in any process and any build.
//
// The hash takes in every dispatched event (time, sequence, actor, kind),
// every draw of chance, and a CRC and the length of all bytes sent or written
// (of ciphertext, only the length).
class Trace {
 public:
  Trace() = default;
  Trace(const Trace&) = delete;
  Trace& operator=(const Trace&) = delete;

  // `cause`: the number of the event that scheduled it; not in the hash.
  void Event(TrueTime time, uint64_t sequence, ActorId actor, EventKind kind,
             uint64_t cause) {
    Mix(static_cast<uint64_t>(time.time_since_epoch().count()));
    Mix(sequence << 8 | static_cast<uint64_t>(kind));
    Mix(actor);
    last_[events_ % kKept] = {time, actor, kind};
    time_ = time;
    ++events_;
    if (observer_ != nullptr) {
      observer_->OnEvent({events_, time, actor, kind, cause});
    }
  }
  void Draw(uint64_t bits) { Mix(bits); }
  void Bytes(uint32_t crc, size_t size) {
    Mix(static_cast<uint64_t>(size) << 32 | crc);
  }

  // Something worth reading in a failure's report (a crash, an election).
  // Not for what happens thousands of times. Part of the hash.
  void Note(TrueTime time, const std::string& text);

  // Whoever watches; null: nobody.
  Observer* observer() const { return observer_; }
  void set_observer(Observer* observer) { observer_ = observer; }

  uint64_t hash() const { return hash_; }
  // The number of the last one.
  uint64_t events() const { return events_; }

  // When that was; 0: there was none.
  TrueTime time() const { return time_; }

  // The last `max_events` events and the last notes, a line each.
  std::string Tail(size_t max_events,
                   const std::function<std::string(ActorId)>& name) const;

  // If set, every note goes there as it is made (simulate --verbose).
  void set_on_note(std::function<void(const std::string&)> on_note) {
    on_note_ = std::move(on_note);
  }

 private:
  struct Line {
    TrueTime time;
    ActorId actor = 0;
    EventKind kind = EventKind::kHarness;
  };
  static constexpr size_t kKept = 256;
  static constexpr size_t kNotesKept = 200;

  void Mix(uint64_t value) {
    hash_ = (hash_ ^ value) * 0x9fb21c651e98df25u;
    hash_ ^= hash_ >> 29;
  }

  Observer* observer_ = nullptr;
  uint64_t hash_ = 0x6a09e667f3bcc908u;
  uint64_t events_ = 0;
  TrueTime time_;
  std::array<Line, kKept> last_ = {};
  std::deque<std::string> notes_;
  std::function<void(const std::string&)> on_note_;
};

// "12.345678901s".
std::string FormatTrueTime(TrueTime time);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_TRACE_H_
