#include "engine/log/restore.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/entry_kind.h"
#include "engine/log/log_state.h"
#include "engine/log/recovered.h"
#include "engine/log/sessions.h"

namespace holdfast {
namespace {

constexpr Term kTerm(1);  // of all restored entries

}  // namespace

Restore::Restore(Loop* loop, Disk* image_disk, std::string image,
                 Disk* new_disk, NewClusterOptions options)
    : loop_(loop),
      image_disk_(image_disk),
      image_(std::move(image)),
      new_cluster_(loop, new_disk, std::move(options)),
      steps_(loop) {}

void Restore::Run(ResultFn<Result> done) {
  steps_.Begin(std::move(done));
  new_cluster_.Prepare(
      steps_.Then([this] { OpenImage([this] { Verify(); }); }));
}

void Restore::OpenImage(Task then) {
  image_disk_->Open(
      image_, OpenMode::kExisting,
      scope_.Wrap([this, then = std::move(then)](
                      absl::StatusOr<std::unique_ptr<File>> file) mutable {
        if (!file.ok()) return steps_.End(file.status());
        reader_ = std::make_unique<ImageReader>(*std::move(file));
        then();
      }));
}

void Restore::Verify() {
  reader_->Read([this](absl::StatusOr<std::vector<ImageBatch>> batches) {
    if (!batches.ok()) return steps_.End(batches.status());
    if (base_.index == Index(0)) {
      base_.index = Index(1);
      base_.term = kTerm;
      base_.next_offset = reader_->decoder().header().first_offset;
      if (!batches->empty()) {
        base_.next_offset = batches->front().base_offset;
        base_.log_time = batches->front().log_time;
      }
    }
    if (!batches->empty()) return Verify();
    verified_ = reader_->decoder().counts();
    // Later: this runs inside a callback of the reader's.
    loop_->Post(scope_.Wrap([this] { OpenImage([this] { Begin(); }); }));
  });
}

void Restore::Begin() {
  // As in each cluster, the chain begins with the cluster's id.
  base_.chain = new_cluster_.cluster().value();
  Checkpoint checkpoint;
  checkpoint.point = base_;
  checkpoint.configuration_index = base_.index;
  checkpoint.configuration =
      new_cluster_.EncodedConfiguration(kFeatureLevelMin);
  checkpoint.first_offset = base_.next_offset;
  checkpoint.state = Sessions().Encode();
  new_cluster_.Begin(std::move(checkpoint), kTerm,
                     steps_.Then([this] { Copy(); }));
}

void Restore::Copy() {
  reader_->Read([this](absl::StatusOr<std::vector<ImageBatch>> batches) {
    if (!batches.ok()) return steps_.End(batches.status());
    if (batches->empty()) return Finish();
    if (batches->front().base_offset != new_cluster_.last().next_offset) {
      return steps_.End(absl::AbortedError(
          "the image was changed while it was being restored"));
    }
    new_cluster_.Append(Entries(*batches), steps_.Then([this] { Copy(); }));
  });
}

std::vector<Entry> Restore::Entries(
    const std::vector<ImageBatch>& batches) const {
  std::vector<Entry> entries;
  LogPoint point = new_cluster_.last();
  for (const ImageBatch& b : batches) {
    // Its session is registered nowhere in this log.
    Buffer payload =
        b.batch.session() == SessionId()
            ? b.batch.bytes()
            : RestampBatch(b.batch.bytes(), SessionId(), Sequence());
    entries.push_back(SealEntry(point, kTerm, EntryKind::kBatch,
                                b.batch.record_count(), b.log_time,
                                std::move(payload)));
    point = PointAfter(entries.back().header);
  }
  return entries;
}

void Restore::Finish() {
  const ImageHeader& header = reader_->decoder().header();
  const ImageCounts& counts = reader_->decoder().counts();
  if (counts.records != verified_.records) {
    return steps_.End(absl::AbortedError(
        "the image was changed while it was being restored"));
  }
  Recovered from;
  from.origin = Recovered::Origin::kImage;
  from.cluster = header.cluster;
  from.next_offset = header.end_offset;
  auto finish = [this, from, name = header.cluster_name] {
    new_cluster_.Finish(from, kFeatureLevelMin, name, steps_.Then([this] {
      steps_.End(Result{reader_->decoder().header(), verified_,
                        new_cluster_.cluster()});
    }));
  };
  if (header.first_offset == base_.next_offset) return finish();
  // The first batch is there for what is behind its beginning.
  const LogPoint& last = new_cluster_.last();
  new_cluster_.Append(
      {SealEntry(last, kTerm, EntryKind::kTrim, 0, last.log_time,
                 EncodeTrim(header.first_offset))},
      steps_.Then(finish));
}

}  // namespace holdfast
