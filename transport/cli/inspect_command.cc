// What is in a stopped server's data directory; nothing is changed.

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "engine/base/crc32c.h"
#include "engine/log/recovered.h"
#include "engine/node/identity.h"
#include "engine/node/peer_boots.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/entry.h"
#include "engine/wal/hard_state_file.h"
#include "engine/wal/log_map.h"
#include "engine/wal/segment.h"
#include "transport/cli/command.h"
#include "transport/owned_fd.h"

namespace holdfast {
namespace {

class Inspector {
 public:
  // `verify`: prints only damage, and the verdict.
  Inspector(std::string directory, bool verify)
      : directory_(std::move(directory)), verify_(verify) {}

  int Run() {
    std::error_code error;
    std::vector<std::string> names;
    for (const auto& file :
         std::filesystem::directory_iterator(directory_, error)) {
      names.push_back(file.path().filename().string());
    }
    if (error) {
      return Fail(kExitFailed, absl::StrCat("can't read the directory ",
                                            directory_, ": ", error.message()));
    }
    OwnedFd lock(
        open(absl::StrCat(directory_, "/LOCK").c_str(), O_RDONLY | O_CLOEXEC));
    if (lock.get() >= 0 && flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
      return Fail(kExitFailed, absl::StrCat("a server runs on ", directory_,
                                            ": stop it first"));
    }
    std::sort(names.begin(), names.end());
    for (const std::string& name : names) Inspect(name);
    CheckWhole();
    std::printf("%s\n", damaged_ == 0
                            ? "no damage found"
                            : absl::StrCat(damaged_, " damaged").c_str());
    return damaged_ == 0 ? kExitDone : kExitFailed;
  }

 private:
  struct Segment {
    std::string name;
    SegmentHeader header;
    std::vector<LogPoint> points;  // behind its entries
    bool damaged = false;          // and said so
  };

  void Print(const std::string& line) const {
    if (!verify_) std::printf("%s\n", line.c_str());
  }
  void Damage(const std::string& name, const std::string& what) {
    ++damaged_;
    std::printf("%s: DAMAGED: %s\n", name.c_str(), what.c_str());
  }

  void Inspect(const std::string& name) {
    const std::optional<Index> checkpoint = CheckpointIndex(name);
    if (IdentityFile::IsName(name)) {
      InspectIdentity(name, Read(name));
    } else if (name == "peers") {
      InspectPeers(name, Read(name));
    } else if (name == HardStateCopyName(0) || name == HardStateCopyName(1)) {
      InspectHardState(name, Read(name));
    } else if (checkpoint.has_value()) {
      InspectCheckpoint(name, *checkpoint, Read(name));
    } else if (ParseSegmentName(name).has_value()) {
      InspectSegment(name, Read(name));
    }
  }

  static std::optional<Index> CheckpointIndex(const std::string& name) {
    for (CheckpointKind kind : {CheckpointKind::kBase, CheckpointKind::kResume,
                                CheckpointKind::kWaypoint}) {
      if (const auto index = ParseCheckpointName(kind, name)) return index;
    }
    return std::nullopt;
  }

  // All of the file; zeroes where the device refuses to read it, which is said.
  std::string Read(const std::string& name) {
    const OwnedFd file(open(absl::StrCat(directory_, "/", name).c_str(),
                            O_RDONLY | O_CLOEXEC));
    struct stat info;
    if (file.get() < 0 || fstat(file.get(), &info) != 0) {
      Damage(name, absl::StrCat("can't be opened: ", strerror(errno)));
      return "";
    }
    std::string bytes(static_cast<size_t>(info.st_size), '\0');
    size_t at = 0;
    bool refused = false;
    while (at < bytes.size()) {
      // By blocks once it has refused one.
      const size_t n = refused ? std::min(bytes.size() - at, kBlockBytes)
                               : bytes.size() - at;
      const ssize_t got =
          pread(file.get(), &bytes[at], n, static_cast<off_t>(at));
      if (got < 0 && errno == EINTR) continue;
      if (got == 0) break;
      if (got > 0) {
        at += static_cast<size_t>(got);
        continue;
      }
      if (n <= kBlockBytes) {
        Damage(name, absl::StrCat("position ", at,
                                  ": can't be read: ", strerror(errno)));
        at += n;
      }
      refused = true;
    }
    return bytes;
  }

