#include "engine/node/tail.h"

#include <algorithm>
#include <utility>

#include "engine/base/check.h"

namespace holdfast {

Entry Tail::Seal(Term term, EntryKind kind, uint32_t record_count, WallTime now,
                 Buffer payload) const {
  return SealEntry(last(), term, kind, record_count, now, std::move(payload));
}

void Tail::Append(const Entry& entry) {
  CHECK(Continues(last(), entry.header));
  points_.push_back(PointAfter(entry.header));
  hot_.push_back(entry);
}

void Tail::Reset(const LogPoint& base) {
  chains_.clear();
  points_.assign(1, base);
  hot_.clear();
}

void Tail::Cut(Index from) {
  CHECK_LT(committed().index, from);
  while (last().index >= from) {
    points_.pop_back();
    if (!hot_.empty()) hot_.pop_back();
  }
}

void Tail::Commit(Index commit) {
  CHECK_LE(committed().index, commit);
  CHECK_LE(commit, last().index);
  while (committed().index < commit) {
    chains_.push_back(points_.front().chain);
    points_.pop_front();
  }
  while (chains_.size() > kChainsKept) chains_.pop_front();
}

std::optional<uint64_t> Tail::ChainAt(Index index) const {
  if (index > last().index) return std::nullopt;
  if (index >= committed().index) return PointAt(index).chain;
  const uint64_t back = committed().index - index;
  if (back > chains_.size()) return std::nullopt;
  return chains_[chains_.size() - back];
}

const LogPoint& Tail::PointAt(Index index) const {
  CHECK_LE(committed().index, index);
  CHECK_LE(index, last().index);
  return points_[index - committed().index];
}

void Tail::EvictBelow(Index first) {
  while (!hot_.empty() && hot_.front().header.index < first) hot_.pop_front();
}

const Entry* Tail::Find(Index index) const {
  if (index < hot_first() || index > last().index) return nullptr;
  return &hot_[index - hot_first()];
}

const Entry* Tail::FindOffset(Offset offset) const {
  if (hot_.empty() || offset < hot_.front().header.base_offset) return nullptr;
  auto it =
      std::partition_point(hot_.begin(), hot_.end(), [offset](const Entry& e) {
        return e.header.base_offset + e.header.count <= offset;
      });
  return it == hot_.end() ? nullptr : &*it;
}

}  // namespace holdfast
