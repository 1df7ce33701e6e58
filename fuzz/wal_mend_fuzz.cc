// A log that the input writes, several of whose files the input then damages at
// once, with other servers that have all of it: a start has exactly that log
// again, also when it begins behind a checkpoint or a resume point, and reads
// that meet further damage have it, too. Where docs/DISK_FORMAT.md says that
// damage can't be told from a torn tail, or that nobody else can help, it may
// end earlier or refuse, but never have an entry that isn't the log's.
//
// The input: a head, then records of 8 bytes, first what writes the log, then
// damage. The seeds are random bytes that write logs of different shapes.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"
#include "fuzz/record.h"

namespace holdfast {
namespace {

constexpr int kWritesMax = 12;
constexpr int kDamageMax = 12;

struct Head {
  explicit Head(ByteReader* r)
      : flags(r->Int<uint8_t>()),
        writes(r->Int<uint8_t>() % (kWritesMax + 1)),
        checkpoint(r->Int<uint8_t>()),
        resume(r->Int<uint8_t>()),
        commit_max(r->Int<uint8_t>()),
        at_once(size_t{1} + r->Int<uint8_t>() % 8),
        late(r->Int<uint8_t>() % 4) {
    r->Int<uint8_t>();
  }

  // The newest segment's last mark stays: it tells how far the log went.
  bool marked() const { return (flags & 1) != 0; }
  bool has_checkpoint() const { return (flags & 2) != 0; }
  bool has_resume() const { return (flags & 4) != 0; }
  bool has_commit_max() const { return (flags & 8) != 0; }
  // The others have gone on from before the log's end, in a later term.
  bool was_left_behind() const { return (flags & 16) != 0; }

  uint8_t flags;
  int writes;
  uint8_t checkpoint;
  uint8_t resume;
  uint8_t commit_max;
  size_t at_once;  // entries that the others give
  int late;        // how much of the damage comes when the log is open
};

// With what is wrong, if it isn't.
void CheckOk(const absl::Status& status) {
  CHECK_EQ(std::string(status.message()), "");
  CHECK(status.ok());
}

// --- Writing the log ---

// Chained hashes of all entries that were ever written: an entry's name.
using EverWritten = std::set<uint64_t>;

// An index from there to the log's end.
Index Pick(const WalRun& run, Index from, uint64_t byte) {
  return from + byte % (run.last().index - from + 1);
}

class LogWriter {
 public:
  LogWriter(const Head& head, WalRun* run) : run_(run) {
    CheckOk(run->Open());
    if (head.has_commit_max()) commit_max_ = Index(head.commit_max % 16);
    run->set_commit_max(commit_max_);
    run->SetHardStateAndAppend({term_, ServerId(1)}, {0, 100});
    run->RunUntilIdle();
    NoteWritten();
  }

  void Write(const FuzzRecord& w) {
    std::vector<size_t> sizes;
    for (int i = 0; i <= w.file % 4; ++i) {
      sizes.push_back(i % 2 == 0 ? w.at % 6000 : w.source_at % 900);
    }
    switch (w.kind % 8) {
      case 3:
        NoteCommitted(run_->last().index);
        term_ = term_ + 1;
        run_->SetHardStateAndAppend({term_, ServerId(1)}, {0});
        break;
      case 4:
      case 5: {
        term_ = term_ + 1;
        run_->set_commit_max(committed_);  // nothing that is cut here
        run_->SetHardState({term_, ServerId(2)});
        run_->set_commit_max(commit_max_);
        const Index kept = Pick(*run_, committed_, w.value);
        if (kept == run_->last().index) break;
        run_->CutAndAppend(kept, term_, sizes);
        NoteCommitted(kept);
        break;
      }
      case 6:
        run_->RunUntilIdle();
        CheckOk(run_->Reopen());
        break;
      case 7:
        run_->RunUntilIdle();
        SetCheckpoint(w.value);
        run_->wal().DropTo(run_->checkpoint());
        break;
      default:
        NoteCommitted(run_->last().index);
        run_->Append(term_, sizes);
    }
    // Groups of several writes, or of one.
    if (w.source % 4 != 0) run_->RunUntilIdle();
    NoteWritten();
  }

  // What it stands for is committed.
  void SetCheckpoint(uint8_t byte) {
    const Index at = Pick(*run_, committed_, byte);
    if (at == Index(0)) return;
    committed_ = at;
    run_->SetCheckpoint(run_->PointAt(at));
  }

