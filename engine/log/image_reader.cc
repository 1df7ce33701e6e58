#include "engine/log/image_reader.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace holdfast {
namespace {

constexpr size_t kReadBytes = 1 << 20;

}  // namespace

void ImageReader::Read(ResultFn<std::vector<ImageBatch>> done) {
  done_ = std::move(done);
  const size_t wanted = decoder_.complete() ? 1 : decoder_.wanted();
  file_->Read(
      decoder_.position(), std::max(wanted, kReadBytes),
      [this](absl::StatusOr<Buffer> bytes) { OnRead(std::move(bytes)); });
}

void ImageReader::OnRead(absl::StatusOr<Buffer> bytes) {
  ResultFn<std::vector<ImageBatch>> done = std::move(done_);
  if (!bytes.ok()) return done(bytes.status());
  std::vector<ImageBatch> batches;
  Buffer rest = *std::move(bytes);
  while (!decoder_.complete()) {
    const size_t wanted = decoder_.wanted();
    // The rest of it comes with the next read, unless the file ends.
    if (rest.size() < wanted &&
        decoder_.position() + rest.size() < file_->size()) {
      break;
    }
    const Buffer piece = rest.Slice(0, std::min(wanted, rest.size()));
    if (absl::Status s = decoder_.Take(piece); !s.ok()) return done(s);
    if (decoder_.batch().has_value()) batches.push_back(*decoder_.batch());
    rest = rest.SliceFrom(piece.size());
  }
  if (decoder_.complete() && file_->size() > decoder_.position()) {
    return done(absl::DataLossError(
        absl::StrCat("the image ends at byte ", decoder_.position(), ", but ",
                     file_->size() - decoder_.position(), " bytes follow it")));
  }
  if (batches.empty() && !decoder_.complete()) return Read(std::move(done));
  done(std::move(batches));
}

}  // namespace holdfast
