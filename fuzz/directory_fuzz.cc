// The data directory of a server that is a cluster alone
// (fuzz/lone_directory.h), some of whose files the input damages. Then a server
// starts on what is left, twice; or a new cluster is made of it, as by
// `recover`; or a backup is damaged instead, and restored. Nothing crashes,
// nobody waits for servers that aren't there, and no record is ever another one
// than was appended. Where docs/DISK_FORMAT.md says that other files make up
// for those that are damaged, all is there. Elsewhere it may refuse, naming
// what is wrong, or name records as lost, none but those that are damaged or
// stand right behind what is; the log ends behind all that something left tells
// of; and the next start comes to the same.
//
// The input: what is done, flags, then mutations of 8 bytes. A failure tells in
// words what was done; so does each input that is replayed.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/batch.h"
#include "engine/base/buffer.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/lost_records.h"
#include "engine/log/recover.h"
#include "engine/log/restore.h"
#include "engine/node/identity.h"
#include "engine/wal/hard_state_file.h"
#include "engine/wal/replaced_file.h"
#include "engine/wal/segment.h"
#include "engine/wal/testing/memory_disk.h"
#include "engine/wal/testing/wal_run.h"
#include "fuzz/lone_directory.h"
#include "fuzz/lone_layout.h"
#include "fuzz/lone_server.h"
#include "fuzz/record.h"
#include "fuzz/story.h"

namespace holdfast {
namespace {

constexpr int kMutationsMax = 6;

// --- Mutations ---

// A record's places are of 65,536 parts of what the file holds.
class Mutator {
 public:
  // `stages`: the files as they were, the last ones being those to mutate.
  Mutator(const std::vector<DiskFiles>& stages,
          const std::vector<std::string>& names)
      : stages_(stages), names_(names), files_(stages.back()) {}

  const DiskFiles& files() const { return files_; }

  void Apply(const FuzzRecord& m) {
    const std::string& name = names_[m.file % names_.size()];
    const std::string& source = names_[m.source % names_.size()];
    switch (m.kind % 12) {
      case 0:
      case 1:
        return Flip(name, m);
      case 2:
        return Zero(name, m.at, MemoryDisk::kSectorBytes);
      case 3:
        return Zero(name, m.at, kBlockBytes);
      case 4:
        return Misdirect(name, source, m, MemoryDisk::kSectorBytes);
      case 5:
        return Misdirect(name, source, m, kBlockBytes);
      case 6:
        return Cut(name, m.at);
      case 7:
        if (files_.erase(name) > 0) Note(absl::StrCat("removed ", name));
        return;
      case 8:
        return Exchange(name, source);
      case 9:
        return PutBack(name, m.value);
      case 10:
        return PutBackSector(name, m);
      default:
        return LeaveUnfinished(name, source);
    }
  }

 private:
  static void Note(std::string what) { AddToStory(std::move(what)); }

  // Null: it is gone, or has no byte.
  std::string* Find(const std::string& name) {
    const auto it = files_.find(name);
    return it == files_.end() || it->second.empty() ? nullptr : &it->second;
  }
  static size_t Place(uint16_t at, const std::string& bytes) {
    const size_t held = bytes.find_last_not_of('\0') + 1;
    return at * (held > 0 ? held : bytes.size()) / 65536;
  }
  // Puts `piece` there, as far as the file goes.
  static size_t Put(absl::string_view piece, size_t at, std::string* bytes) {
    const size_t n = std::min(piece.size(), bytes->size() - at);
    bytes->replace(at, n, piece.data(), n);
    return n;
  }

  void Flip(const std::string& name, const FuzzRecord& m) {
    std::string* const bytes = Find(name);
    if (bytes == nullptr) return;
    const size_t at = Place(m.at, *bytes);
    (*bytes)[at] = static_cast<char>((*bytes)[at] ^ (1 << m.value % 8));
    Note(absl::StrCat("flipped bit ", m.value % 8, " of byte ", at, " of ",
                      name));
  }

  void Zero(const std::string& name, uint16_t place, size_t block) {
    std::string* const bytes = Find(name);
    if (bytes == nullptr) return;
    const size_t at = Place(place, *bytes) / block * block;
    const size_t n = Put(std::string(block, '\0'), at, bytes);
    Note(absl::StrCat("zeroed ", n, " bytes of ", name, " from ", at, " on"));
  }