  const EverWritten& ever() const { return ever_; }
  Index committed() const { return committed_; }

 private:
  // A write says so.
  void NoteCommitted(Index index) {
    committed_ = std::max(committed_, std::min(index, commit_max_));
  }
  void NoteWritten() {
    for (const Entry& e : run_->log()) ever_.insert(e.header.chain);
  }

  WalRun* const run_;
  Term term_ = Term(1);
  Index commit_max_ = Index(UINT64_MAX);
  Index committed_;  // Raft never cuts what is
  EverWritten ever_;
};

// --- Damage ---

class Damage {
 public:
  Damage(bool marked, MemoryDisk* disk) : disk_(disk) {
    NoteReplacing();
    if (!marked) return;
    for (const std::string& name : disk->Names()) {
      if (!ParseSegmentName(name).has_value()) continue;
      const size_t last = disk->Contents(name).find_last_not_of('\0');
      if (last == std::string::npos) continue;  // a spare
      kept_file_ = name;                        // names are in the order of ids
      kept_from_ = last / kBlockBytes * kBlockBytes;
    }
  }

  void Apply(const FuzzRecord& d) {
    const std::vector<std::string> names = disk_->Names();
    if (names.empty()) return;
    const std::string& name = names[d.file % names.size()];
    std::string bytes = disk_->Contents(name);
    if (bytes.empty()) return;
    const size_t at = d.at % bytes.size();
    const std::string& from = names[d.source % names.size()];
    switch (d.kind % 8) {
      case 0:
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << d.value % 8));
        break;
      case 2:
        Fill(at, 512, static_cast<char>(d.value), &bytes);
        break;
      case 3:
        Fill(at, kBlockBytes, '\0', &bytes);
        break;
      case 4:
        Misdirect(at, 512, disk_->Contents(from), d.source_at, &bytes);
        break;
      case 5:
        Misdirect(at, kBlockBytes, disk_->Contents(from), d.source_at, &bytes);
        break;
      case 6:
        if (name != kept_file_) bytes.resize(at);
        break;
      default:
        if (name == kept_file_ || d.value % 4 != 0) return;
        disk_->Delete(name);
        gone_ = true;
        return;
    }
    Put(name, std::move(bytes));
  }

  // Of a file that is open.
  void Flip(const FuzzRecord& d) {
    const std::vector<std::string> names = disk_->Names();
    if (names.empty()) return;
    const std::string& name = names[d.file % names.size()];
    const size_t size = disk_->Contents(name).size();
    if (!ParseSegmentName(name).has_value() || size == 0) return;
    const size_t at = d.at % size;
    if (name == kept_file_ && at >= kept_from_) return;
    disk_->Flip(name, at, static_cast<char>(1 << d.value % 8));
  }

  // Nobody else can help: of a file that is gone no other one need tell, and
  // votes are nobody else's. Of a segment that replaced others' entries nothing
  // may tell which, if that isn't left of it.
  bool beyond_help() const {
    if (gone_ || hard_states_.size() > 1) return true;
    return std::any_of(replacing_.begin(), replacing_.end(),
                       [this](const auto& each) {
                         const auto& [name, before] = each;
                         return !Tells(name, before, disk_->Contents(name));
                       });
  }

 private:
  void NoteReplacing() {
    Index seen;  // in segments so far
    for (const std::string& name : disk_->Names()) {
      const std::optional<uint64_t> id = ParseSegmentName(name);
      if (!id.has_value()) continue;
      const std::string bytes = disk_->Contents(name);
      absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(
          absl::string_view(bytes).substr(0, kSegmentHeaderBytes));
      if (!header.ok()) continue;
      if (header->first_index() <= seen) {
        replacing_.emplace_back(name, header->previous.index);
      }
      FoundHeaders found;
      FindMarkedTo(bytes, kSegmentHeaderBytes, *id, &found);
      seen = std::max(seen, found.seen);
    }
  }

  // Whether what is left of the segment tells that it begins behind `before`.
  static bool Tells(const std::string& name, Index before,
                    const std::string& bytes) {
    const absl::StatusOr<SegmentHeader> header = DecodeSegmentHeader(
        absl::string_view(bytes).substr(0, kSegmentHeaderBytes));
    const uint64_t id = *ParseSegmentName(name);
    if (header.ok() && header->id == id) return true;
    const std::optional<SegmentEnd> found = FindBeginning(bytes, id);
    return found.has_value() && found->index == before;
  }

