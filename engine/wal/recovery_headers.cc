// How a recovery finds out which segments were begun, and where each begins.

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/wal/recovery.h"

namespace holdfast {

bool IsAllZero(absl::string_view bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](char c) { return c == 0; });
}

absl::Status WalUnreadable(uint64_t segment, uint64_t end) {
  return absl::DataLossError(absl::StrCat(
      "file ", SegmentName(segment),
      ": the device refuses to read the block that ends at position ", end,
      ", and nothing tells what it held; nothing was changed. Copy what can be "
      "read to another device, or clear the directory and let the server join "
      "anew"));
}

void WalRecovery::ReadHeader(size_t i) {
  if (i == candidates_.size()) return JudgeHeaderless();
  disk_->Open(
      SegmentName(candidates_[i].id), OpenMode::kExisting,
      scope_.Wrap([this, i](absl::StatusOr<std::unique_ptr<File>> file) {
        if (!file.ok()) return Finish(file.status());
        candidates_[i].file = *std::move(file);
        candidates_[i].file->Read(
            0, kSegmentHeaderBytes, [this, i](absl::StatusOr<Buffer> block) {
              Candidate& c = candidates_[i];
              if (absl::IsDataLoss(block.status()) && TakesDamage()) {
                c.header = block.status();
                c.refused = true;
                return ReadHeader(i + 1);
              }
              absl::Status taken =
                  block.ok() ? TakeHeader(block->view(), &c) : block.status();
              if (!taken.ok()) return Finish(std::move(taken));
              ReadHeader(i + 1);
            });
      }));
}

absl::Status WalRecovery::TakeHeader(absl::string_view block,
                                     Candidate* c) const {
  c->header = DecodeSegmentHeader(block);
  if (c->header.ok() && c->header->id != c->id) {
    c->header = absl::DataLossError(
        absl::StrCat("the header names segment ", c->header->id));
  }
  if (absl::IsFailedPrecondition(c->header.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "file ", SegmentName(c->id), ": ", c->header.status().message()));
  }
  if (c->header.ok() && c->header->owner != owner_) {
    return absl::FailedPreconditionError(
        absl::StrCat("file ", SegmentName(c->id),
                     " belongs to another data directory; take it out"));
  }
  return absl::OkStatus();
}

void WalRecovery::ReadFile(const Candidate& c, ResultFn<PatchedBytes> done) {
  ResultFn<PatchedBytes> on_read = scope_.Wrap(std::move(done));
  if (TakesDamage()) return ReadAround(c.file, c.bytes, std::move(on_read));
  c.file->Read(
      0, c.bytes,
      [on_read = std::move(on_read)](absl::StatusOr<Buffer> bytes) mutable {
        if (!bytes.ok()) return on_read(bytes.status());
        on_read(PatchedBytes{*std::move(bytes)});
      });
}

void WalRecovery::JudgeHeaderless() {
  auto damaged = [](const Candidate& c) {
    return !c.is_void && !c.header.ok();
  };
  // The newest one first: where it begins tells of those before it.
  auto it = std::find_if(candidates_.rbegin(), candidates_.rend(), damaged);
  if (it == candidates_.rend()) return JudgeNewest();
  const bool newest =
      std::all_of(candidates_.rbegin(), it,
                  [](const Candidate& later) { return later.is_void; });
  if (!newest && !absl::IsNotFound(it->header.status()) && !TakesDamage()) {
    return SetAside(&*it, it->header.status().message());
  }
  ReadFile(*it, [this, it, newest](absl::StatusOr<PatchedBytes> file) {
    if (!file.ok()) return Finish(file.status());
    OnHeaderlessRead(&*it, newest, *file);
  });
}

