#include "engine/log/recover_copies.h"

#include <algorithm>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"

namespace holdfast {
namespace {

// About how much of a copy is in memory at once.
constexpr size_t kReadBytes = 4 << 20;
constexpr Index kAll = Index(UINT64_MAX);

}  // namespace

RecoverCopies::RecoverCopies(Loop* loop, const WalOptions& options, OldLog* log,
                             std::vector<RecoverCopy> copies)
    : log_(log) {
  for (RecoverCopy& given : copies) {
    Copy& copy = copies_.emplace_back();
    copy.log = std::make_unique<OldLog>(loop, given.disk, options);
    copy.use.name = std::move(given.name);
  }
}

std::vector<RecoverCopyUse> RecoverCopies::uses() const {
  std::vector<RecoverCopyUse> uses;
  for (const Copy& copy : copies_) uses.push_back(copy.use);
  return uses;
}

// --- What they are ---

void RecoverCopies::Open(DoneFn done) {
  opened_ = std::move(done);
  OpenNext(0);
}

void RecoverCopies::OpenNext(size_t i) {
  if (i < copies_.size()) {
    return copies_[i].log->Open(
        [this, i](absl::Status opened) { OnOpen(i, std::move(opened)); });
  }
  // One that ends within what the log lacks may be known to be the same log
  // only by those that go on behind it: they are judged before it.
  std::stable_sort(copies_.begin(), copies_.end(),
                   [](const Copy& a, const Copy& b) {
                     return a.use.last_index > b.use.last_index;
                   });
  opened_(absl::OkStatus());
}

void RecoverCopies::OnOpen(size_t i, absl::Status opened) {
  Copy& copy = copies_[i];
  if (absl::Status fits = Check(i); !fits.ok()) return opened_(fits);
  if (!opened.ok() && !absl::IsDataLoss(opened)) {
    return opened_(absl::Status(
        opened.code(), absl::StrCat(copy.use.name, ": ", opened.message())));
  }
  copy.use.id = copy.log->identity().id;
  if (opened.ok()) {
    copy.use.last_index = copy.log->wal()->last_index();
    copy.use.last_term = copy.log->wal()->last_term();
  }
  copy.use.status = std::move(opened);
  // It would only take up memory.
  copy.log->TakeCheckpoint();
  OpenNext(i + 1);
}

absl::Status RecoverCopies::Check(size_t i) const {
  const OldLog& log = *copies_[i].log;
  const std::string& name = copies_[i].use.name;
  const Incarnation incarnation = log.identity().incarnation;
  if (incarnation == Incarnation()) return absl::OkStatus();
  if (incarnation == log_->identity().incarnation) {
    return absl::FailedPreconditionError(absl::StrCat(
        name, ": expected another server's directory than the one to be ",
        "recovered, found server ", log.identity().id.value(), "'s once more"));
  }
  for (size_t j = 0; j < i; ++j) {
    if (copies_[j].log->identity().incarnation != incarnation) continue;
    return absl::FailedPreconditionError(absl::StrCat(
        name, ": expected each server's directory once, found server ",
        log.identity().id.value(), "'s, as in ", copies_[j].use.name));
  }
  if (log.cluster() != ClusterId() && log.cluster() != log_->cluster()) {
    return absl::FailedPreconditionError(absl::StrCat(
        name, ": expected a directory of cluster ",
        absl::Hex(log_->cluster().value(), absl::kZeroPad16), ", found one of ",
        absl::Hex(log.cluster().value(), absl::kZeroPad16)));
  }
  return absl::OkStatus();
}

// --- What they have ---

void RecoverCopies::Read(Index first, Index last,
                         const std::optional<LogPoint>& before,
                         ResultFn<std::vector<Entry>> done) {
  first_ = first;
  last_ = last;
  before_ = before;
  found_.clear();
  done_ = std::move(done);
  Judge(0, 0);
}

void RecoverCopies::Judge(size_t i, size_t by) {
  if (i == copies_.size()) return Gather(0);
  Copy& copy = copies_[i];
  const Index to = std::min(last_, copy.use.last_index);
  if (by > i || to < first_ || copy.same_to >= to) return Judge(i + 1, 0);
  OldLog* const other = by == 0 ? log_ : copies_[by - 1].log.get();
  const Index other_to = by == 0 ? kAll : copies_[by - 1].same_to;
  if (other_to < to) return Judge(i, by + 1);
  Compare(copy.log.get(), other, to, other_to,
          [this, i, by, other, other_to](Index same_to) {
            Note(i, same_to);
            if (same_to >= first_) return Judge(i, by + 1);
            JudgeBefore(i, by, other, other_to);
          });
}

void RecoverCopies::JudgeBefore(size_t i, size_t by, OldLog* other, Index to) {
  auto on_first = [this, i, by, other,
                   to](absl::StatusOr<std::vector<Entry>> found) {
    if (!found.ok()) return Judge(i, by + 1);
    const Index begins = found->front().header.index;
    if (begins <= first_ || begins > last_) return Judge(i, by + 1);
    Compare(copies_[i].log.get(), other, begins - 1, to,
            [this, i, by](Index same_to) {
              Note(i, same_to);
              Judge(i, by + 1);
            });
  };
  other->ReadFrom(first_, 1, std::move(on_first));
}

void RecoverCopies::Note(size_t i, Index same_to) {
  copies_[i].same_to = std::max(copies_[i].same_to, same_to);
}

void RecoverCopies::Compare(OldLog* copy, OldLog* other, Index from, Index to,
                            InlineFunction<void(Index)> done) {
  auto on_copy = [this, copy, other, to, done = std::move(done)](
                     absl::StatusOr<std::vector<Entry>> found) mutable {
    if (!found.ok()) return done(Index());
    const EntryHeader entry = found->front().header;
    auto on_other = [this, copy, other, to, entry, done = std::move(done)](
                        absl::StatusOr<std::vector<Entry>> known) mutable {
      if (!known.ok() || known->front().header.index > to) {
        return done(Index());
      }
      const EntryHeader& next = known->front().header;
      if (next == entry || Continues(PointAfter(entry), next)) {
        return done(entry.index);
      }
      // They differ there. Else the other one lacks what would tell, but may
      // have more further on.
      if (next.index <= entry.index + 1) return done(Index());
      Compare(copy, other, next.index, to, std::move(done));
    };
    other->ReadFrom(entry.index, 1, std::move(on_other));
  };
  copy->ReadFrom(from, 1, std::move(on_copy));
}

void RecoverCopies::Gather(size_t i) {
  const bool all = !found_.empty() && found_.front().header.index == first_;
  if (all) copies_[found_in_].use.entries += found_.size();
  if (all || i == copies_.size()) {
    ResultFn<std::vector<Entry>> done = std::move(done_);
    return done(std::move(found_));
  }
  if (copies_[i].same_to < first_) return Gather(i + 1);
  copies_[i].log->ReadFrom(first_, kReadBytes,
                           [this, i](absl::StatusOr<std::vector<Entry>> found) {
                             if (found.ok()) {
                               Take(i, *std::move(found));
                             } else if (!absl::IsOutOfRange(found.status())) {
                               copies_[i].use.trouble = found.status();
                             }
                             Gather(i + 1);
                           });
}

void RecoverCopies::Take(size_t i, std::vector<Entry> entries) {
  const Index from = entries.front().header.index;
  const Index to = std::min(last_, copies_[i].same_to);
  // The nearest ones that anybody has; and the chained hash vouches for each of
  // them once more, where what is before it is known.
  if (!found_.empty() && found_.front().header.index <= from) return;
  std::optional<LogPoint> point = from == first_ ? before_ : std::nullopt;
  auto end = entries.begin();
  for (; end != entries.end() && end->header.index <= to; ++end) {
    if (point.has_value() && !Continues(*point, end->header)) break;
    point = PointAfter(end->header);
  }
  entries.erase(end, entries.end());
  if (entries.empty()) return;
  found_ = std::move(entries);
  found_in_ = i;
}

}  // namespace holdfast
