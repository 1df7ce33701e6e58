#ifndef HOLDFAST_ENGINE_LOG_IMAGE_READER_H_
#define HOLDFAST_ENGINE_LOG_IMAGE_READER_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "engine/base/buffer.h"
#include "engine/base/image.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"

namespace holdfast {

// Reads an image from a file, stretch by stretch. Destroying it drops its
// completion.
class ImageReader {
 public:
  explicit ImageReader(std::unique_ptr<File> file) : file_(std::move(file)) {}

  // The next batches, about a MiB of them, checked; none once all of the image
  // was read, and nothing follows it in the file. Errors as ImageDecoder's.
  // One at a time; `done` must not destroy this object.
  void Read(ResultFn<std::vector<ImageBatch>> done);

  // After the first Read.
  const ImageDecoder& decoder() const { return decoder_; }

 private:
  void OnRead(absl::StatusOr<Buffer> bytes);

  const std::unique_ptr<File> file_;
  ImageDecoder decoder_;
  ResultFn<std::vector<ImageBatch>> done_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_IMAGE_READER_H_
