#include "engine/node/node.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

// How long a server that stops for good waits until that is noted.
constexpr Duration kRetireMax = 5s;

}  // namespace

Node::Node(const Env& env, NodeOptions options, NodeEvents* events)
    : env_(env),
      options_(std::move(options)),
      events_(events),
      space_(env.loop, env.disk, options_.reserve_bytes,
             options_.wal.segment_bytes,
             {.log_is_short =
                  [this] { return wal_ != nullptr && wal_->short_of_space(); },
              .make_segment =
                  [this] {
                    if (wal_ != nullptr) wal_->TryAgain();
                  },
              .log_line = [this](absl::string_view line) { LogLine(line); },
              .not_made =
                  [this](const absl::Status& why) {
                    if (!absl::IsAlreadyExists(why)) StopsFor(why);
                  }}),
      identity_file_(env.disk),
      peers_(env, options_.id, options_.cluster_name, options_.peers,
             {.own_hello = [this] { return OwnHello(); },
              .judge = [this](const Hello& h) { return JudgeHello(h); },
              .on_hello = [this](const Hello& h) { OnHello(h); },
              .on_message =
                  [this](ServerId from, Incarnation incarnation,
                         const MessageView& message) {
                    OnMessage(from, incarnation, message);
                  },
              .on_lost =
                  [this](ServerId from) {
                    comparison_.Forget(from);
                    Step(PeerLost{from});
                  },
              .on_up = [this](ServerId to) { OnPeerUp(to); },
              .on_refused =
                  [this](RefusalReason reason, const absl::Status& why) {
                    OnRefused(reason, why);
                  },
              .on_client =
                  [this](InboundStream client) {
                    if (stopped_ || open_done_) return;
                    events_->OnClient(std::move(client));
                  },
              .log_line = [this](absl::string_view line) { LogLine(line); }}),
      checkpoint_sender_(env.loop, options_.checkpoint_chunk_bytes,
                         options_.catch_up_bytes_per_second,
                         [this](const CheckpointChunk& chunk, Buffer bytes) {
                           CheckpointChunk out = chunk;
                           out.from = options_.id;
                           SendTo(out.to, WireType::kCheckpointChunk,
                                  EncodeChunkHeader(out), {std::move(bytes)});
                         }),
      cold_read_pace_(options_.id, options_.catch_up_bytes_per_second),
      membership_(env, options_.id, this) {}

Node::~Node() = default;

void Node::LogLine(absl::string_view line) const {
  if (env_.log_line != nullptr && *env_.log_line) (*env_.log_line)(line);
}

bool Node::is_leader() const {
  return core_ != nullptr && !stopped_ && core_->role() == Role::kLeader;
}

bool Node::holds_lease() const {
  return is_leader() && core_->HoldsLease(env_.loop->FreshNow());
}

ServerId Node::leader() const {
  return core_ == nullptr || stopped_ ? ServerId() : core_->leader();
}

const Configuration* Node::configuration() const {
  return core_ == nullptr ? nullptr : &core_->configuration();
}

const RaftCore* Node::raft() const { return stopped_ ? nullptr : core_.get(); }

bool Node::MayPropose() const {
  return is_leader() && !configuration_proposed_ &&
         core_->may_propose_configuration();
}

uint32_t Node::SupportedLevel(const Member& member) const {
  const Hello* hello = peers_.HelloOf(member.id);
  const bool known =
      hello != nullptr && hello->incarnation == member.incarnation;
  return known ? hello->feature_level_max : 0;
}

void Node::OnPeerUp(ServerId to) {
  // It knows this very incarnation, or it would have refused the hello.
  if (repair_ != nullptr) repair_group_ = peers_.HelloOf(to)->cluster_id;
  comparison_.Forget(to);
  Step(SendLost{to});
  // It may be of a newer release.
  env_.loop->Post(scope_.Wrap([this] { membership_.Advance(); }));
}

Index Node::ProposeConfiguration(const Configuration& next) {
  return Propose(EntryKind::kConfiguration, 0, EncodeConfiguration(next)).index;
}

