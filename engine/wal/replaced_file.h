#ifndef HOLDFAST_ENGINE_WAL_REPLACED_FILE_H_
#define HOLDFAST_ENGINE_WAL_REPLACED_FILE_H_

#include <cstddef>
#include <memory>
#include <string>
#include <utility>

#include "engine/base/buffer.h"
#include "engine/base/callback_scope.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"

namespace holdfast {

// A file that is replaced as a whole: written beside the old one, synced,
// and renamed over it. After a power loss at any moment it is the old one or
// the new one. Operations must not overlap. Destroying it drops their
// completions.
class ReplacedFile {
 public:
  // Behind a file's name, of the one beside it.
  static constexpr char kNewSuffix[] = ".new";

  // Of more bytes than `bytes_max`, Read gives the first ones. The one beside
  // it is `beside`, else the name with the suffix.
  ReplacedFile(Disk* disk, std::string name, size_t bytes_max)
      : ReplacedFile(disk, name, bytes_max, name + kNewSuffix) {}
  ReplacedFile(Disk* disk, std::string name, size_t bytes_max,
               std::string beside)
      : disk_(disk),
        name_(std::move(name)),
        beside_(std::move(beside)),
        bytes_max_(bytes_max) {}

  // NOT_FOUND if there is none. `done` may destroy this object.
  void Read(ResultFn<Buffer> done);
  // Done when the new bytes are durable, and the name is.
  void Write(Buffers bytes, DoneFn done);

 private:
  void OnBesideOpened(absl::StatusOr<std::unique_ptr<File>> file,
                      Buffers bytes);
  void OnSynced(absl::Status synced);
  void FinishWrite(absl::Status status);

  Disk* const disk_;
  const std::string name_;
  const std::string beside_;
  const size_t bytes_max_;
  std::unique_ptr<File> file_;
  DoneFn write_done_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_WAL_REPLACED_FILE_H_
