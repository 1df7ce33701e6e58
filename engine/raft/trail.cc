#include "engine/raft/trail.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"

namespace holdfast {

Trail::Trail()
    : Trail(Index(), Term(), {Index(), std::make_shared<Configuration>()}) {}

Trail::Trail(Index base_index, Term base_term, ConfigurationAt configuration)
    : base_index_(base_index),
      base_term_(base_term),
      last_index_(base_index),
      hot_first_(base_index + 1) {
  CHECK(configuration.configuration != nullptr);
  CHECK_LE(configuration.index, base_index);
  configurations_.push_back(std::move(configuration));
}

Trail::Trail(Index base_index, Term base_term, std::vector<Run> runs,
             Index last_index, ConfigurationAt configuration)
    : base_index_(base_index),
      base_term_(base_term),
      last_index_(last_index),
      runs_(std::move(runs)),
      hot_first_(last_index + 1) {
  CHECK(configuration.configuration != nullptr);
  CHECK_LE(configuration.index, last_index);
  CHECK(!runs_.empty() && runs_.front().first == base_index + 1);
  CHECK_LE(runs_.back().first, last_index);
  configurations_.push_back(std::move(configuration));
}

Term Trail::TermAt(Index index) const {
  CHECK_LE(index, last_index_);
  CHECK_GE(index, base_index_);
  if (index == base_index_) return base_term_;
  // Nearly always asked about the end.
  if (index >= runs_.back().first) return runs_.back().term;
  auto after =
      std::upper_bound(runs_.begin(), runs_.end(), index,
                       [](Index i, const Run& run) { return i < run.first; });
  CHECK(after != runs_.begin());
  return (after - 1)->term;
}

bool Trail::Has(Index index, Term term) const {
  if (index < base_index_) return true;
  return index <= last_index_ && TermAt(index) == term;
}

Index Trail::LastAtOrBelow(Index index, Term term) const {
  index = std::min(index, last_index_);
  for (size_t i = runs_.size(); i > 0; --i) {
    const Run& run = runs_[i - 1];
    if (index >= run.first && run.term <= term) return index;
    if (index >= run.first) index = run.first - 1;
  }
  return base_index_;
}

void Trail::Append(const EntryMeta& meta) {
  CHECK_EQ(meta.index, last_index_ + 1);
  CHECK_GE(meta.term, last_term());
  if (runs_.empty() || runs_.back().term != meta.term) {
    runs_.push_back({meta.index, meta.term});
  }
  last_index_ = meta.index;
  hot_.push_back(meta);
  hot_bytes_ += meta.size + kHotOverheadBytes;
  if (meta.kind == EntryKind::kConfiguration) {
    CHECK(meta.configuration != nullptr);
    configurations_.push_back({meta.index, meta.configuration});
  }
}

void Trail::Cut(Index from) {
  CHECK_GT(from, base_index_);
  if (from > last_index_) return;
  last_index_ = from - 1;
  while (!runs_.empty() && runs_.back().first >= from) runs_.pop_back();
  while (configurations_.back().index >= from) {
    configurations_.pop_back();
    CHECK(!configurations_.empty());
  }
  while (hot_.size() > hot_dead_ && hot_.back().index >= from) {
    hot_bytes_ -= hot_.back().size + kHotOverheadBytes;
    hot_.pop_back();
  }
  hot_first_ = std::min(hot_first_, from);
}

void Trail::DropTo(Index up_to) {
  if (up_to <= base_index_) return;
  CHECK_LE(up_to, last_index_);
  Evict(0, up_to);
  base_term_ = TermAt(up_to);
  base_index_ = up_to;
  auto after =
      std::upper_bound(runs_.begin(), runs_.end(), up_to,
                       [](Index i, const Run& run) { return i < run.first; });
  // The run that holds up_to goes on behind it, or ends there.
  const bool goes_on =
      after == runs_.end() ? up_to < last_index_ : after->first > up_to + 1;
  if (goes_on) {
    --after;
    after->first = up_to + 1;
  }
  runs_.erase(runs_.begin(), after);
}

const EntryMeta* Trail::Hot(Index index) const {
  CHECK_GE(index, hot_first_);
  CHECK_LE(index, last_index_);
  return &hot_[hot_dead_ + (index - hot_first_)];
}

void Trail::Evict(uint64_t max_bytes, Index up_to) {
  while (hot_bytes_ > max_bytes && hot_first_ <= up_to &&
         hot_dead_ < hot_.size()) {
    EntryMeta& meta = hot_[hot_dead_];
    hot_bytes_ -= meta.size + kHotOverheadBytes;
    meta.configuration = nullptr;
    ++hot_dead_;
    ++hot_first_;
  }
  if (hot_dead_ > hot_.size() / 2) {
    hot_.erase(hot_.begin(), hot_.begin() + static_cast<ptrdiff_t>(hot_dead_));
    hot_dead_ = 0;
  }
}

const Trail::ConfigurationAt& Trail::ConfigurationAtOrBelow(Index index) const {
  for (size_t i = configurations_.size() - 1; i > 0; --i) {
    if (configurations_[i].index <= index) return configurations_[i];
  }
  return configurations_.front();
}

void Trail::ForgetConfigurationsBefore(Index committed) {
  size_t keep = 0;
  while (keep + 1 < configurations_.size() &&
         configurations_[keep + 1].index <= committed) {
    ++keep;
  }
  configurations_.erase(configurations_.begin(),
                        configurations_.begin() + static_cast<ptrdiff_t>(keep));
}

}  // namespace holdfast