void Node::HandOver(ServerId to) { Step(Transfer{to}); }

bool Node::handing_over() const {
  return is_leader() && core_->transfer_to() != ServerId();
}

Address Node::AddressOf(ServerId id) const {
  const Configuration* c = configuration();
  const Member* member = c == nullptr ? nullptr : c->Find(id);
  return member == nullptr ? Address() : member->address;
}

void Node::Close(DoneFn done) {
  HaltAtOnce();
  space_.Stop();
  peers_.Close();
  membership_.Close();
  env_.loop->Post(scope_.Wrap([this, done = std::move(done)]() mutable {
    FailReads();
    done(absl::OkStatus());
  }));
}

void Node::Stop(absl::Status why) {
  if (stopped_) return;
  HaltAtOnce();
  FinishStop(std::move(why));
}

void Node::HaltAtOnce() {
  stopped_ = true;
  wake_.Cancel();
  if (scrubber_ != nullptr) scrubber_->Stop();
}

void Node::OnRefused(RefusalReason reason, const absl::Status& why) {
  if (reason != RefusalReason::kOldCopy) return;
  // The next dial will be refused, too.
  if (writing_identity_) return;
  Retire(absl::FailedPreconditionError(why.message()));
}

void Node::Retire(absl::Status why) {
  if (stopped_) return;
  if (writing_identity_) return Stop(std::move(why));
  HaltAtOnce();
  identity_.retired = true;
  // The disk may be full, or hang.
  retiring_ = env_.loop->After(kRetireMax, [this, why] { FinishStop(why); });
  WriteIdentity([this, why](absl::Status) { FinishStop(why); });
}

void Node::FinishStop(absl::Status why) {
  if (std::exchange(stop_told_, true)) return;
  LogLine(absl::StrCat("event=stopped why=\"", why.ToString(), "\""));
  // Later: this may run within a stream's own callback.
  env_.loop->Post(scope_.Wrap([this, why]() {
    space_.Stop();
    peers_.Close();
    membership_.Close();
    FailReads();
    events_->OnStopped(why);
  }));
}

void Node::FailReads() {
  read_requests_.clear();
  std::map<uint64_t, ResultFn<Index>> reads = std::move(reads_);
  reads_.clear();
  const absl::Status why = absl::UnavailableError("this server doesn't serve");
  for (auto& [id, done] : reads) done(why);
  if (remote_reads_ != nullptr) remote_reads_->FailAll(why);
}

// --- Into the core ---

const EntryHeader& Node::Propose(EntryKind kind, uint32_t record_count,
                                 Buffer payload) {
  CHECK(is_leader());
  Entry entry = tail_.Seal(core_->term(), kind, record_count,
                           env_.loop->WallNow(), std::move(payload));
  absl::StatusOr<EntryMeta> meta = MetaOf(entry);
  CHECK(meta.ok());
  proposals_.push_back(*std::move(meta));
  if (kind == EntryKind::kConfiguration) {
    CHECK(!configuration_proposed_ && core_->may_propose_configuration());
    configuration_proposed_ = true;
  }
  tail_.Append(entry);
  proposed_.push_back(std::move(entry));
  FlushSoon();
  events_->OnEntry(proposed_.back());
  return proposed_.back().header;
}

void Node::ReadIndex(ResultFn<Index> done) {
  uint64_t id = next_read_++;
  reads_[id] = std::move(done);
  read_requests_.push_back(id);
  FlushSoon();
}

void Node::ReadIndexAnywhere(ResultFn<Index> done) {
  const ServerId from = leader();
  if (from == options_.id) return ReadIndex(std::move(done));
  env_.loop->Post(scope_.Wrap([this, done = std::move(done)]() mutable {
    const ServerId now = leader();
    if (now != ServerId() && now != options_.id) {
      return remote_reads_->Ask(now, commit(), std::move(done));
    }
    done(absl::UnavailableError("no leader is known"));
  }));
}

