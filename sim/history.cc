#include "sim/history.h"

#include <algorithm>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "engine/base/batch.h"

namespace holdfast {

namespace {

std::string Quoted(const std::string& record) {
  return absl::StrCat("\"", record.substr(0, 40), "\"");
}

}  // namespace

void History::AppendInvoked(const std::vector<std::string>& records,
                            uint64_t producer, std::optional<Offset> expected) {
  ++appends_;
  for (size_t i = 0; i < records.size(); ++i) {
    record_bytes_ += records[i].size();
    Record& r = records_[records[i]];
    r.noted = established_;
    r.number = appends_;
    r.producer = producer;
    r.expected = expected;
    r.place = static_cast<uint32_t>(i);
    r.count = static_cast<uint32_t>(records.size());
  }
}

void History::Establish(Offset to, const std::string& who, const char* how) {
  if (to <= established_) return;
  established_ = to;
  raises_.push_back({to, who, how});
}

std::string History::WhoHadShown(Offset noted) const {
  auto first = std::lower_bound(
      raises_.begin(), raises_.end(), noted,
      [](const Raise& raise, Offset to) { return raise.to < to; });
  if (first == raises_.end()) return "nobody";
  return absl::StrCat(first->who, "'s ", first->how,
                      ", which had shown it to reach up to ",
                      first->to.value());
}

void History::Place(const std::string& record, Offset at,
                    const std::string& who) {
  Record& r = records_[record];
  if (r.number == 0) {
    return verdict_->Violate(
        absl::StrCat(who, " saw at offset ", at.value(),
                     " a record that nobody appended: ", Quoted(record)));
  }
  if (r.rejected) {
    return verdict_->Violate(
        absl::StrCat(who, " saw record ", Quoted(record), " at offset ",
                     at.value(), ", though its append had been rejected"));
  }
  if (r.placed && r.at == at) return;
  if (r.placed) {
    return verdict_->Violate(absl::StrCat(
        "record ", Quoted(record), " is in the log twice: at offset ",
        r.at.value(), ", and ", who, " found it at ", at.value()));
  }
  r.placed = true;
  r.at = at;
  const std::string* other = places_.Find(at.value());
  if (other != nullptr) {
    return verdict_->Violate(absl::StrCat("offset ", at.value(), " held ",
                                          Quoted(*other), ", and ", who,
                                          " found ", Quoted(record), " there"));
  }
  places_.Set(at.value(), record);
  if (at < r.noted) {
    return verdict_->Violate(
        absl::StrCat("linearizability: ", who, " found record ", Quoted(record),
                     " at offset ", at.value(), ", but its append began after ",
                     WhoHadShown(r.noted)));
  }
  if (r.expected.has_value() && at != *r.expected + r.place) {
    return verdict_->Violate(absl::StrCat(
        "record ", Quoted(record), " is at offset ", at.value(),
        ", but its append was to be at ", r.expected->value(), " or nowhere"));
  }
  CheckBatch(r, record);
  CheckEnds(r, record);
  CheckOrder(r, record);
}

// A batch is contiguous: each of its records has the one before it, and the one
// after it, beside it.
void History::CheckBatch(const Record& r, const std::string& record) {
  auto belongs = [&](bool before) {
    const bool has = before ? r.place > 0 : r.place + 1 < r.count;
    if (before && r.at == Offset(0)) return !has;
    const std::string* other =
        places_.Find(before ? r.at.value() - 1 : r.at.value() + 1);
    if (other == nullptr) return true;  // not known
    const Record& beside = *records_.Find(*other);
    const bool same = beside.number == r.number;
    if (!has) {
      return !same &&
             (before ? beside.place + 1 == beside.count : beside.place == 0);
    }
    return same && beside.place == (before ? r.place - 1 : r.place + 1);
  };
  if (belongs(/*before=*/true) && belongs(/*before=*/false)) return;
  verdict_->Violate(absl::StrCat("a batch isn't contiguous: record ",
                                 Quoted(record), ", ", r.place + 1, " of ",
                                 r.count, ", is at offset ", r.at.value(),
                                 " beside another batch's"));
}

void History::CheckEnds(const Record& r, const std::string& record) {
  const uint64_t first =
      r.at.value() - std::min<uint64_t>(r.place, r.at.value());
  const uint64_t last = r.at.value() + r.count - r.place - 1;
  for (uint64_t end = first + 1; end <= last && end < ends_.size(); ++end) {
    if (!ends_[end]) continue;
    return verdict_->Violate(absl::StrCat(
        "a batch isn't appended at once: the log was seen to end at ", end,
        ", within the batch of record ", Quoted(record), " at offset ",
        r.at.value()));
  }
}

void History::CheckOrder(const Record& r, const std::string& record) {
  if (r.producer == 0) return;
  std::map<Offset, uint64_t>& places = producers_[r.producer];
  const auto here = places.emplace(r.at, r.number).first;
  const auto next = std::next(here);
  const bool before =
      here == places.begin() || std::prev(here)->second <= r.number;
  const bool after = next == places.end() || next->second >= r.number;
  if (before && after) return;
  verdict_->Violate(absl::StrCat(
      "a producer's records are out of order: ", Quoted(record), " at offset ",
      r.at.value(), ", its append ", r.number, ", and append ",
      before ? next->second : std::prev(here)->second, " at offset ",
      before ? next->first.value() : std::prev(here)->first.value()));
}

void History::AppendCommitted(const std::string& record, Offset at,
                              Offset noted, const std::string& who) {
  ++acknowledged_;
  committed_[at.value()] = record;
  if (at < noted) {
    verdict_->Violate(absl::StrCat("linearizability: ", who,
                                   "'s append got offset ", at.value(),
                                   ", but began after ", WhoHadShown(noted)));
  }
  Place(record, at, who);
  Establish(at + 1, who, "append");
}

void History::AppendRejected(const std::string& record,
                             const std::string& who) {
  Record& r = records_[record];
  r.rejected = true;
  if (r.placed) {
    verdict_->Violate(absl::StrCat(
        who, "'s append of ", Quoted(record),
        " was rejected, though the record is at offset ", r.at.value()));
  }
}

void History::Conditional(Offset expected, const ClientOutcome& outcome,
                          Offset noted, const std::string& who) {
  if (outcome.kind == ClientOutcome::Kind::kCommitted) {
    if (outcome.offset == expected) return;
    return verdict_->Violate(
        absl::StrCat(who, "'s append was to be at offset ", expected.value(),
                     " or nowhere, but is at ", outcome.offset.value()));
  }
  if (outcome.kind != ClientOutcome::Kind::kRejected ||
      outcome.reason != ClientOutcome::Reason::kWrongOffset) {
    return;
  }
  if (outcome.offset == expected) {
    return verdict_->Violate(
        absl::StrCat(who, "'s append was rejected since the log didn't end at ",
                     expected.value(), ", where it ended"));
  }
  // What the answer says of the log is like a read.
  LinearizableEnd(outcome.offset, noted, who);
}

void History::Saw(absl::string_view record, Offset at, const std::string& who) {
  ++reads_;
  Place(std::string(record), at, who);
  Establish(at + 1, who, "read");
}

void History::TailBrought(Offset from, Offset expected,
                          const std::string& who) {
  if (from == expected) return;
  verdict_->Violate(absl::StrCat(who, "'s tail was to go on at offset ",
                                 expected.value(), ", and went on at ",
                                 from.value()));
}

void History::TailEnded(Offset next, const absl::Status& why,
                        const std::string& who) {
  if (absl::IsOutOfRange(why) && MayBeTrimmed(next)) return;
  if (absl::IsFailedPrecondition(why) && cluster_replaced_) return;
  if (const auto lost = LostRecordsOf(why);
      lost.has_value() && lost_.has_value() && lost->first <= next &&
      lost_->first <= next && next < lost_->end && lost->end == lost_->end) {
    return;
  }
  verdict_->Violate(absl::StrCat(who, "'s tail ended at offset ", next.value(),
                                 ": ", why.ToString()));
}

void History::TailPaused(uint64_t bytes, uint64_t bytes_max,
                         const std::string& who) {
  if (bytes <= bytes_max) return;
  verdict_->Violate(absl::StrCat(who, "'s tail is paused, and was sent ", bytes,
                                 " bytes since; at most ", bytes_max,
                                 " were asked for"));
}

void History::LinearizableEnd(Offset end, Offset noted,
                              const std::string& who) {
  if (end < noted) {
    verdict_->Violate(absl::StrCat("linearizability: ", who,
                                   " read the log to end at ", end.value(),
                                   ", but began after ", WhoHadShown(noted)));
  }
  Establish(end, who, "read");
  if (ends_.size() <= end.value()) ends_.resize(end.value() + 1);
  ends_[end.value()] = true;
  if (end == Offset(0)) return;
  const std::string* last = places_.Find(end.value() - 1);
  if (last != nullptr) CheckEnds(*records_.Find(*last), *last);
}

size_t History::Saw(const std::vector<LogBatch>& batches,
                    const std::string& who) {
  size_t records = 0;
  for (const LogBatch& batch : batches) {
    Offset at = batch.from;
    RecordCursor cursor = batch.Records();
    RecordView record;
    while (cursor.Next(&record)) {
      Saw(record.value(), at, who);
      ++at;
      ++records;
    }
  }
  return records;
}

void History::ReadFrom(Offset from, Offset trimmed, const std::string& who) {
  if (from >= trimmed) return;
  verdict_->Violate(absl::StrCat(who, " was given offset ", from.value(),
                                 ", though all before ", trimmed.value(),
                                 " had been trimmed"));
}

void History::TrimInvoked(Offset first) {
  trim_invoked_ = std::max(trim_invoked_, first);
}

void History::TrimDone(Offset first) { trimmed_ = std::max(trimmed_, first); }

}  // namespace holdfast
