#include "sim/chance.h"

#include "engine/base/check.h"
#include "sim/fault_sites.h"

namespace holdfast {

void Chance::Replay(const Tape& tape) {
  replaying_ = true;
  for (const TapeEntry& e : tape.entries) {
    replay_[{{Site(e.site), e.actor}, e.place}] = e.value;
  }
}

uint64_t Chance::NextPlace(const ChanceSite& site, uint32_t actor) {
  const auto window =
      static_cast<uint64_t>(trace_->time().time_since_epoch() / kWindow) +
      windows_more_;
  if (window != window_) {
    window_ = window;
    draws_in_window_.Clear();
  }
  return TapeEntry::Place(window, draws_in_window_[{site.hash, actor}]++);
}

void Chance::Record(const ChanceSite& site, uint32_t actor, uint64_t place,
                    uint64_t value) {
  CHECK(faults::IsKnown(site.name));
  tape_.entries.push_back(TapeEntry{site.name, actor, place, value});
}

std::optional<uint64_t> Chance::FromTape(const ChanceSite& site, uint32_t actor,
                                         uint64_t place) const {
  const uint64_t* value = replay_.Find({{site.hash, actor}, place});
  return value == nullptr ? std::nullopt : std::optional(*value);
}

}  // namespace holdfast
