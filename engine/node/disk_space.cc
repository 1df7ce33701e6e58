#include "engine/node/disk_space.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace holdfast {
namespace {

// Between two looks at a disk that is short of space, and at most between two
// tries to make a large file where there seems to be room for it.
constexpr Duration kLookInterval = 250ms;
constexpr Duration kPauseMax = 8s;

// That a segment takes beyond its size.
constexpr uint64_t kSlackBytes = 64 << 10;

}  // namespace

DiskSpace::DiskSpace(Loop* loop, Disk* disk, uint64_t reserve_bytes,
                     uint64_t segment_bytes, Callbacks callbacks)
    : loop_(loop),
      disk_(disk),
      reserve_bytes_(reserve_bytes),
      segment_bytes_(segment_bytes),
      callbacks_(std::move(callbacks)) {}

void DiskSpace::Prepare(Task done) {
  disk_->List(
      scope_.Wrap([this, done = std::move(done)](
                      absl::StatusOr<std::vector<FileInfo>> files) mutable {
        if (!files.ok()) return done();
        uint64_t bytes = 0;
        bool there = false;
        for (const FileInfo& file : *files) {
          if (file.name != kReserveName) continue;
          there = true;
          bytes = file.size;
        }
        if (!there) return done();
        // Of other options, or half made.
        if (bytes != reserve_bytes_ || bytes == 0) {
          return disk_->Remove(
              kReserveName, scope_.Wrap([done = std::move(done)](
                                            absl::Status) mutable { done(); }));
        }
        whole_ = true;
        disk_->FreeSpace(
            scope_.Wrap([this, done = std::move(done)](
                            absl::StatusOr<uint64_t> free) mutable {
              if (free.ok() && *free >= reserve_bytes_) return done();
              GiveUp(std::move(done));
            }));
      }));
}

void DiskSpace::Begin() {
  if (reserve_bytes_ > 0 && !whole_) Look();
}

void DiskSpace::Await(Task again) {
  waiting_.push_back(std::move(again));
  if (whole_) GiveUp([this] { TryAgain(); });
  Arm();
}

void DiskSpace::UntilThereIsRoom(std::function<void(DoneFn)> write,
                                 DoneFn done) {
  write([this, write, done = std::move(done)](absl::Status written) mutable {
    if (!absl::IsResourceExhausted(written) || stopped_) {
      return done(std::move(written));
    }
    Await([this, write = std::move(write), done = std::move(done)]() mutable {
      if (stopped_) return done(absl::CancelledError("stopped meanwhile"));
      UntilThereIsRoom(std::move(write), std::move(done));
    });
  });
}

void DiskSpace::NoteShort() {
  // Without the reserve it wasn't tried.
  if (!given_up_) NoteFailed();
  Arm();
}

void DiskSpace::NoteFailed() {
  pause_ = std::min(std::max(pause_ * 2, kLookInterval), kPauseMax);
  not_before_ = loop_->Now() + pause_;
  free_then_ = free_;
}

void DiskSpace::GiveUp(Task done) {
  whole_ = false;
  given_up_ = true;
  ++stats_.reserves_given_up;
  disk_->Remove(
      kReserveName,
      scope_.Wrap([done = std::move(done)](absl::Status) mutable { done(); }));
}

void DiskSpace::Arm() {
  if (is_short() && !std::exchange(short_, true)) {
    ++stats_.shortages;
    callbacks_.log_line(absl::StrCat("event=disk_full reserve_bytes=",
                                     whole_ ? reserve_bytes_ : 0));
  }
  if (std::exchange(armed_, true)) return;
  timer_ = loop_->After(kLookInterval, [this] {
    armed_ = false;
    Look();
  });
}

void DiskSpace::Look() {
  disk_->FreeSpace(scope_.Wrap([this](absl::StatusOr<uint64_t> free) {
    OnFree(free.ok() ? *free : 0);
  }));
}

void DiskSpace::OnFree(uint64_t free) {
  free_ = free;
  // What waits comes first, then the reserve, then the log's next segment.
  if (!waiting_.empty()) {
    TryAgain();
    return Arm();
  }
  const bool may_try =
      loop_->Now() >= not_before_ || free > free_then_ + kSlackBytes;
  if (reserve_bytes_ > 0 && !whole_) {
    if (free < reserve_bytes_) {
      given_up_ = true;
    } else if (!making_ && may_try) {
      MakeReserve();
    }
  } else if (callbacks_.log_is_short() && may_try &&
             free >= segment_bytes_ + kSlackBytes) {
    callbacks_.make_segment();
  }
  if (is_short()) return Arm();
  pause_ = Duration::zero();
  if (std::exchange(short_, false)) callbacks_.log_line("event=disk_has_room");
}

void DiskSpace::TryAgain() {
  std::vector<Task> waiting = std::move(waiting_);
  waiting_.clear();
  for (Task& again : waiting) again();
}

void DiskSpace::MakeReserve() {
  making_ = true;
  auto on_made = [this](const absl::StatusOr<std::unique_ptr<File>>& file) {
    making_ = false;
    // It was half made, or something else took the room.
    if (!file.ok()) {
      given_up_ = true;
      disk_->Remove(kReserveName, [](absl::Status) {});
      callbacks_.not_made(file.status());
      NoteFailed();
      return Arm();
    }
    whole_ = true;
    given_up_ = false;
    if (short_) Look();
  };
  disk_->Allocate(kReserveName, reserve_bytes_,
                  scope_.Wrap(std::move(on_made)));
}

}  // namespace holdfast
