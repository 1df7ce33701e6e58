#include "sim/chance.h"

namespace holdfast {

void Chance::Replay(const Tape& tape) {
  replaying_ = true;
  for (const TapeEntry& e : tape.entries) {
    replay_[{e.site, e.actor, e.ordinal}] = e.value;
  }
}

void Chance::Record(const ChanceSite& site, ChanceActor actor, uint64_t ordinal,
                    uint64_t value) {
  tape_.entries.push_back({site.name, actor, ordinal, value});
}

std::optional<uint64_t> Chance::FromTape(const ChanceSite& site,
                                         ChanceActor actor,
                                         uint64_t ordinal) const {
  const auto it = replay_.find({site.name, actor, ordinal});
  if (it == replay_.end()) return std::nullopt;
  return it->second;
}

}  // namespace holdfast
