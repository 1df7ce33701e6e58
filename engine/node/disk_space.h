#ifndef HOLDFAST_ENGINE_NODE_DISK_SPACE_H_
#define HOLDFAST_ENGINE_NODE_DISK_SPACE_H_

#include <algorithm>
#include <cstdint>
#include <functional>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/callback_scope.h"
#include "engine/base/inline_function.h"
#include "engine/env/completion.h"
#include "engine/env/disk.h"
#include "engine/env/loop.h"

namespace holdfast {

// What a server does when its disk is full. It keeps a file that only takes up
// space, the reserve, for what must go on then: elections, cuts of the log's
// end, trims and their checkpoints, and repair. When one of these finds no room
// the file is removed, and made again as soon as there is room for it.
// Meanwhile, and as long as the log can't make its next segment, the disk is
// short of space, and nobody should add records.
class DiskSpace {
 public:
  static constexpr char kReserveName[] = "reserve";

  struct Callbacks {
    // Whether the log lacks a segment to go on in, and that it may try again to
    // make one.
    std::function<bool()> log_is_short;
    Task make_segment;
    InlineFunction<void(absl::string_view line)> log_line;
    // The reserve couldn't be made: why.
    InlineFunction<void(const absl::Status& why)> not_made;
  };

  // `segment_bytes`: what make_segment needs; `reserve_bytes` 0: there is no
  // reserve.
  DiskSpace(Loop* loop, Disk* disk, uint64_t reserve_bytes,
            uint64_t segment_bytes, Callbacks callbacks);

  // At a start, before anything is written: removes the reserve if the disk has
  // less room than that, since the start may need some. Whatever goes wrong
  // shows elsewhere.
  void Prepare(Task done);
  // When the log is open: makes the reserve if there is none.
  void Begin();

  // Something couldn't be written for want of room. `again` is called when it
  // may be tried again, never within this call: at once, if there is a reserve
  // to give up, else a little later.
  void Await(Task again);
  // Calls `write` until it says anything else than RESOURCE_EXHAUSTED, each
  // time when there may be room; then `done`.
  void UntilThereIsRoom(std::function<void(DoneFn)> write, DoneFn done);
  // The log made no segment ahead.
  void NoteShort();
  // Nothing waits any more.
  void Stop() {
    stopped_ = true;
    timer_.Cancel();
  }

  // That can be had for what must go on, as far as is known: the reserve, or
  // what is left of it.
  uint64_t spare_bytes() const { return whole_ ? reserve_bytes_ : free_; }
  // So much of that is about to be used.
  void NoteUse(uint64_t bytes) { free_ -= std::min(free_, bytes); }
  // Whether the reserve is in use, or couldn't be made.
  bool given_up() const { return given_up_; }
  bool is_short() const { return given_up_ || callbacks_.log_is_short(); }

  struct Stats {
    uint64_t shortages = 0;  // begun
    uint64_t reserves_given_up = 0;

    template <typename Fn>  // fn(name, value)
    void ForEach(Fn fn) const {
      fn("disk_shortage", shortages);
      fn("disk_reserve_given_up", reserves_given_up);
    }
  };
  const Stats& stats() const { return stats_; }

 private:
  void GiveUp(Task done);
  void NoteFailed();
  void Arm();
  void Look();
  void OnFree(uint64_t free);
  void TryAgain();
  void MakeReserve();

  Loop* const loop_;
  Disk* const disk_;
  const uint64_t reserve_bytes_;
  const uint64_t segment_bytes_;
  Callbacks callbacks_;
  bool whole_ = false;     // the reserve is there
  bool given_up_ = false;  // ... was, or couldn't be made
  bool making_ = false;
  bool short_ = false;  // as last told of
  bool stopped_ = false;
  uint64_t free_ = 0;  // at the last look
  // What nothing waits for isn't tried before then, after so long in vain,
  // unless there is more room by then.
  Instant not_before_;
  Duration pause_ = Duration::zero();
  uint64_t free_then_ = 0;
  std::vector<Task> waiting_;
  Timer timer_;
  bool armed_ = false;
  Stats stats_;
  CallbackScope scope_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_NODE_DISK_SPACE_H_
