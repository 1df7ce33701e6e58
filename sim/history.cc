#include "sim/history.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace holdfast {

void History::AppendInvoked(const std::string& record) {
  records_[record].invoked = true;
}

void History::Place(const std::string& record, Offset at,
                    const std::string& who) {
  Record& r = records_[record];
  if (!r.invoked) {
    return verdict_->Violate(absl::StrCat(who, " saw at offset ", at.value(),
                                          " a record that nobody appended: \"",
                                          record.substr(0, 40), "\""));
  }
  if (r.rejected) {
    return verdict_->Violate(absl::StrCat(
        who, " saw record \"", record.substr(0, 40), "\" at offset ",
        at.value(), ", though its append had been rejected"));
  }
  if (r.placed && r.at != at) {
    return verdict_->Violate(absl::StrCat(
        "record \"", record.substr(0, 40), "\" is in the log twice: at offset ",
        r.at.value(), ", and ", who, " found it at ", at.value()));
  }
  r.placed = true;
  r.at = at;
  const std::string* other = places_.Find(at.value());
  if (other == nullptr) {
    places_.Set(at.value(), record);
  } else if (*other != record) {
    verdict_->Violate(absl::StrCat(
        "offset ", at.value(), " held \"", other->substr(0, 40), "\", and ",
        who, " found \"", record.substr(0, 40), "\" there"));
  }
}

void History::AppendCommitted(const std::string& record, Offset at,
                              Offset noted, const std::string& who) {
  ++acknowledged_;
  Place(record, at, who);
  committed_[at.value()] = record;
  if (at < noted) {
    verdict_->Violate(absl::StrCat(
        "linearizability: ", who, "'s append got offset ", at.value(),
        ", but when it began the log was known to reach up to ",
        noted.value()));
  }
  established_ = std::max(established_, at + 1);
}

void History::AppendRejected(const std::string& record,
                             const std::string& who) {
  Record& r = records_[record];
  r.rejected = true;
  if (r.placed) {
    verdict_->Violate(absl::StrCat(
        who, "'s append of \"", record.substr(0, 40),
        "\" was rejected, though the record is at offset ", r.at.value()));
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
}

void History::LinearizableEnd(Offset end, Offset noted,
                              const std::string& who) {
  if (end < noted) {
    verdict_->Violate(absl::StrCat(
        "linearizability: ", who, " read the log to end at ", end.value(),
        ", but when it began the log was known to reach up to ",
        noted.value()));
  }
  established_ = std::max(established_, end);
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
