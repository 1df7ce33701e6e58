#include "engine/wal/testing/wal_run.h"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/base/lost_records.h"
#include "engine/base/random.h"

namespace holdfast {

Entry NextEntry(const LogPoint& point, Term term, size_t size, uint64_t salt) {
  Entry entry;
  entry.payload = Buffer::Uninitialized(size);
  uint64_t seed =
      HashCombine(HashCombine(point.index.value(), salt), term.value());
  for (size_t i = 0; i < size; ++i) {
    if (i % 8 == 0) seed = Mix64(seed);
    entry.payload.data_mutable()[i] =
        static_cast<char>(seed >> (i % 8 * 8) & 0xff);
  }
  EntryHeader& h = entry.header;
  h.index = point.index + 1;
  h.term = term;
  h.kind = size == 0 ? EntryKind::kNoOp : EntryKind::kBatch;
  h.base_offset = point.next_offset;
  h.count = size == 0 ? 0 : 1;
  h.log_time = point.log_time + 1us;
  h.payload_size = static_cast<uint32_t>(size);
  h.payload_crc = Crc32c(entry.payload.view());
  h.chain = ChainHash(point.chain, h);
  return entry;
}

bool SameEntries(const std::vector<Entry>& a, const std::vector<Entry>& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i].header != b[i].header) return false;
    if (a[i].payload.view() != b[i].payload.view()) return false;
  }
  return true;
}

WalOptions SmallWalOptions() {
  WalOptions options;
  options.segment_bytes = 16 << 10;
  options.group_bytes_max = 8 << 10;
  options.mark_every_bytes = 4 << 10;
  return options;
}

WalRun::WalRun(WalOptions options)
    : options_(options),
      disk_(std::make_unique<MemoryDisk>(&loop_)),
      states_(1) {}

WalRun::WalRun(const WalRun& before, const MemoryDisk::Survives& survives)
    : options_(before.options_),
      checkpoint_(before.checkpoint_),
      resume_(before.resume_),
      disk_(before.disk_->AfterCrash(&loop_, survives)),
      states_(1) {}

WalRun::WalRun(const WalRun& before)
    : options_(before.options_),
      checkpoint_(before.checkpoint_),
      resume_(before.resume_),
      disk_(before.disk_->AfterProcessDeath(&loop_)),
      states_(1) {}

WalRun::~WalRun() = default;

WalResume WalRun::ResumeAt(Index at) const {
  return {PointAt(at), wal_->SegmentStarts()};
}

void WalRun::BeginOpen() {
  Wal::Events events;
  events.on_persisted = [this](uint64_t sequence) {
    CHECK_LT(persisted_, sequence);
    CHECK(failure_.ok());
    persisted_ = sequence;
  };
  events.on_failed = [this](absl::Status why) {
    CHECK(failure_.ok());
    failure_ = std::move(why);
  };
  if (no_space_ != nullptr) events.on_no_space = no_space_;
  opened_ = std::nullopt;
  recovered_.clear();
  max_commit_ = Index();
  wal_ = std::make_unique<Wal>(&loop_, disk_.get(), Incarnation(kOwner),
                               options_, std::move(events));
  if (mend_ != nullptr) {
    wal_->set_mend(
        [this](const LogHole& hole, Term term, ResultFn<Mended> done) {
          loop_.Post([this, hole, term, done = std::move(done)]() mutable {
            mend_(hole, term, std::move(done));
          });
        });
  }
  wal_->set_promised(promised_);
  wal_->Open(
      checkpoint_, resume_,
      [this](const Entry& entry, Index commit) {
        CHECK_LE(max_commit_, commit);
        CHECK_LE(commit, entry.header.index);
        max_commit_ = commit;
        recovered_.push_back(entry);
      },
      [this](absl::Status status) {
        CHECK(!opened_.has_value());
        opened_ = std::move(status);
      });
}

void WalRun::OpenFor(size_t tasks) {
  BeginOpen();
  RunTasks(tasks);
}

void WalRun::OpenNew(Term term) {
  CHECK(Open().ok());
  SetHardState({term, ServerId(1)});
  RunUntilIdle();
  CHECK(all_persisted());
}

absl::Status WalRun::Open() {
  BeginOpen();
  loop_.RunUntilIdle();
  if (!opened_.has_value()) return absl::UnavailableError("it hangs");
  if (!opened_->ok()) return *opened_;
  const bool resumes =
      !resume_.segments.empty() && resume_.point.index > checkpoint_.index;
  const LogPoint& from = resumes ? resume_.point : checkpoint_;
  CHECK_EQ(wal_->last_index().value(), from.index.value() + recovered_.size());
  CHECK_LE(from.index, wal_->commit_hint());
  // What stands now is where the next writes start from.
  states_ = {State{recovered_, wal_->hard_state(), from}};
  reset_state_ = 0;
  state_of_sequence_ = {0};
  next_sequence_ = 1;
  persisted_ = 0;
  return absl::OkStatus();
}