  void Misdirect(const std::string& name, const std::string& source,
                 const FuzzRecord& m, size_t block) {
    std::string* const bytes = Find(name);
    const std::string* const from = Find(source);
    if (bytes == nullptr || from == nullptr) return;
    const size_t at = Place(m.at, *bytes) / block * block;
    const size_t from_at = Place(m.source_at, *from) / block * block;
    const size_t n = Put(from->substr(from_at, block), at, bytes);
    Note(absl::StrCat("wrote ", n, " bytes of ", source, " from ", from_at,
                      " on into ", name, " at ", at));
  }

  void Cut(const std::string& name, uint16_t place) {
    std::string* const bytes = Find(name);
    if (bytes == nullptr) return;
    bytes->resize(Place(place, *bytes));
    Note(absl::StrCat("cut ", name, " to ", bytes->size(), " bytes"));
  }

  void Exchange(const std::string& a, const std::string& b) {
    if (a == b || Find(a) == nullptr || Find(b) == nullptr) return;
    std::swap(*Find(a), *Find(b));
    Note(absl::StrCat("exchanged ", a, " and ", b));
  }

  // What there was of it at the end of an earlier life.
  void PutBack(const std::string& name, uint8_t value) {
    const size_t stage = value % (stages_.size() - 1);
    const auto then = stages_[stage].find(name);
    if (then == stages_[stage].end()) {
      if (files_.erase(name) == 0) return;
      return Note(absl::StrCat("removed ", name, ", as after life ", stage));
    }
    files_[name] = then->second;
    Note(absl::StrCat("put back ", name, " as after life ", stage));
  }

  // As if the device had lost a write.
  void PutBackSector(const std::string& name, const FuzzRecord& m) {
    std::string* const bytes = Find(name);
    const size_t stage = m.value % (stages_.size() - 1);
    const auto then = stages_[stage].find(name);
    if (bytes == nullptr || then == stages_[stage].end()) return;
    constexpr size_t kBytes = MemoryDisk::kSectorBytes;
    const size_t at = Place(m.at, *bytes) / kBytes * kBytes;
    if (at >= then->second.size()) return;
    const size_t n = Put(then->second.substr(at, kBytes), at, bytes);
    Note(absl::StrCat("put back ", n, " bytes of ", name, " from ", at,
                      " on as after life ", stage));
  }

  // Of any content: nothing reads it.
  void LeaveUnfinished(const std::string& name, const std::string& source) {
    std::string beside = absl::StrCat(name, ReplacedFile::kNewSuffix);
    if (absl::EndsWith(name, ".checkpoint")) beside = "checkpoint.new";
    if (absl::EndsWith(name, ".resume")) beside = "resume.new";
    const std::string* const from = Find(source);
    files_[beside] = from == nullptr ? std::string() : *from;
    Note(absl::StrCat("left an unfinished ", beside, ", with the bytes of ",
                      source));
  }