  static void Fill(size_t at, size_t block, char c, std::string* bytes) {
    at = at / block * block;
    const size_t n = std::min(block, bytes->size() - at);
    bytes->replace(at, n, n, c);
  }

  static void Misdirect(size_t at, size_t block, const std::string& from,
                        size_t from_at, std::string* bytes) {
    if (from.empty()) return;
    at = at / block * block;
    from_at = from_at % from.size() / block * block;
    const std::string source = from.substr(from_at, block);
    const size_t n = std::min(source.size(), bytes->size() - at);
    bytes->replace(at, n, source, 0, n);
  }

  void Put(const std::string& name, std::string bytes) {
    const std::string before = disk_->Contents(name);
    if (name == kept_file_) {
      bytes.replace(kept_from_, std::string::npos, before, kept_from_);
    }
    if (bytes == before) return;
    if (!ParseSegmentName(name).has_value()) hard_states_.insert(name);
    disk_->SetContents(name, std::move(bytes));
  }

  MemoryDisk* const disk_;
  std::string kept_file_;
  size_t kept_from_ = 0;
  bool gone_ = false;
  std::set<std::string> hard_states_;
  // Segments that replaced others' entries, and those before their first ones.
  std::vector<std::pair<std::string, Index>> replacing_;
};

// --- The other servers ---

// They have `log` up to that entry, committed, and behind it one of a later
// term, whose leader answers.
void HelpUpTo(Index last, Term term, const std::vector<Entry>& log,
              WalRun* run) {
  run->SetMend([=](const LogHole& hole, Term own, ResultFn<Mended> done) {
    CHECK_LE(hole.first, hole.last);
    Mended mended;
    for (const Entry& e : log) {
      if (e.header.index >= hole.first && e.header.index <= hole.last &&
          e.header.index <= last) {
        mended.entries.push_back(e);
      }
    }
    if (hole.last <= last) {
      const bool has = !mended.entries.empty() &&
                       (hole.last_term == Term() ||
                        mended.entries.back().header.term == hole.last_term);
      if (has) return done(std::move(mended));
    } else if (hole.first <= last && !mended.entries.empty()) {
      return done(std::move(mended));
    }
    if (hole.last_term > Term() && hole.last_term < term && own <= term) {
      return done(Mended{.never_committed = true});
    }
    done(absl::UnavailableError("nobody has them"));
  });
}

// They have all of `log`, committed, and a leader of its last term.
void Help(std::vector<Entry> log, size_t at_once, WalRun* run) {
  run->SetMend([log = std::move(log), at_once](const LogHole& hole, Term,
                                               ResultFn<Mended> done) {
    CHECK_LE(hole.first, hole.last);
    Mended mended;
    const Entry* last = nullptr;  // theirs, where the hole ends
    for (const Entry& e : log) {
      if (e.header.index > hole.last) break;
      if (e.header.index == hole.last) last = &e;
      if (e.header.index < hole.first) continue;
      if (mended.entries.size() < at_once) mended.entries.push_back(e);
    }
    if (last != nullptr &&
        (hole.last_term == Term() || hole.last_term == last->header.term)) {
      // One that is before their log is for a checkpoint to bring.
      if (!mended.entries.empty() &&
          mended.entries[0].header.index == hole.first) {
        return done(std::move(mended));
      }
    } else if (!log.empty() && hole.last_term > Term() &&
               hole.last_term < log.back().header.term) {
      return done(Mended{.entries = {}, .never_committed = true});
    }
    done(absl::UnavailableError("nobody has them"));
  });
}

// --- What must come of it ---

void CheckReads(const std::vector<Entry>& expected, WalRun* run) {
  for (const Entry& e : expected) {
    absl::StatusOr<std::vector<Entry>> read = run->Read(e.header.index, 1);
    CheckOk(read.status());
    CHECK(SameEntries({read->front()}, {e}));
  }
}

// Appends, and expects all of it from another start, which asks nobody if
// nothing is damaged any more.
void UseFurther(bool damaged, size_t at_once, std::vector<Entry> log,
                WalRun* run) {
  const Term term = run->wal().hard_state().term;
  const size_t before = run->log().size();
  run->SetHardStateAndAppend({term + 1, ServerId(1)}, {0, 100});
  run->RunUntilIdle();
  CHECK(run->all_persisted());
  WalRun again(*run, Everything);
  if (damaged) {
    log.insert(log.end(), run->log().begin() + static_cast<ptrdiff_t>(before),
               run->log().end());
    Help(std::move(log), at_once, &again);
  }
  CheckOk(again.Open());
  CHECK(SameEntries(again.recovered(), run->log()));
  CHECK_EQ(again.wal().hard_state(), run->wal().hard_state());
}

