#ifndef HOLDFAST_SIM_CLI_WATCH_H_
#define HOLDFAST_SIM_CLI_WATCH_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "sim/report/recorder.h"
#include "sim/report/recording.h"
#include "sim/simulation.h"

namespace holdfast {

// What simulate is to show of a run besides how it ended.
struct WatchFlags {
  std::string trace;  // files
  std::string html;
  TimeWindow window;    // of both
  uint64_t go_to = 0;   // the run ends after this event; 0: by itself
  uint64_t before = 0;  // with go_to: so many events before it are shown, too
  bool dump = false;    // what all is like then

  bool any() const {
    return !trace.empty() || !html.empty() || go_to != 0 || dump;
  }
};

// Flags with a value; false: there is none of that name.
bool ParseWatchFlag(absl::string_view name, absl::string_view value,
                    WatchFlags* flags, bool* good);
// INVALID_ARGUMENT when they contradict each other.
absl::Status CheckWatchFlags(const WatchFlags& flags);

// The lines of a failure's report that say how to see it. `command`: shows the
// run again; `event`: in which it broke.
std::string SeeIt(absl::string_view command, uint64_t seed, uint64_t event);

// Watches one run, if the flags say so.
class Watch {
 public:
  // `command`: shows the run again.
  Watch(const WatchFlags& flags, std::string command, Simulation* simulation);

  // Writes and prints what is wanted of the run as it was so far.
  // INVALID_ARGUMENT when a file can't be written, or the run had no event of
  // that number.
  absl::Status Finish();

 private:
  const WatchFlags flags_;
  const std::string command_;
  Simulation* const simulation_;
  std::unique_ptr<Recorder> recorder_;  // null: nothing is to be shown
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_WATCH_H_