  void InspectIdentity(const std::string& name, const std::string& bytes) {
    identities_.insert(name);
    absl::StatusOr<Identity> identity = DecodeIdentity(bytes);
    if (!identity.ok()) {
      return Damage(name, std::string(identity.status().message()));
    }
    if (incarnation_.has_value() && identity->incarnation != *incarnation_) {
      return Damage(name, "of another data directory than its copy");
    }
    incarnation_ = identity->incarnation;
    Print(absl::StrCat(
        name, ": server ", identity->id.value(), " of cluster \"",
        identity->cluster_name, "\" (",
        absl::Hex(identity->cluster_id.value(), absl::kZeroPad16),
        "), incarnation ",
        absl::Hex(identity->incarnation.value(), absl::kZeroPad16), ", ",
        identity->boot_count, " starts",
        identity->retired ? "; retired, never to serve again" : ""));
  }

  void InspectPeers(const std::string& name, const std::string& bytes) {
    absl::StatusOr<PeerBoots::Boots> boots = PeerBoots::Decode(bytes);
    if (!boots.ok()) return Damage(name, std::string(boots.status().message()));
    for (const auto& [id, boot] : *boots) {
      Print(absl::StrCat(name, ": server ", id.value(), ", incarnation ",
                         absl::Hex(boot.incarnation.value(), absl::kZeroPad16),
                         ", heard of in its start ", boot.count));
    }
  }

  void InspectHardState(const std::string& name, const std::string& bytes) {
    hard_states_.insert(name);
    absl::StatusOr<HardStateCopy> copy = DecodeHardStateCopy(bytes);
    if (!copy.ok()) return Damage(name, std::string(copy.status().message()));
    owners_[name] = copy->owner;
    term_ = std::max(term_.value_or(copy->state.term), copy->state.term);
    Print(absl::StrCat(name, ": term ", copy->state.term.value(), ", vote ",
                       copy->state.vote.value(), ", written ", copy->sequence,
                       " times"));
  }

  void InspectCheckpoint(const std::string& name, Index index,
                         const std::string& bytes) {
    absl::StatusOr<Checkpoint> checkpoint =
        DecodeCheckpoint(Buffer::Copy(bytes));
    if (!checkpoint.ok()) {
      return Damage(name, std::string(checkpoint.status().message()));
    }
    if (absl::StatusOr<LogMap> map = DecodeLogMap(checkpoint->map.view());
        !checkpoint->map.empty() && !map.ok()) {
      return Damage(name, std::string(map.status().message()));
    }
    const LogPoint& point = checkpoint->point;
    if (point.index != index) {
      return Damage(name,
                    absl::StrCat("it is of entry ", point.index.value(),
                                 ", the file's name says ", index.value()));
    }
    owners_[name] = checkpoint->owner;
    if (ParseCheckpointName(CheckpointKind::kBase, name).has_value()) {
      base_ = std::max(base_, point.index);
    }
    Print(absl::StrCat(name, ": up to entry ", point.index.value(), " of term ",
                       point.term.value(), ", next offset ",
                       point.next_offset.value(), ", trimmed to ",
                       checkpoint->first_offset.value(), ", ", bytes.size(),
                       " bytes"));
  }

  void InspectSegment(const std::string& name, const std::string& bytes) {
    absl::StatusOr<SegmentHeader> header =
        DecodeSegmentHeader(absl::string_view(bytes).substr(
            0, std::min(bytes.size(), kSegmentHeaderBytes)));
    const uint64_t id = *ParseSegmentName(name);
    if (absl::IsNotFound(header.status())) {
      // Only a beginning that was cut short leaves frames, and none of them
      // says that any was synced.
      if (FindMarkedTo(bytes, kSegmentHeaderBytes, id) > 0) {
        return Damage(name, "the segment's header is gone");
      }
      return Print(absl::StrCat(name, ": spare, ", bytes.size(), " bytes"));
    }
    if (!header.ok()) {
      return Damage(name, std::string(header.status().message()));
    }
    if (header->id != id) {
      return Damage(name, absl::StrCat("the header is segment ", header->id,
                                       "'s, the file's name says ", id));
    }
    owners_[name] = header->owner;
    const SegmentScan scan = ScanSegment(bytes, *header);
    Segment& segment = segments_.emplace_back(Segment{name, *header});
    LogPoint last = header->previous;
    uint64_t records = 0;
    for (const FoundFrame& frame : scan.frames) {
      if (frame.header.kind != FrameKind::kEntry) continue;
      absl::StatusOr<Entry> entry =
          DecodeEntry(Buffer::Copy(absl::string_view(bytes).substr(
              frame.position + kLogFrameHeaderBytes, frame.header.body_size)));
      if (!entry.ok() || !Continues(last, entry->header) ||
          Crc32c(entry->payload.view()) != entry->header.payload_crc) {
        segment.damaged = true;
        return Damage(name,
                      absl::StrCat("position ", frame.position, ": entry ",
                                   last.index.value() + 1, " isn't intact"));
      }
      if (entry->header.kind == EntryKind::kRecovered) InspectOrigin(*entry);
      if (entry->header.kind == EntryKind::kLost) InspectLost(*entry);
      last = PointAfter(entry->header);
      segment.points.push_back(last);
      records += entry->header.count;
    }
    Print(absl::StrCat(name, ": entries ", header->first_index().value(),
                       " to ", last.index.value(), ", terms ",
                       header->previous.term.value(), " to ", last.term.value(),
                       ", ", records, " records from offset ",
                       header->previous.next_offset.value(), " on, ", scan.end,
                       " of ", bytes.size(), " bytes used"));
    if (scan.end < scan.marked_to) {
      segment.damaged = true;
      Damage(name, absl::StrCat("position ", scan.end, ": all up to ",
                                scan.marked_to, " was synced"));
    }
  }