void Node::OnReadIndexQuestion(const ReadIndexQuestion& question) {
  ReadIndex([this, question](absl::StatusOr<Index> index) {
    ReadIndexAnswer answer;
    if (comparison_.Differs(question.from)) {
      index = absl::UnavailableError("its log is another one");
    }
    answer.from = options_.id;
    answer.to = question.from;
    answer.life = question.life;
    answer.number = question.number;
    if (index.ok()) answer.index = *index;
    SendTo(answer.to, WireType::kReadIndexAnswer, EncodeReadIndexAnswer(answer),
           {});
  });
}

void Node::FlushSoon() {
  if (flush_posted_) return;
  flush_posted_ = true;
  env_.loop->Post(scope_.Wrap([this] {
    flush_posted_ = false;
    Flush();
  }));
}

void Node::Flush() {
  if (core_ == nullptr || stopped_) {
    return FailReads();
  }
  std::vector<EntryMeta> metas = std::move(proposals_);
  std::vector<Entry> entries = std::move(proposed_);
  proposals_.clear();
  proposed_.clear();
  configuration_proposed_ = false;
  for (size_t from = 0; from < metas.size() && !stopped_;) {
    // A configuration goes alone.
    size_t to = from + 1;
    if (metas[from].configuration == nullptr) {
      while (to < metas.size() && metas[to].configuration == nullptr) ++to;
    }
    auto part = [from, to](auto& all) {
      auto first = std::make_move_iterator(all.begin());
      return std::vector(first + static_cast<ptrdiff_t>(from),
                         first + static_cast<ptrdiff_t>(to));
    };
    Step(holdfast::Propose{part(metas)}, part(entries));
    // The core leads until a step says otherwise, and each step flushes.
    CHECK_EQ(output_.rejected_proposals, size_t{0});
    from = to;
  }
  while (!read_requests_.empty() && !stopped_) {
    uint64_t id = read_requests_.back();
    read_requests_.pop_back();
    Step(ReadRequest{id});
  }
}

bool Node::AnswersFor(ServerId id, Incarnation incarnation) {
  const Member* member = core_->configuration().Find(id);
  // Nobody counts what comes from one that is no member.
  if (member == nullptr || member->incarnation == incarnation) return true;
  ++answers_of_other_disks_;
  return false;
}

void Node::OnMessage(ServerId from, Incarnation incarnation,
                     const MessageView& message) {
  if (stopped_) return;
  if (message.type == WireType::kRepairQuestion ||
      message.type == WireType::kRepairAnswer) {
    return OnRepairMessage(from, message);
  }
  if (open_done_) return;  // it repairs its log
  if (core_ == nullptr) Adopt(from, ClusterId(message.group));
  if (core_ == nullptr || message.group != identity_.cluster_id.value()) return;
  if (message.type == WireType::kCheckpointChunk) {
    absl::StatusOr<CheckpointChunk> chunk = DecodeChunkHeader(message.header);
    if (!chunk.ok() || chunk->from != from) return;
    return OnChunk(*chunk, message.payload.view());
  }
  if (message.type == WireType::kCheckpointAnswer) {
    absl::StatusOr<CheckpointAnswer> answer =
        DecodeCheckpointAnswer(message.header);
    if (!answer.ok() || answer->from != from) return;
    if (!AnswersFor(from, incarnation)) return;
    return checkpoint_sender_.OnAnswer(from, *answer);
  }
  if (message.type == WireType::kReadIndexQuestion) {
    absl::StatusOr<ReadIndexQuestion> question =
        DecodeReadIndexQuestion(message.header);
    if (!question.ok() || question->from != from) return;
    return OnReadIndexQuestion(*question);
  }
  if (message.type == WireType::kReadIndexAnswer) {
    absl::StatusOr<ReadIndexAnswer> answer =
        DecodeReadIndexAnswer(message.header);
    if (!answer.ok() || answer->from != from) return;
    return remote_reads_->OnAnswer(*answer, commit());
  }
  if (message.type != WireType::kRaft) return;
  absl::StatusOr<ReceivedMessage> received =
      DecodeRaftMessage(message.header, message.payload);
  if (!received.ok()) {
    return LogLine(absl::StrCat("event=bad_message peer=", from.value(),
                                " why=\"", received.status().message(), "\""));
  }
  if (received->message.from != from || received->message.to != options_.id) {
    return LogLine(
        absl::StrCat("event=misaddressed_message peer=", from.value()));
  }
  // It may be what an older data directory had, or had promised, of a server
  // that has left and joined anew with an empty one meanwhile.
  if (IsAnswer(received->message.type) && !AnswersFor(from, incarnation)) {
    return;
  }
  if (!Compare(*received)) return;
  const MessageExtras& extras = received->extras;
  // If not, as if it had been lost. Heartbeats keep this server in the cluster.
  if (!TakesIn(*received)) return;
  if (received->message.type == MessageType::kHeartbeatAnswer) {
    NoteShortage(from, extras.short_of_space);
  }
  const Term term = received->message.term;
  Step(Receive{std::move(received->message)}, std::move(received->entries));
  if (!stopped_ && core_->term() == term && core_->leader() == from) {
    OnCondemned(extras.condemned);
    if (!stopped_ && space_.is_short() && extras.trimmed_to > Offset()) {
      events_->OnTrimmed(extras.trimmed_to);
    }
  }
}