  const std::vector<DiskFiles>& stages_;
  const std::vector<std::string>& names_;
  DiskFiles files_;
};

// --- What docs/DISK_FORMAT.md promises of what is left ---

// A segment with entries.
bool IsLog(const std::string& name) {
  return ParseSegmentName(name).has_value() &&
         name != TheLoneDirectory().spare();
}

bool IsIntact(const DiskFiles& files, const std::string& name) {
  const auto it = files.find(name);
  if (it == files.end()) return false;
  const std::string& was = TheLoneDirectory().files().at(name);
  return IsLog(name) ? HeldBy(it->second) == HeldBy(was) : it->second == was;
}

enum class Promise {
  // Everything is there, and is served.
  kAll,
  // The damage shows, and nobody can help: it may refuse, or says which records
  // are lost.
  kNothingUnsaid,
  // The log may end earlier, behind all that something left tells of.
  kNothingWrong,
};

// By the tables of the files ("rot"), and that of "Damage, and what is done
// about it": either of `identity` and its copy will do, and either copy of the
// hard state; nothing is lost with the checkpoint before the newest one, resume
// points, waypoints, `peers`, `reserve`, the spare segment, which is void, and
// files that were never finished. All else shows when it is damaged, as long as
// the newest segment has its last mark: by "What isn't detected", without it
// what stands there is taken for a torn tail, and a newest segment that is gone
// for one that was never begun.
Promise PromiseOf(const DiskFiles& files) {
  const LoneDirectory& built = TheLoneDirectory();
  const auto it = files.find(built.segment());
  const absl::string_view was = HeldBy(built.files().at(built.segment()));
  // The block that its last mark begins.
  const size_t mark = (was.size() - 1) / kBlockBytes * kBlockBytes;
  if (it == files.end() || it->second.size() < was.size() ||
      absl::string_view(it->second).substr(mark, was.size() - mark) !=
          was.substr(mark)) {
    return Promise::kNothingWrong;
  }
  bool enough = IsIntact(files, built.checkpoint());
  enough &= IsIntact(files, IdentityFile::kName) ||
            IsIntact(files, IdentityFile::kCopyName);
  enough &= IsIntact(files, HardStateCopyName(0)) ||
            IsIntact(files, HardStateCopyName(1));
  for (const std::string& name : built.names) {
    if (IsLog(name) && !IsIntact(files, name)) enough = false;
  }
  return enough ? Promise::kAll : Promise::kNothingUnsaid;
}

const LoneLayout& TheLoneLayout() {
  static const LoneLayout* const kLayout = new LoneLayout();
  return *kLayout;
}

// --- What must come of it ---

// It names the file, an entry, or what is missing as a whole.
void CheckRefusal(const absl::Status& status, Promise promise) {
  if (promise == Promise::kAll) {
    Broke(absl::StrCat("refused, though what is left is enough: ",
                       status.ToString()));
  }
  if (!absl::IsDataLoss(status) && !absl::IsFailedPrecondition(status)) {
    Broke(absl::StrCat("refused with another code: ", status.ToString()));
  }
  for (absl::string_view named : {"file ", "files ", "hardstate-", "entry ",
                                  "entries ", "log is gone", "the log isn't"}) {
    if (absl::StrContains(status.message(), named)) return;
  }
  Broke(absl::StrCat("refused without naming what is wrong: ",
                     status.ToString()));
}

// Whatever was damaged, what is read is what was appended.
void CheckRecords(const FoundRecords& found) {
  const LoneDirectory& built = TheLoneDirectory();
  if (found.first > built.first) {
    Broke(absl::StrCat("the log begins at offset ", found.first.value(),
                       ", though only those before ", built.first.value(),
                       " were trimmed"));
  }
  if (found.end() > built.end()) {
    Broke(absl::StrCat("the log ends at offset ", found.end().value(),
                       ", but only ", built.end().value(),
                       " records were appended"));
  }
  for (Offset at = found.first; at < found.end(); ++at) {
    const std::optional<std::string>& record = found.records[at - found.first];
    if (record.has_value() && *record != built.records[at.value()]) {
      Broke(absl::StrCat("record ", at.value(), " is another one: ", *record));
    }
  }
}

void CheckReaches(const FoundRecords& found, Offset end) {
  if (found.end() >= end) return;
  Broke(absl::StrCat("the log ends at offset ", found.end().value(),
                     " without a word, though what is left shows that records "
                     "up to ",
                     end.value(), " were committed"));
}

void CheckWhole(const FoundRecords& found, Offset first, Offset end) {
  CheckReaches(found, end);
  if (found.first != first) {
    Broke(absl::StrCat("the log begins at offset ", found.first.value(),
                       " instead of ", first.value()));
  }
  for (Offset at = first; at < end; ++at) {
    if (!found.records[at - first].has_value()) {
      Broke(absl::StrCat("record ", at.value(),
                         " is said to be lost, though it isn't damaged"));
    }
  }
}

// "All others are read": what is said to be lost is damaged, or stands right
// behind what is.
void CheckLost(const FoundRecords& found, const DiskFiles& files) {
  for (Offset at = found.first; at < found.end(); ++at) {
    if (found.records[at - found.first].has_value()) continue;
    if (TheLoneLayout().MayBeLost(files, at)) continue;
    Broke(absl::StrCat("record ", at.value(),
                       " is said to be lost, though neither it nor what stands "
                       "before it is damaged"));
  }
}

// A start that was refused leaves what is intact of the log, for `recover` at
// least.
void CheckUntouched(const DiskFiles& before, const DiskFiles& after) {
  for (const std::string& name : TheLoneDirectory().names) {
    const bool counts = IsLog(name) || absl::EndsWith(name, ".checkpoint") ||
                        absl::EndsWith(name, ".resume");
    if (counts && IsIntact(before, name) && !IsIntact(after, name)) {
      Broke(absl::StrCat("a start that was refused has changed ", name));
    }
  }
}

struct Outcome {
  absl::Status status;  // OK: it serves
  FoundRecords found;
  ClusterId cluster;
};

Outcome StartOn(LoneWorld* world, MemoryDisk* disk, bool scrubs, bool append) {
  LoneServer server(world, disk, scrubs);
  Outcome outcome;
  outcome.status = server.Start();
  if (!outcome.status.ok()) return outcome;
  outcome.found = server.ReadAll();
  outcome.cluster = server.log().node().identity().cluster_id;
  if (append) {
    BatchBuilder batch;
    CHECK(batch.Add("one more").ok());
    std::vector<Buffer> batches;
    batches.push_back(batch.Finish());
    if (server.Append(std::move(batches)) != outcome.found.end()) {
      Broke("a record's place isn't the log's end");
    }
  }
  return outcome;
}

void CheckServed(const Outcome& outcome, const DiskFiles& files,
                 Promise promise) {
  const LoneDirectory& built = TheLoneDirectory();
  if (outcome.cluster != built.cluster) Broke("it formed another cluster");
  CheckRecords(outcome.found);
  CheckLost(outcome.found, files);
  switch (promise) {
    case Promise::kAll:
      return CheckWhole(outcome.found, built.first, built.end());
    case Promise::kNothingUnsaid:
      return CheckReaches(outcome.found, built.end());
    case Promise::kNothingWrong:
      // What is damaged at the log's end takes its entries with it, but for
      // those of which something else tells.
      return CheckReaches(outcome.found, TheLoneLayout().ShownEnd(files));
  }
}

bool NothingUnsynced(size_t, size_t) { return false; }

// --- What is done with what is left ---

struct Head {
  explicit Head(ByteReader* r)
      : mode(r->Int<uint8_t>()), flags(r->Int<uint8_t>()) {}