  // What no file tells by itself: whether all are there, and belong together.
  void CheckWhole() {
    if (segments_.empty() && base_ == Index()) return;
    if (!incarnation_.has_value()) {
      Damage(IdentityFile::kName, "missing, and so is its copy");
    }
    // As after a release that knew of no copy, or a restore that was ended
    // between the two.
    for (const char* name : {IdentityFile::kName, IdentityFile::kCopyName}) {
      if (identities_.contains(name)) continue;
      Print(absl::StrCat(name, ": missing; the next start writes it"));
    }
    for (size_t which : {0, 1}) {
      const std::string name = HardStateCopyName(which);
      if (!hard_states_.contains(name)) Damage(name, "missing");
    }
    for (const auto& [name, owner] : owners_) {
      if (incarnation_.has_value() && owner != *incarnation_) {
        Damage(name, "belongs to another data directory");
      }
    }
    // As a start takes them (docs/DISK_FORMAT.md): each segment replaces what
    // stands in earlier ones from its first entry on.
    std::vector<LogPoint> log;
    bool known = true;  // what the log is at its end
    for (const Segment& segment : segments_) {
      const LogPoint& previous = segment.header.previous;
      while (!log.empty() && log.back().index > previous.index) log.pop_back();
      const bool follows = !log.empty() && log.back() == previous;
      if (!follows && previous.index > base_ && known) {
        Damage(
            segment.name,
            log.empty()
                ? absl::StrCat("begins behind entry ", previous.index.value(),
                               ", and no checkpoint stands for that and "
                               "those before it")
                : absl::StrCat("begins behind entry ", previous.index.value(),
                               ", but what stands before it ends at ",
                               log.back().index.value(),
                               ": a segment is missing"));
      }
      if (!follows) log.assign(1, previous);
      log.insert(log.end(), segment.points.begin(), segment.points.end());
      known = !segment.damaged;
    }
    if (known && !log.empty() && term_.has_value() &&
        log.back().term > *term_) {
      Damage(HardStateCopyName(0),
             absl::StrCat("it and its copy are of term ", term_->value(),
                          " at most, but the log has an entry of term ",
                          log.back().term.value(), ": they are old copies"));
    }
  }

  void InspectLost(const Entry& entry) {
    const EntryHeader& h = entry.header;
    if (h.count == 0) return;
    Print(absl::StrCat("entry ", h.index.value(), ": the records from offset ",
                       h.base_offset.value(), " to ",
                       h.base_offset.value() + h.count,
                       " (exclusive) were lost before a recovery"));
  }

  void InspectOrigin(const Entry& entry) {
    absl::StatusOr<Recovered> from = DecodeRecovered(entry.payload.view());
    if (!from.ok()) return Print(std::string(from.status().message()));
    Print(absl::StrCat(
        "entry ", entry.header.index.value(), ": the records before offset ",
        entry.header.base_offset.value(), " come from ", Describe(*from)));
  }

  const std::string directory_;
  const bool verify_;
  int damaged_ = 0;
  std::optional<Incarnation> incarnation_;
  std::set<std::string> identities_;
  std::set<std::string> hard_states_;
  std::map<std::string, Incarnation> owners_;  // by file
  std::optional<Term> term_;                   // of the hard state
  Index base_;                     // of the newest checkpoint that is whole
  std::vector<Segment> segments_;  // by id, with a header
};

int RunInspect(const Args& args) {
  if (absl::Status s = args.Require({"data-dir"}); !s.ok()) return FailWith(s);
  return Inspector(args.Text("data-dir"), args.Has("verify")).Run();
}

}  // namespace

Command InspectCommand() {
  return {"inspect",
          "shows what is in a stopped server's directory, and checks it",
          {{"data-dir", "DIR", "the server's directory"},
           {"verify", nullptr, "print only what is damaged"}},
          RunInspect};
}

}  // namespace holdfast