void Node::Step(InputEvent event, std::vector<Entry> entries) {
  if (core_ == nullptr || stopped_) return;
  if (!std::holds_alternative<holdfast::Propose>(event)) {
    // Proposals were sealed against the log as it is.
    if (!proposals_.empty()) Flush();
  }
  if (stopped_) return;
  CHECK(!stepping_);
  stepping_ = true;
  // A task's own time may be old; a promise must not be.
  const Instant now =
      options_.raft.leases ? env_.loop->FreshNow() : env_.loop->Now();
  core_->Step(RaftInput{now, std::move(event)}, &output_);
  Carry(std::move(entries));
  stepping_ = false;
}

// --- Out of the core ---

void Node::Carry(std::vector<Entry> entries) {
  if (output_.role_changed && is_leader()) comparison_.BeginToLead();
  if (output_.installed) Install();
  if (output_.persist.has_value()) Persist(*output_.persist, &entries);
  if (stopped_) return;
  for (const Message& message : output_.messages) {
    if (message.entries.empty()) {
      Send(message, {});
    } else {
      SendAppend(message);
    }
  }
  for (const RaftColdRead& cold : output_.cold_reads) StartColdRead(cold);
  if (core_->commit() > tail_.committed().index) {
    tail_.Commit(core_->commit());
    events_->OnCommit(core_->commit());
    remote_reads_->OnCommit(core_->commit());
  }
  if (output_.role_changed) {
    LogLine(absl::StrCat("event=role role=", ToString(core_->role()),
                         " term=", core_->term().value(),
                         " leader=", core_->leader().value()));
    short_peers_.clear();
    events_->OnRole();
    remote_reads_->FailAll(
        absl::UnavailableError("another server leads, or none"));
  }
  for (const ReadReady& ready : output_.reads_ready) {
    CHECK_LE(ready.index, tail_.committed().index);
    reads_.extract(ready.id).mapped()(ready.index);
  }
  for (uint64_t id : output_.reads_failed) {
    reads_.extract(id).mapped()(
        absl::UnavailableError("this server couldn't confirm that it leads"));
  }
  tail_.EvictBelow(core_->hot_first());
  SendCheckpoints();
  if (!stopped_ && linked_.get() != &core_->configuration()) {
    linked_ = core_->shared_configuration();
    peers_.SetMembers(linked_->Everyone(), core_->configuration_index(),
                      LinkKey());
  }
  if (output_.commit_advanced || output_.role_changed) membership_.Advance();
  if (output_.wake < wake_at_) {
    wake_at_ = output_.wake;
    wake_ = env_.loop->At(wake_at_, [this] {
      wake_at_ = kNever;
      Step(Tick{});
    });
  }
}