  bool recovers() const { return mode % 4 == 2; }
  bool restores() const { return mode % 4 == 3; }
  bool scrubs() const { return (flags & 1) != 0; }
  // Between the two starts; else only the process ends.
  bool power_fails() const { return (flags & 2) != 0; }

  uint8_t mode;
  uint8_t flags;
};

void TryStart(const Head& head, const DiskFiles& files) {
  const Promise promise = PromiseOf(files);
  LoneWorld world;
  // No start draws what an earlier one has drawn.
  world.starts = TheLoneDirectory().stages.size();
  std::unique_ptr<MemoryDisk> disk = DiskOf(files, &world);
  const Outcome outcome =
      StartOn(&world, disk.get(), head.scrubs(), /*append=*/false);
  if (!outcome.status.ok()) {
    CheckRefusal(outcome.status, promise);
    CheckUntouched(files, FilesOf(*disk));
  } else {
    CheckServed(outcome, files, promise);
  }
  disk = head.power_fails() ? disk->AfterCrash(&world.loop, NothingUnsynced)
                            : disk->AfterProcessDeath(&world.loop);
  const Outcome again =
      StartOn(&world, disk.get(), head.scrubs(), /*append=*/true);
  if (again.status.code() != outcome.status.code()) {
    Broke(absl::StrCat("the first start came to ", outcome.status.ToString(),
                       ", the second one to ", again.status.ToString()));
  }
  if (again.found != outcome.found) {
    Broke(absl::StrCat("the first start has records ",
                       outcome.found.first.value(), " to ",
                       outcome.found.end().value(), ", the second one ",
                       again.found.first.value(), " to ",
                       again.found.end().value(), ", or others are lost"));
  }
}

NewClusterOptions NewOptions() {
  return NewClusterOptions{.id = LoneServer::kId,
                           .advertise = LoneServer::kAddress,
                           .cluster_name = {},
                           .seed = 9,
                           .wal = SmallWalOptions()};
}

// All of it is durable once that was said, and a server takes it as it is.
FoundRecords StartNew(LoneWorld* world, const MemoryDisk& made) {
  const std::unique_ptr<MemoryDisk> disk =
      made.AfterCrash(&world->loop, NothingUnsynced);
  Outcome outcome =
      StartOn(world, disk.get(), /*scrubs=*/false, /*append=*/true);
  if (!outcome.status.ok()) {
    Broke(absl::StrCat("what was made of it doesn't start: ",
                       outcome.status.ToString()));
  }
  return std::move(outcome.found);
}

void TryRecover(const DiskFiles& files) {
  const LoneDirectory& built = TheLoneDirectory();
  const Promise promise = PromiseOf(files);
  LoneWorld world;
  const std::unique_ptr<MemoryDisk> disk = DiskOf(files, &world);
  MemoryDisk made(&world.loop);
  std::optional<absl::StatusOr<Recover::Result>> result;
  {
    Recover recover(&world.loop, disk.get(), &made, NewOptions());
    recover.Run(
        [&](absl::StatusOr<Recover::Result> r) { result = std::move(r); });
    if (!Await(&world, result)) Broke("recover doesn't end");
  }
  if (FilesOf(*disk) != files) Broke("recover changed what it only reads");
  if (!result->ok()) return CheckRefusal(result->status(), promise);
  const Recover::Result& recovered = **result;
  const FoundRecords found = StartNew(&world, made);
  CheckRecords(found);
  if (promise == Promise::kNothingWrong) return;
  if (promise == Promise::kAll) {
    return CheckWhole(found, built.first, built.end());
  }
  if (recovered.reached <= recovered.from.last_index) {
    CheckReaches(found, built.end());
  }
  for (Offset at = found.first; at < found.end(); ++at) {
    const bool said = std::any_of(
        recovered.lost.begin(), recovered.lost.end(),
        [at](const LostRecords& l) { return l.first <= at && at < l.end; });
    if (!said && !found.records[at - found.first].has_value()) {
      Broke(absl::StrCat("recover has lost record ", at.value(),
                         " without a word"));
    }
  }
}

void TryRestore(const DiskFiles& files) {
  const LoneDirectory& built = TheLoneDirectory();
  const auto bytes = files.find(LoneDirectory::kImage);
  const auto image =
      std::find_if(built.images.begin(), built.images.end(),
                   [&](const LoneDirectory::Image& each) {
                     return bytes != files.end() && bytes->second == each.bytes;
                   });
  LoneWorld world;
  const std::unique_ptr<MemoryDisk> disk = DiskOf(files, &world);
  MemoryDisk made(&world.loop);
  std::optional<absl::StatusOr<Restore::Result>> result;
  {
    Restore restore(&world.loop, disk.get(), LoneDirectory::kImage, &made,
                    NewOptions());
    restore.Run(
        [&](absl::StatusOr<Restore::Result> r) { result = std::move(r); });
    if (!Await(&world, result)) Broke("restore doesn't end");
  }
  const absl::Status& status = result->status();
  if (image != built.images.end()) {
    if (!status.ok()) {
      Broke(absl::StrCat("an intact backup is refused: ", status.ToString()));
    }
    const FoundRecords found = StartNew(&world, made);
    CheckRecords(found);
    return CheckWhole(found, image->first, image->end);
  }
  if (status.ok()) Broke("a damaged backup is restored");
  if (!made.Names().empty()) Broke("of a damaged backup something is written");
  const bool gone = bytes == files.end();
  if (gone
          ? !absl::IsNotFound(status)
          : !(absl::IsDataLoss(status) || absl::IsFailedPrecondition(status)) ||
                !absl::StrContains(status.message(), " byte ")) {
    Broke(absl::StrCat("a damaged backup is refused without saying where: ",
                       status.ToString()));
  }
}

bool& TellsEach() {
  static bool tells = false;
  return tells;
}

void Run(ByteReader r) {
  const LoneDirectory& built = TheLoneDirectory();
  const Head head(&r);
  BeginStory();
  AddToStory(head.restores()      ? "restore"
             : head.recovers()    ? "recover"
             : head.power_fails() ? "start, power failure, start"
                                  : "start, kill, start");
  if (head.scrubs()) AddToStory("the servers scrub");
  Mutator mutator(head.restores() ? built.image_stages : built.stages,
                  head.restores() ? built.image_names : built.names);
  for (int i = 0; i < kMutationsMax && !r.rest().empty(); ++i) {
    const FuzzRecord mutation(&r);
    if (!r.ok()) break;
    mutator.Apply(mutation);
  }
  if (TellsEach()) TellStory();
  if (head.restores()) return TryRestore(mutator.files());
  if (head.recovers()) return TryRecover(mutator.files());
  TryStart(head, mutator.files());
}

}  // namespace
}  // namespace holdfast

// Inputs that are named one by one are replayed: for each it is said what it
// does, as it may kill the process where nobody here is asked.
extern "C" int LLVMFuzzerInitialize(int* argc, char*** argv) {
  for (int i = 1; i < *argc; ++i) {
    std::error_code error;
    if (std::filesystem::is_regular_file((*argv)[i], error)) {
      holdfast::TellsEach() = true;
    }
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  holdfast::Run(holdfast::ByteReader(
      absl::string_view(reinterpret_cast<const char*>(data), size)));
  return 0;
}