void WalRecovery::OnHeaderlessRead(Candidate* c, bool newest,
                                   const PatchedBytes& file) {
  const absl::string_view bytes = file.bytes.view();
  // What the device refused it may give the next time.
  if (std::exchange(c->refused, false)) {
    const absl::Status taken =
        TakeHeader(bytes.substr(0, kSegmentHeaderBytes), c);
    if (!taken.ok()) return Finish(taken);
    if (c->header.ok()) return JudgeHeaderless();
  }
  FoundHeaders found;
  const bool marked =
      FindMarkedTo(bytes, kSegmentHeaderBytes, c->id, &found) > 0;
  const bool counts =
      marked ? !newest || !Covered(found.seen) : WasContinued(*c, bytes);
  if (counts && TakesDamage()) {
    c->before_first_frame = FindMarkedEnd(bytes, c->id, kSegmentHeaderBytes);
    if (std::optional<SegmentEnd> before = FindBeginning(bytes, c->id)) {
      Guess(c, before->index, before->term);
      return JudgeHeaderless();
    }
    return GuessBehindPrevious(c, static_cast<size_t>(c - candidates_.data()));
  }
  // Neither what the device refuses is torn, nor what nobody has marked yet.
  // But nothing counts without a header; nor what a checkpoint stands for, if a
  // frame behind the block tells that this is all.
  const bool begun =
      file.unreadable_from == 0 || !IsAllZero(bytes.substr(0, kBlockBytes));
  if (newest && file.unreadable_to > 0 && begun &&
      !(Covered(found.seen) &&
        FindMarkedEnd(bytes, c->id, file.unreadable_to).has_value())) {
    return Finish(WalUnreadable(c->id, file.unreadable_to));
  }
  if (newest && marked && !Covered(found.seen)) {
    return Finish(
        WalRot(c->id, 0,
               "the header is damaged or gone, though frames say that "
               "it was synced"));
  }
  if (newest && marked) {
    // It was begun, and the checkpoint stands for all of it: so for all before
    // it, which goes with it, and in no other order than any leftovers.
    Guess(c, base_.index);
    return JudgeHeaderless();
  }
  // Below a segment that was begun stand only those that were begun, too,
  // and spare ones that were too small.
  if (!newest && !IsAllZero(bytes)) {
    const bool gone = absl::IsNotFound(c->header.status());
    return SetAside(c,
                    gone ? "the header is gone" : c->header.status().message());
  }
  c->is_void = true;
  JudgeHeaderless();
}

// Whether a later segment was begun behind one of its entries, which was
// durable then, although no frame says so. (One that was perhaps never synced
// is replaced from its first entry on.)
bool WalRecovery::WasContinued(const Candidate& c,
                               absl::string_view bytes) const {
  std::optional<Index> last;
  for (const Candidate& later : candidates_) {
    if (later.id <= c.id || later.is_void || !later.header.ok()) continue;
    const Index before = later.header->previous.index;
    last = std::min(last.value_or(before), before);
  }
  if (!last.has_value()) return false;
  return FindFrameIf(bytes, c.id,
                     [&last](const FoundFrame& each) {
                       return each.header.kind == FrameKind::kEntry &&
                              each.header.index <= *last;
                     })
      .has_value();
}

// A process may die before its segment's header is synced, the next one take
// the header from the page cache and write the segment's entries anew, and
// then the power fail: what was never synced is torn, below a segment that was.
// If the others' entries join without it, nothing of it is needed; else the
// damage is rot.
void WalRecovery::SetAside(Candidate* c, absl::string_view what) {
  if (suspect_.ok()) suspect_ = WalRot(c->id, 0, what);
  c->is_void = true;
  JudgeHeaderless();
}

void WalRecovery::JudgeNewest() {
  auto it = std::find_if(candidates_.rbegin(), candidates_.rend(),
                         [](const Candidate& c) { return !c.is_void; });
  if (it == candidates_.rend()) return Arrange();
  ReadFile(*it, [this, it](absl::StatusOr<PatchedBytes> file) {
    if (!file.ok()) return Finish(file.status());
    SegmentScan scan = ScanSegment(file->bytes.view(), *it->header);
    if (scan.frames.empty() && scan.marked_to == 0) {
      if (file->unreadable_to > 0) {
        return Finish(WalUnreadable(it->id, file->unreadable_to));
      }
      // Of its beginning, which was one write, nothing but the header is
      // left. What it was to replace stands; and it shows how far the log had
      // come when it was begun.
      it->is_void = true;
      reached_ = {it->header->previous.index, it->header->previous.term};
      reached_by_ = it->id;
    }
    file->bytes = Buffer();
    Arrange();
  });
}

}  // namespace holdfast
