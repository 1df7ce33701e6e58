#include "engine/wal/patched_read.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "engine/wal/segment.h"

namespace holdfast {
namespace {

constexpr uint64_t kPiece = 256 << 10;
// Of a block: an error that passes isn't damage, and may come just when
// something else is.
constexpr int kTries = 2;

class PatchedRead : public std::enable_shared_from_this<PatchedRead> {
 public:
  PatchedRead(std::shared_ptr<File> file, uint64_t size,
              ResultFn<PatchedBytes> done)
      : file_(std::move(file)), size_(size), done_(std::move(done)) {}

  void Start() {
    Read(0, size_, [this](absl::StatusOr<Buffer> all) {
      if (!absl::IsDataLoss(all.status())) {
        if (!all.ok()) return done_(all.status());
        return done_(PatchedBytes{*std::move(all)});
      }
      result_.bytes = Buffer::Zeroes(std::min(size_, file_->size()));
      ReadPiece(0);
    });
  }

 private:
  template <typename Fn>
  void Read(uint64_t at, uint64_t n, Fn fn) {
    file_->Read(
        at, n,
        [self = shared_from_this(), fn = std::move(fn)](
            absl::StatusOr<Buffer> bytes) mutable { fn(std::move(bytes)); });
  }

  uint64_t size() const { return result_.bytes.size(); }

  void ReadPiece(uint64_t at) {
    if (at >= size()) return done_(std::move(result_));
    const uint64_t end = std::min(at + kPiece, size());
    Read(at, end - at, [this, at, end](absl::StatusOr<Buffer> bytes) {
      if (absl::IsDataLoss(bytes.status())) return ReadBlock(at, end);
      if (!bytes.ok()) return done_(bytes.status());
      Take(at, *bytes);
      ReadPiece(end);
    });
  }

  void ReadBlock(uint64_t at, uint64_t end, int tries = kTries) {
    if (at >= end) return ReadPiece(end);
    const uint64_t next = std::min(at + kBlockBytes, end);
    auto on_read = [this, at, next, end, tries](absl::StatusOr<Buffer> bytes) {
      if (!bytes.ok() && !absl::IsDataLoss(bytes.status())) {
        return done_(bytes.status());
      }
      if (bytes.ok()) {
        Take(at, *bytes);
      } else if (tries > 1) {
        return ReadBlock(at, end, tries - 1);
      } else {
        if (result_.unreadable_to == 0) result_.unreadable_from = at;
        result_.unreadable_to = next;
      }
      ReadBlock(next, end);
    };
    Read(at, next - at, std::move(on_read));
  }

  void Take(uint64_t at, const Buffer& bytes) {
    std::memcpy(result_.bytes.data_mutable() + at, bytes.data(), bytes.size());
  }

  const std::shared_ptr<File> file_;
  const uint64_t size_;
  ResultFn<PatchedBytes> done_;
  PatchedBytes result_;
};

}  // namespace

void ReadAround(std::shared_ptr<File> file, uint64_t size,
                ResultFn<PatchedBytes> done) {
  std::make_shared<PatchedRead>(std::move(file), size, std::move(done))
      ->Start();
}

}  // namespace holdfast