void Node::Persist(RaftPersist& persist, std::vector<Entry>* entries) {
  WalWrite write;
  write.sequence = persist.sequence;
  write.hard_state = persist.hard_state;
  if (persist.cut_from.has_value()) {
    tail_.Cut(*persist.cut_from);
    encoded_.clear();
    events_->OnCut(*persist.cut_from);
    write.cut_to = tail_.last();
  }
  uint64_t bytes = 0;
  for (const EntryMeta& meta : persist.entries) {
    if (entries->empty()) {
      // A new leader's own.
      CHECK(meta.kind == EntryKind::kNoOp);
      const bool next = core_->committed_configuration().feature_level > 1;
      Entry entry =
          tail_.Seal(meta.term, next ? EntryKind::kNextNoOp : EntryKind::kNoOp,
                     0, env_.loop->WallNow(), Buffer());
      CHECK(entry.header.index == meta.index);
      tail_.Append(entry);
      events_->OnEntry(entry);
      write.entries.push_back(std::move(entry));
      continue;
    }
    uint64_t at = meta.index - entries->front().header.index;
    CHECK_LT(at, entries->size());
    Entry& entry = (*entries)[at];
    CHECK(entry.header.index == meta.index);
    if (absl::Status known = CheckLevel(meta); !known.ok()) {
      return Stop(std::move(known));
    }
    if (meta.index == Index(1)) {
      if (absl::Status first = CheckFirstEntry(entry); !first.ok()) {
        return Stop(std::move(first));
      }
    }
    if (meta.index > tail_.last().index) {
      tail_.Append(entry);
      events_->OnEntry(entry);
    }
    CHECK(entry.header.term == meta.term);
    write.entries.push_back(entry);
    bytes += meta.size;
  }
  if (bytes > 0) cold_read_pace_.OnAppended(env_.loop->Now(), bytes);
  wal_->Write(std::move(write), core_->durable_commit());
}

void Node::Send(const Message& message, const Buffers& payload) {
  // If it can't go, Raft sends again what matters.
  MessageExtras extras;
  switch (message.type) {
    case MessageType::kAppendRequest:
      extras.must_take = !HasRoomForRecords();
      break;
    case MessageType::kHeartbeat:
      extras.condemned =
          comparison_.Condemn(message.to, options_.id, *configuration())
              .value_or(LogClaim());
      if (short_peers_.contains(message.to)) {
        extras.trimmed_to = events_->trimmed_to();
      }
      break;
    case MessageType::kHeartbeatAnswer:
      extras.short_of_space = space_.is_short();
      [[fallthrough]];
    case MessageType::kPreVoteRequest:
    case MessageType::kVoteRequest:
      comparison_.Claim(message, core_->trail(), &extras);
      break;
    default:
      break;
  }
  SendTo(message.to, WireType::kRaft, EncodeRaftHeader(message, extras),
         payload);
}

void Node::SendTo(ServerId to, WireType type, const std::string& header,
                  const Buffers& payload) {
  OutMessage out;
  out.type = type;
  out.header = header;
  out.payload = payload;
  out.priority =
      payload.empty() ? MessagePriority::kControl : MessagePriority::kBulk;
  out.group = group().value();
  peers_.Send(to, out);
}

void Node::SendAppend(const Message& message) {
  Index first = message.entries.front().index;
  Index last = message.entries.back().index;
  if (encoded_.empty() || first != encoded_first_ || last != encoded_last_ ||
      message.term != encoded_term_) {
    std::vector<const Entry*> entries;
    entries.reserve(message.entries.size());
    for (const EntryMeta& meta : message.entries) {
      const Entry* entry = tail_.Find(meta.index);
      CHECK(entry != nullptr && entry->header.term == meta.term);
      entries.push_back(entry);
    }
    encoded_ = EncodeEntries(entries);
    encoded_first_ = first;
    encoded_last_ = last;
    encoded_term_ = message.term;
  }
  Send(message, encoded_);
}

void Node::StartColdRead(const RaftColdRead& cold) {
  ReadAtPace(cold.to, [this, cold] { ReadCold(cold); });
}

