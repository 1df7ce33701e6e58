// How a Node repairs damaged entries with the help of the others, before it
// serves; and how it helps them.

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/algorithm/container.h"
#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/node/node.h"

namespace holdfast {
namespace {

// Of entries in one answer.
constexpr size_t kRepairBytes = 256 << 10;

}  // namespace

// --- Being helped ---

ClusterId Node::group() const {
  return identity_.cluster_id.value() != 0 ? identity_.cluster_id
                                           : repair_group_;
}

const Configuration* Node::known_configuration() const {
  if (formed()) return configuration();
  if (repair_ == nullptr) return nullptr;
  const Trail& trail = recovered_.trail;
  const Configuration* known =
      trail.ConfigurationAtOrBelow(trail.last_index()).configuration.get();
  if (known == nullptr || known->voters.empty()) known = heard_of_.get();
  return known;
}

std::vector<Member> Node::MembersThatMayHelp() const {
  const Configuration* known = known_configuration();
  std::vector<Member> members =
      known != nullptr ? known->Everyone() : options_.bootstrap;
  if (formed() || heard_of_ == nullptr) return members;
  for (const Member& m : heard_of_->Everyone()) {
    const bool is_new = absl::c_none_of(
        members, [&m](const Member& each) { return each.id == m.id; });
    if (is_new) members.push_back(m);
  }
  return members;
}

std::vector<ServerId> Node::OthersThatMayHelp() const {
  std::set<ServerId> others;
  for (const Member& m : MembersThatMayHelp()) others.insert(m.id);
  // The log may not say yet who they are now; but they dial.
  if (!formed()) others.insert(heard_from_.begin(), heard_from_.end());
  others.erase(options_.id);
  return {others.begin(), others.end()};
}

absl::Status Node::BeginRepair() {
  if (stopped_) return absl::CancelledError("closed meanwhile");
  repair_ = std::make_unique<LogRepair>(
      env_.loop, identity_.lives.front(), options_.raft.election_timeout_max,
      repair_number_,
      LogRepair::Callbacks{
          .others = [this] { return OthersThatMayHelp(); },
          .may_be_alone =
              [this] {
                return known_configuration() != nullptr ||
                       !options_.bootstrap.empty();
              },
          .commit = [this] { return commit(); },
          .send =
              [this](const RepairQuestion& question) {
                RepairQuestion out = question;
                out.from = options_.id;
                SendTo(out.to, WireType::kRepairQuestion,
                       EncodeRepairQuestion(out), {});
              },
          .on_checkpoint =
              [this](const CheckpointId& id, std::string bytes, ServerId from) {
                OnRepairCheckpoint(id, bytes, from);
              },
          .log_line = [this](absl::string_view line) { LogLine(line); }});
  absl::Status begun;
  if (!formed()) {
    talked_early_ = true;
    begun = Listen();
    peers_.SetMembers(MembersThatMayHelp(), Index(), LinkKey());
  }
  if (!begun.ok()) repair_ = nullptr;
  return begun;
}

// A damaged file is replayed only once it is mended.
void Node::HearOfMembersBefore() {
  for (const Entry& entry : wal_->FoundWhileMending()) {
    const absl::StatusOr<EntryMeta> meta = MetaOf(entry);
    if (meta.ok() && meta->configuration != nullptr) {
      heard_of_ = meta->configuration;
    }
  }
}

void Node::AskOthers(LogHole hole, Term term, ResultFn<Mended> done) {
  if (!formed()) TakeTerm(&hole);
  ResultFn<Mended> answer = [this, hole, done = std::move(done)](
                                absl::StatusOr<Mended> mended) mutable {
    done(AsFarAsLost(hole, std::move(mended)));
  };
  std::optional<absl::StatusOr<Mended>> at_once;
  // A start asks for what it lacks, or of others' logs.
  if (formed() && tail_.Find(hole.first) != nullptr) {
    at_once = Mended{.entries = FromTail(hole)};
  } else {
    absl::Status begun;
    if (!formed() && heard_of_ == nullptr) HearOfMembersBefore();
    if (repair_ == nullptr) begun = BeginRepair();
    if (!begun.ok()) {
      at_once = std::move(begun);
    } else if (formed() && OthersThatMayHelp().empty()) {
      at_once = Mended{.entries = {}, .lost_to = hole.last};
    }
  }
  if (at_once.has_value()) {
    return env_.loop->Post(scope_.Wrap(
        [answer = std::move(answer), mended = *std::move(at_once)]() mutable {
          answer(std::move(mended));
        }));
  }
  repair_->Fetch(
      hole, term,
      formed() ? LogRepair::Patience::kOnce : LogRepair::Patience::kEndless,
      std::move(answer));
}

// What is committed by the resume point has its terms there, also where the
// log's files don't tell them. Those of the hole's first entry, then.
void Node::TakeTerm(LogHole* hole) const {
  const Trail& trail = recovered_.trail;
  // Behind it the trail has what was replayed, committed or not.
  if (hole->last_term > Term() || hole->first <= trail.base_index() ||
      hole->last > resume_.point.index) {
    return;
  }
  hole->last_term = trail.TermAt(hole->first);
  hole->last = trail.LastAtOrBelow(hole->last, hole->last_term);
  hole->one_term = true;
  hole->later = Index();
  hole->later_term = Term();
}

std::vector<Entry> Node::FromTail(const LogHole& hole) const {
  std::vector<Entry> entries;
  size_t bytes = 0;
  for (Index i = hole.first; i <= hole.last && bytes < kRepairBytes; ++i) {
    const Entry* entry = tail_.Find(i);
    if (entry == nullptr) break;
    entries.push_back(*entry);
    bytes += EntryBytes(*entry);
  }
  return entries;
}

// Only what is committed can be lost, and what isn't in memory.
absl::StatusOr<Mended> Node::AsFarAsLost(const LogHole& hole,
                                         absl::StatusOr<Mended> mended) const {
  if (!mended.ok() || mended->lost_to == Index()) return mended;
  mended->lost_to =
      std::min({mended->lost_to, commit(), tail_.hot_first() - 1});
  if (mended->lost_to >= hole.first) return mended;
  return absl::UnavailableError(absl::StrCat(
      "entry ", hole.first.value(), " is damaged here, and not yet committed"));
}

void Node::EndRepair() {
  // Not within its own callback.
  if (repair_ == nullptr) return;
  repair_stats_ = repair_->stats();
  repair_number_ = repair_->last_number();
  env_.loop->Post(
      scope_.Wrap([done = std::shared_ptr<LogRepair>(std::move(repair_))] {}));
}

void Node::OnRepairCheckpoint(const CheckpointId& id, const std::string& bytes,
                              ServerId from) {
  absl::StatusOr<Checkpoint> checkpoint = CheckReceived(id, bytes);
  if (checkpoint.ok() && checkpoint->point.index <= base_.point.index) {
    checkpoint = absl::InvalidArgumentError("it is older than this server's");
  }
  if (!checkpoint.ok()) {
    LogLine(absl::StrCat("event=bad_checkpoint peer=", from.value(), " why=\"",
                         checkpoint.status().message(), "\""));
    return repair_->Again();
  }
  if (formed() && (writing_checkpoint_ || late_base_.has_value() ||
                   checkpoint->point.index > core_->durable_commit())) {
    return repair_->Again();
  }
  // One of another log is nobody's mend: what was acknowledged would go.
  const LogPoint& point = checkpoint->point;
  if (formed() &&
      (core_->trail().TermAt(point.index) != point.term ||
       tail_.ChainAt(point.index).value_or(point.chain) != point.chain)) {
    return repair_->Again();
  }
  LogLine(absl::StrCat(
      "event=repair_by_checkpoint index=", checkpoint->point.index.value(),
      " peer=", from.value()));
  if (formed()) return BeginBehindOther(*checkpoint);
  // Within the log's own recovery, which ends here.
  env_.loop->Post(scope_.Wrap([this, checkpoint = *std::move(checkpoint)] {
    if (stopped_) return;
    wal_ = nullptr;
    EndRepair();
    repair_promise_ =
        std::make_unique<HardStateFile>(env_.disk, identity_.incarnation);
    repair_promise_->Open(
        true, [this, checkpoint](absl::StatusOr<HardStateFile::Found> found) {
          if (!found.ok()) return FinishOpen(found.status());
          PromiseTermOf(checkpoint, *found->state);
        });
  }));
}

void Node::BeginBehindOther(const Checkpoint& checkpoint) {
  writing_checkpoint_ = true;
  WriteCheckpoint(checkpoint, [this, checkpoint](absl::Status written) {
    writing_checkpoint_ = false;
    if (!written.ok()) return Stop(std::move(written));
    if (stopped_) return;
    // As if the leader had sent it, late.
    if (checkpoint.point.index > base_.point.index) {
      late_base_ = checkpoint;
      BeginBehindLate();
    }
    repair_->ReadAgain();
  });
}

void Node::PromiseTermOf(const Checkpoint& checkpoint, HardState state) {
  auto write = [this, checkpoint](absl::Status promised) {
    if (!promised.ok()) return FinishOpen(std::move(promised));
    WriteCheckpoint(checkpoint, [this](absl::Status written) {
      if (!written.ok()) return FinishOpen(std::move(written));
      if (!stopped_) Reopen();
    });
  };
  if (state.term >= checkpoint.point.term) return write(absl::OkStatus());
  repair_promise_->Write({checkpoint.point.term, ServerId()}, std::move(write));
}

void Node::Reopen() {
  recovered_ = RaftRecovered();
  replay_error_ = absl::OkStatus();
  first_chain_ = ClusterId();
  SetBase(Checkpoint());
  resume_ = WalResume();
  OpenLog();
}

void Node::OnRepairMessage(ServerId from, const MessageView& message) {
  if (message.group != group().value() ||
      (core_ == nullptr && repair_ == nullptr)) {
    return;
  }
  if (message.type == WireType::kRepairQuestion) {
    absl::StatusOr<RepairQuestion> question =
        DecodeRepairQuestion(message.header);
    if (!question.ok() || question->from != from) return;
    return OnRepairQuestion(*question);
  }
  absl::StatusOr<RepairAnswer> answer =
      DecodeRepairAnswer(message.header, message.payload);
  if (!answer.ok() || answer->from != from || repair_ == nullptr) return;
  repair_->OnAnswer(*answer);
}

// --- Helping ---

void Node::OnRepairQuestion(const RepairQuestion& question) {
  RepairAnswer answer;
  answer.from = options_.id;
  answer.to = question.from;
  answer.life = question.life;
  answer.number = question.number;
  LogHole hole = question.hole;
  // Its own may be the one that is wrong.
  if (!CheckSameLog().ok()) return AnswerRepair(std::move(answer), {});
  if (core_ == nullptr) {
    if (hole.first <= base_.point.index) {
      return AnswerWithCheckpoint(question, std::move(answer));
    }
    // It waits for others itself; what it has is as good as ever.
    if (wal_ == nullptr) return AnswerRepair(std::move(answer), {});
    TakeTerm(&hole);
    const bool has_last = hole.last_term > Term() &&
                          recovered_.trail.Has(hole.last, hole.last_term);
    return wal_->ReadWhileMending(hole, has_last, kRepairBytes,
                                  RepairReader(std::move(answer), hole));
  }
  if (question.term > core_->term()) {
    // As any message would: the term is on its way to all.
    Message term;
    term.type = MessageType::kVoteAnswer;
    term.from = question.from;
    term.to = options_.id;
    term.term = question.term;
    term.rejected = true;
    Step(Receive{std::move(term)});
    if (stopped_) return;
  }
  const Trail& trail = core_->trail();
  answer.log_index = trail.last_index();
  answer.log_term = trail.last_term();
  if (hole.first <= trail.base_index()) {
    return AnswerWithCheckpoint(question, std::move(answer));
  }
  // Of any term: what is committed is the right one.
  if (hole.last_term == Term()) hole.last = std::min(hole.last, commit());
  const bool has = hole.last_term == Term()
                       ? hole.first <= hole.last
                       : trail.Has(hole.last, hole.last_term);
  if (!has) {
    answer.outcome = RepairOutcome::kLacks;
    return AnswerRepair(std::move(answer), {});
  }
  if (tail_.Find(hole.first) == nullptr) {
    return wal_->ReadWhole(hole.first, kRepairBytes, hole.behind_gap,
                           RepairReader(std::move(answer), hole));
  }
  AnswerRepair(std::move(answer), FromTail(hole));
}

ResultFn<WholeEntries> Node::RepairReader(RepairAnswer answer,
                                          const LogHole& hole) {
  return scope_.Wrap(
      [this, answer = std::make_unique<RepairAnswer>(std::move(answer)),
       last = hole.last](absl::StatusOr<WholeEntries> whole) mutable {
        if (stopped_) return;
        if (!whole.ok()) whole = WholeEntries();
        answer->damaged_to = whole->damaged_to;
        // What comes then is in memory.
        if (core_ != nullptr) {
          answer->damaged_to =
              std::min(answer->damaged_to, tail_.hot_first() - 1);
        }
        std::erase_if(whole->entries, [last](const Entry& entry) {
          return entry.header.index > last;
        });
        // Entries aren't vouched for by what else it has had.
        if (core_ == nullptr && repair_ != nullptr && whole->entries.empty()) {
          NoteLatestTerm(last, answer.get());
        }
        AnswerRepair(std::move(*answer), std::move(whole->entries));
      });
}

// That they were there is all that counts: damaged or not, durable, committed
// or replaced, each was made by the leader of its term. None that stands
// behind: which ones stood before that in the same log, a lost header may have
// said.
void Node::NoteLatestTerm(Index last, RepairAnswer* answer) const {
  const auto note = [last, answer](Index index, Term term) {
    if (index > last || term <= answer->log_term) return;
    answer->log_index = index;
    answer->log_term = term;
  };
  const Trail& trail = recovered_.trail;
  note(trail.base_index(), trail.base_term());
  for (const Trail::Run& run : trail.runs()) note(run.first, run.term);
  for (const Entry& entry : wal_->FoundWhileMending()) {
    note(entry.header.index, entry.header.term);
  }
  // A frame behind it says of which term it was.
  note(repair_->hole().last, repair_->hole().last_term);
}

void Node::AnswerWithCheckpoint(const RepairQuestion& question,
                                RepairAnswer answer) {
  EncodeBase();
  answer.outcome = RepairOutcome::kCheckpoint;
  answer.id = base_id_;
  if (question.id == base_id_ && question.at < base_id_.bytes) {
    answer.outcome = RepairOutcome::kPart;
    answer.at = question.at;
    answer.part = base_encoded_.Slice(
        question.at, std::min(options_.checkpoint_chunk_bytes,
                              base_encoded_.size() - question.at));
  }
  AnswerRepair(std::move(answer), {});
}

void Node::AnswerRepair(RepairAnswer answer, std::vector<Entry> entries) {
  Buffers payload;
  if (answer.outcome == RepairOutcome::kPart) payload = {answer.part};
  if (!entries.empty()) {
    answer.outcome = RepairOutcome::kEntries;
    std::vector<const Entry*> pointers;
    for (const Entry& entry : entries) pointers.push_back(&entry);
    payload = EncodeEntries(pointers);
  }
  answer.entries = std::move(entries);
  SendTo(answer.to, WireType::kRepairAnswer, EncodeRepairAnswer(answer),
         payload);
}

}  // namespace holdfast