// As a node does: a resume point only spares reading.
absl::Status OpenAsNode(WalRun* run, bool has_resume) {
  absl::Status opened = run->Open();
  if (absl::IsDataLoss(opened) && has_resume &&
      run->checkpoint().index > Index(0)) {
    run->SetResume({});
    opened = run->Reopen();
  }
  return opened;
}

void Run(ByteReader r) {
  const Head head(&r);
  WalRun run;
  LogWriter writer(head, &run);
  for (int i = 0; i < head.writes && !r.rest().empty(); ++i) {
    writer.Write(FuzzRecord(&r));
  }
  run.RunUntilIdle();
  CHECK(run.all_persisted());
  if (head.has_checkpoint()) writer.SetCheckpoint(head.checkpoint);

  WalRun after(run, Everything);
  bool has_resume = false;
  Index resumed;
  if (head.has_resume()) {
    const Index from = std::max(run.base().index, run.checkpoint().index);
    const Index at = Pick(run, from, head.resume);
    has_resume = at > run.checkpoint().index;
    if (has_resume) {
      after.SetResume(run.ResumeAt(at));
      resumed = at;
    }
  }
  // What the log has behind the checkpoint, and behind where the start begins.
  const std::vector<Entry> log =
      run.Behind({run.log(), run.wal().hard_state(), run.base()});
  Damage damage(head.marked(), &after.disk());
  std::vector<FuzzRecord> late;
  for (int i = 0; i < kDamageMax && !r.rest().empty(); ++i) {
    const FuzzRecord record(&r);
    if (!r.ok()) break;
    if (i < head.late) {
      late.push_back(record);
    } else {
      damage.Apply(record);
    }
  }
  if (head.marked()) {
    // With nobody to ask it has nothing else, and says what it lacks.
    WalRun part(after, Everything);
    if (part.OpenInPart().ok()) {
      uint64_t lost = 0;
      CHECK_EQ(part.WhyNotPartOf(run.log(), &lost), "");
    }
  }
  const Index intact_to =
      IntactTo(run.disk(), after.disk(), run.checkpoint().index);
  // What is committed may be all that they have.
  const Index theirs =
      head.was_left_behind()
          ? Pick(run, std::max({writer.committed(), run.base().index, resumed}),
                 head.at_once)
          : run.last().index;
  if (theirs < run.last().index) {
    HelpUpTo(theirs, run.wal().hard_state().term + 1, run.log(), &after);
  } else {
    Help(run.log(), head.at_once, &after);
  }
  const absl::Status opened = OpenAsNode(&after, has_resume);
  if (!opened.ok()) {
    CHECK(absl::IsDataLoss(opened) || absl::IsFailedPrecondition(opened));
    const bool helped = theirs == run.last().index && !damage.beyond_help();
    if (head.marked() && helped) CheckOk(opened);
    return;
  }
  const std::vector<Entry>& found = after.recovered();
  LogPoint point = after.base();
  for (const Entry& e : found) {
    CHECK(Continues(point, e.header));
    CHECK(writer.ever().contains(e.header.chain));
    point = PointAfter(e.header);
  }
  CHECK_LE(intact_to, point.index);
  if (theirs < run.last().index) {
    if (head.marked()) {
      // Of what nobody else has it may have lost some, but only from the end.
      CHECK_LE(theirs, point.index);
      CHECK_LE(point.index, run.last().index);
      CHECK(point == run.PointAt(point.index));
      CHECK_EQ(after.wal().hard_state(), run.wal().hard_state());
    }
    return UseFurther(false, head.at_once, {}, &after);
  }
  // A file that is gone may have been the one with the last mark's successor.
  if (!head.marked()) return UseFurther(false, head.at_once, {}, &after);
  std::vector<Entry> expected = log;
  std::erase_if(expected, [&](const Entry& e) {
    return e.header.index <= after.base().index;
  });
  CHECK(SameEntries(found, expected));
  CHECK_EQ(after.wal().hard_state(), run.wal().hard_state());
  for (const FuzzRecord& record : late) damage.Flip(record);
  CheckReads(log, &after);
  UseFurther(!late.empty(), head.at_once, run.log(), &after);
}

}  // namespace
}  // namespace holdfast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  holdfast::Run(holdfast::ByteReader(
      absl::string_view(reinterpret_cast<const char*>(data), size)));
  return 0;
}