absl::Status WalRun::OpenInPart() {
  wal_ = std::make_unique<Wal>(&loop_, disk_.get(), Incarnation(kOwner),
                               options_, Wal::Events());
  absl::Status opened = absl::UnavailableError("it hangs");
  wal_->OpenInPart(
      checkpoint_, [](const Entry&, Index) {},
      [&opened](absl::Status status) { opened = std::move(status); });
  loop_.RunUntilIdle();
  return opened;
}

std::string WalRun::WhyNotPartOf(const std::vector<Entry>& log,
                                 uint64_t* lost) {
  const Index before =
      log.empty() ? checkpoint_.index : log[0].header.index - 1;
  const auto at = [&](Index index) { return log[index - before - 1].header; };
  Index next = std::max(checkpoint_.index, before) + 1;
  if (wal_->last_index() > before + log.size()) return "it is longer";
  *lost = before + log.size() - wal_->last_index();
  while (next <= wal_->last_index()) {
    const absl::StatusOr<std::vector<Entry>> read = Read(next, 1000);
    if (const auto gone = LostRecordsOf(read.status()); gone.has_value()) {
      if (gone->last_index < next || gone->last_index > wal_->last_index()) {
        return absl::StrCat("entry ", next.value(), " is lost up to ",
                            gone->last_index.value());
      }
      const EntryHeader last = at(gone->last_index);
      if (gone->end != last.base_offset + last.count ||
          gone->first > at(next).base_offset) {
        return absl::StrCat("records ", gone->first.value(), " to ",
                            gone->end.value(), " are said to be lost");
      }
      *lost += gone->last_index - next + 1;
      next = gone->last_index + 1;
      continue;
    }
    if (!read.ok()) return read.status().ToString();
    for (const Entry& entry : *read) {
      if (entry.header != at(next) ||
          entry.payload.view() != log[next - before - 1].payload.view()) {
        return absl::StrCat("entry ", next.value(), " is another one");
      }
      next = next + 1;
    }
  }
  return "";
}

absl::Status WalRun::Reopen() {
  wal_ = nullptr;
  failure_ = absl::OkStatus();
  return Open();
}

LogPoint WalRun::last() const {
  return log().empty() ? base() : PointAfter(log().back().header);
}

LogPoint WalRun::PointAt(Index index) const {
  if (index == base().index) return base();
  return PointAfter(log()[index - base().index - 1].header);
}

void WalRun::Append(Term term, std::vector<size_t> sizes) {
  Issue(std::nullopt, std::nullopt, term, sizes);
}

void WalRun::CutAndAppend(Index last_kept, Term term,
                          std::vector<size_t> sizes) {
  Issue(std::nullopt, PointAt(last_kept), term, sizes);
}

void WalRun::SetHardState(HardState state) {
  Issue(state, std::nullopt, Term(), {});
}

void WalRun::SetHardStateAndAppend(HardState state, std::vector<size_t> sizes) {
  Issue(state, std::nullopt, state.term, sizes);
}

void WalRun::Issue(std::optional<HardState> state,
                   std::optional<LogPoint> cut_to, Term term,
                   const std::vector<size_t>& sizes) {
  WalWrite write;
  write.sequence = next_sequence_++;
  const Index commit = std::min(
      KnownDurable(), cut_to.has_value() ? cut_to->index : last().index);
  if (state.has_value()) {
    write.hard_state = state;
    State next = states_.back();
    next.hard_state = *state;
    states_.push_back(std::move(next));
  }
  LogPoint point = cut_to.value_or(last());
  write.cut_to = cut_to;
  std::vector<Entry> kept = log();
  kept.resize(point.index - base().index);
  for (size_t size : sizes) {
    Entry entry = NextEntry(point, term, size, states_.size());
    point = PointAfter(entry.header);
    kept.push_back(entry);
    states_.push_back(State{kept, states_.back().hard_state, base()});
    write.entries.push_back(std::move(entry));
  }
  state_of_sequence_.push_back(states_.size() - 1);
  wal_->Write(std::move(write), std::min(commit, commit_max_));
}

Index WalRun::KnownDurable() const {
  const State& durable =
      states_[std::max(state_of_sequence_[persisted_], reset_state_)];
  if (durable.base != base()) return base().index;
  const auto same = [](const Entry& a, const Entry& b) {
    return a.header == b.header;
  };
  const auto kept = std::mismatch(log().begin(), log().end(),
                                  durable.log.begin(), durable.log.end(), same);
  return base().index + static_cast<uint64_t>(kept.first - log().begin());
}

void WalRun::ResetTo(const LogPoint& base) {
  checkpoint_ = base;
  states_.push_back(State{{}, states_.back().hard_state, base});
  wal_->Reset(base, [this, state = states_.size() - 1](absl::Status done) {
    CHECK(done.ok());
    CHECK_LE(state_of_sequence_[persisted_], state);
    reset_state_ = state;
  });
}