void Node::ReadAtPace(ServerId reader, Task read) {
  const Instant now = env_.loop->Now();
  const Instant next = cold_read_pace_.NextRead(reader, now);
  if (next <= now) return read();
  paced_reads_[reader] =
      env_.loop->At(next, [this, reader, read = std::move(read)]() mutable {
        ReadAtPace(reader, std::move(read));
      });
}

void Node::ReadCold(const RaftColdRead& cold) {
  if (stopped_) return;
  wal_->Read(
      cold.first, cold_read_pace_.BytesAtOnce(env_.loop->Now(), cold.max_bytes),
      scope_.Wrap([this, cold](absl::StatusOr<std::vector<Entry>> entries) {
        OnColdRead(cold, std::move(entries));
      }));
}

void Node::OnColdRead(const RaftColdRead& cold,
                      absl::StatusOr<std::vector<Entry>> entries) {
  if (stopped_) return;
  if (!entries.ok()) return Step(ColdFailed{cold.to, cold.token});
  std::vector<EntryMeta> metas;
  std::vector<const Entry*> pointers;
  uint64_t bytes = 0;
  for (const Entry& entry : *entries) {
    absl::StatusOr<EntryMeta> meta = MetaOf(entry);
    CHECK(meta.ok());
    bytes += meta->size;
    metas.push_back(*std::move(meta));
    pointers.push_back(&entry);
  }
  Index last = entries->back().header.index;
  std::optional<Message> message = core_->ColdAppend(cold, std::move(metas));
  if (!message.has_value()) return Step(ColdFailed{cold.to, cold.token});
  if (absl::Status own = CheckRead(*entries); !own.ok()) {
    return Stop(std::move(own));
  }
  Send(*message, EncodeEntries(pointers));
  cold_read_pace_.OnRead(cold.to, bytes);
  Step(ColdSent{cold.to, cold.token, last, bytes});
}

// --- Reading ---

void Node::ReadEntries(Index first, size_t max_bytes,
                       ResultFn<std::vector<Entry>> done) {
  const Index last = commit();
  CHECK_LE(first, last);
  if (tail_.Find(first) == nullptr) {
    return wal_->Read(
        first, max_bytes,
        scope_.Wrap([this, first, last, max_bytes, done = std::move(done)](
                        absl::StatusOr<std::vector<Entry>> entries) mutable {
          if (absl::IsAborted(entries.status())) {
            return ReadEntries(first, max_bytes, std::move(done));
          }
          if (entries.ok()) {
            std::erase_if(*entries, [last](const Entry& entry) {
              return entry.header.index > last;
            });
          }
          done(std::move(entries));
        }));
  }
  std::vector<Entry> entries;
  size_t bytes = 0;
  for (Index i = first; i <= last && (bytes < max_bytes || entries.empty());
       ++i) {
    const Entry* entry = tail_.Find(i);
    if (entry == nullptr) break;
    bytes += EntryBytes(*entry);
    entries.push_back(*entry);
  }
  env_.loop->Post(scope_.Wrap(
      [done = std::move(done), entries = std::move(entries)]() mutable {
        done(std::move(entries));
      }));
}

void Node::ReadEntriesAtPace(Index first, size_t max_bytes,
                             ResultFn<std::vector<Entry>> done) {
  ReadAtPace(options_.id, [this, first, max_bytes,
                           done = std::move(done)]() mutable {
    if (stopped_) return;
    ReadEntries(first, cold_read_pace_.BytesAtOnce(env_.loop->Now(), max_bytes),
                [this, done = std::move(done)](
                    absl::StatusOr<std::vector<Entry>> entries) mutable {
                  if (entries.ok()) {
                    uint64_t bytes = 0;
                    for (const Entry& entry : *entries) {
                      bytes += EntryBytes(entry);
                    }
                    cold_read_pace_.OnRead(options_.id, bytes);
                  }
                  done(std::move(entries));
                });
  });
}

Index Node::FloorIndexOfOffset(Offset offset) const {
  if (const Entry* entry = tail_.FindOffset(offset); entry != nullptr) {
    return entry->header.index;
  }
  return wal_->FloorIndexOfOffset(offset);
}

}  // namespace holdfast
