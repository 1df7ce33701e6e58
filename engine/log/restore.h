#ifndef HOLDFAST_ENGINE_LOG_RESTORE_H_
#define HOLDFAST_ENGINE_LOG_RESTORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/base/callback_scope.h"
#include "engine/base/image.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"
#include "engine/log/image_reader.h"
#include "engine/log/new_cluster.h"
#include "engine/log/steps.h"

namespace holdfast {

// Makes a new cluster of an image (engine/base/image.h): the same records at
// the same offsets, with the same log times. Producers' sessions aren't in an
// image: their batches become batches without one.
//
// Nothing is written before the whole image was verified. One restore, once, as
// a Recover (recover.h).
class Restore {
 public:
  struct Result {
    ImageHeader header;
    ImageCounts counts;
    ClusterId cluster;
  };

  // `image`: the file with this name on that disk. The disks outlive it.
  Restore(Loop* loop, Disk* image_disk, std::string image, Disk* new_disk,
          NewClusterOptions options);

  // NOT_FOUND: there is no such file. DATA_LOSS: the image is damaged, and
  // where. FAILED_PRECONDITION: it is of a newer format, or the directory isn't
  // empty.
  void Run(ResultFn<Result> done);

 private:
  // Opens the image, and reads it from its beginning.
  void OpenImage(Task then);
  void Verify();
  void Begin();
  void Copy();
  std::vector<Entry> Entries(const std::vector<ImageBatch>& batches) const;
  void Finish();

  Loop* const loop_;
  Disk* const image_disk_;
  const std::string image_;
  NewCluster new_cluster_;
  std::unique_ptr<ImageReader> reader_;
  // Where the first batch begins, as verified.
  LogPoint base_;
  ImageCounts verified_;
  Steps<Result> steps_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_LOG_RESTORE_H_