void WalRun::RunTasks(size_t tasks) {
  for (size_t i = 0; i < tasks && loop_.RunOne(); ++i) {
  }
}

absl::StatusOr<std::vector<Entry>> WalRun::Read(Index first, size_t max_bytes) {
  std::optional<absl::StatusOr<std::vector<Entry>>> result;
  wal_->Read(first, max_bytes,
             [&result](absl::StatusOr<std::vector<Entry>> entries) {
               result = std::move(entries);
             });
  while (!result.has_value() && loop_.RunOne()) {
  }
  CHECK(result.has_value());
  return *std::move(result);
}

std::vector<WalRun::State> WalRun::Outcomes() const {
  size_t promised = std::max(state_of_sequence_[persisted_], reset_state_);
  return {states_.begin() + static_cast<ptrdiff_t>(promised), states_.end()};
}

std::vector<Entry> WalRun::Behind(const State& state) const {
  std::vector<Entry> behind;
  bool joined = state.base == checkpoint_;
  for (const Entry& entry : state.log) {
    if (joined) behind.push_back(entry);
    if (PointAfter(entry.header) == checkpoint_) joined = true;
  }
  return behind;
}

std::string WalRun::WhyNotOf(const std::vector<State>& outcomes) const {
  auto describe = [this](const State& state) {
    Term term = state.log.empty() ? Term() : state.log.back().header.term;
    return absl::StrCat(state.log.size(), " entries behind ",
                        state.base.index.value(), " of term ", term.value(),
                        " (", Behind(state).size(),
                        " behind the checkpoint at ", checkpoint_.index.value(),
                        "), hard state term ", state.hard_state.term.value(),
                        " vote ", state.hard_state.vote.value());
  };
  State found{recovered_, wal_->hard_state(), checkpoint_};
  for (const State& state : outcomes) {
    if (SameEntries(found.log, Behind(state)) &&
        found.hard_state == state.hard_state) {
      return "";
    }
  }
  return absl::StrCat("found ", describe(found), "; promised ",
                      describe(outcomes.front()), "; asked for ",
                      describe(outcomes.back()));
}

Index IntactTo(const MemoryDisk& before, const MemoryDisk& after, Index base) {
  struct Begun {
    std::string now;  // its file's bytes
    std::string then;
    SegmentHeader header;
  };
  const std::vector<std::string> left = after.Names();
  std::vector<Begun> segments;  // names are in the order of ids
  for (const std::string& name : before.Names()) {
    if (!ParseSegmentName(name).has_value()) continue;
    Begun begun{.then = before.Contents(name)};
    const auto header = DecodeSegmentHeader(
        absl::string_view(begun.then).substr(0, kSegmentHeaderBytes));
    if (!header.ok()) continue;
    begun.header = *header;
    if (std::find(left.begin(), left.end(), name) != left.end()) {
      begun.now = after.Contents(name);
    }
    segments.push_back(std::move(begun));
  }
  Index last = base;
  for (size_t i = 0; i < segments.size(); ++i) {
    const auto& [now, then, header] = segments[i];
    Index end(UINT64_MAX);  // what later ones don't replace
    for (size_t later = i + 1; later < segments.size(); ++later) {
      end = std::min(end, segments[later].header.previous.index);
    }
    if (end <= std::max(header.previous.index, base)) continue;
    uint64_t from = 0;
    for (const FoundFrame& frame : ScanSegment(then, header).frames) {
      if (frame.header.index > end) break;
      if (now.compare(from, frame.end() - from, then, from,
                      frame.end() - from) != 0) {
        return last;
      }
      from = frame.end();
      last = std::max(last, frame.header.index);
    }
  }
  return last;
}

Checkpoint CheckpointOf(const LogPoint& point) {
  Checkpoint checkpoint;
  checkpoint.point = point;
  checkpoint.cluster = ClusterId(99);
  checkpoint.configuration_index = Index(1);
  checkpoint.configuration = Buffer::Copy("members");
  checkpoint.state = Buffer::Copy("state");
  return checkpoint;
}

void WriteLogWithACut(WalRun* run, std::vector<size_t> more) {
  CHECK(run->Open().ok());
  run->SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 3000});
  run->RunUntilIdle();
  run->Append(Term(1), {2000, 2000, 2000, 4000, 900});
  run->RunUntilIdle();
  run->SetHardState({Term(2), ServerId(3)});
  run->CutAndAppend(Index(5), Term(2), {10, 700});
  run->RunUntilIdle();
  if (!more.empty()) {
    run->Append(Term(2), std::move(more));
    run->RunUntilIdle();
  }
  CHECK(run->Reopen().ok());
  run->SetHardStateAndAppend({Term(4), ServerId(2)}, {0, 300, 1000});
  run->RunUntilIdle();
  run->Append(Term(4), {50});
  run->RunUntilIdle();
  CHECK(run->all_persisted());
}

}  // namespace holdfast
