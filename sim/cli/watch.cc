#include "sim/cli/watch.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "sim/report/dump.h"
#include "sim/report/page.h"
#include "sim/report/text_trace.h"

namespace holdfast {
namespace {

// "3s", "3.25s", "3250ms", and as traces print it: "3.250000000s".
bool ParseTime(absl::string_view text, TrueTime* out) {
  int64_t unit = 1000000000;
  if (absl::ConsumeSuffix(&text, "ms")) {
    unit = 1000000;
  } else if (!absl::ConsumeSuffix(&text, "s")) {
    return false;
  }
  const size_t point = text.find('.');
  const absl::string_view whole = text.substr(0, point);
  absl::string_view fraction;
  if (point != absl::string_view::npos) fraction = text.substr(point + 1);
  uint32_t n = 0;
  if (!absl::SimpleAtoi(whole, &n) || n > 1000000) return false;
  int64_t ns = n * unit;
  for (char digit : fraction) {
    if (digit < '0' || digit > '9') return false;
    unit /= 10;
    ns += unit * (digit - '0');
  }
  *out = TrueTime(Duration(ns));
  return true;
}

absl::Status Save(const std::string& file, const std::string& text) {
  std::ofstream out(file, std::ios::binary);
  out << text;
  out.close();
  if (out) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("can't write ", file));
}

}  // namespace

bool ParseWatchFlag(absl::string_view name, absl::string_view value,
                    WatchFlags* flags, bool* good) {
  if (name == "--trace") {
    flags->trace = std::string(value);
    *good = !value.empty();
  } else if (name == "--html") {
    flags->html = std::string(value);
    *good = !value.empty();
  } else if (name == "--from") {
    *good = ParseTime(value, &flags->window.from);
  } else if (name == "--to") {
    *good = ParseTime(value, &flags->window.to);
  } else if (name == "--goto") {
    *good = absl::SimpleAtoi(value, &flags->go_to) && flags->go_to > 0;
  } else if (name == "--before") {
    *good = absl::SimpleAtoi(value, &flags->before) && flags->before > 0;
  } else {
    return false;
  }
  return true;
}

absl::Status CheckWatchFlags(const WatchFlags& flags) {
  const bool narrowed = flags.window.from != TimeWindow{}.from ||
                        flags.window.to != TimeWindow{}.to;
  if (narrowed && flags.trace.empty() && flags.html.empty()) {
    return absl::InvalidArgumentError(
        "--from and --to are for --trace and --html: give one of these, too");
  }
  if (flags.window.from > flags.window.to) {
    return absl::InvalidArgumentError("--from is later than --to");
  }
  if (flags.before != 0 && flags.go_to == 0) {
    return absl::InvalidArgumentError(
        "--before is for --goto: give that one, too");
  }
  return absl::OkStatus();
}

std::string SeeIt(absl::string_view command, uint64_t seed, uint64_t event) {
  return absl::StrCat("see it: ", command, " --html=holdfast-", seed,
                      ".html\nstop there: ", command, " --goto=", event,
                      " --dump\n");
}

Watch::Watch(const WatchFlags& flags, std::string command,
             Simulation* simulation)
    : flags_(flags), command_(std::move(command)), simulation_(simulation) {
  if (!flags.any()) return;
  recorder_ = std::make_unique<Recorder>(
      simulation,
      Recorder::Options{.to = flags.window.to, .stop_after = flags.go_to});
}

absl::Status Watch::Finish() {
  if (recorder_ == nullptr) return absl::OkStatus();
  const Recording& recording = recorder_->Finish();
  if (!flags_.trace.empty()) {
    const absl::Status saved =
        Save(flags_.trace, TextTrace(recording, flags_.window));
    if (!saved.ok()) return saved;
  }
  if (!flags_.html.empty()) {
    const absl::Status saved =
        Save(flags_.html, Page(recording, flags_.window,
                               {.seed = simulation_->world()->chance.seed(),
                                .command = command_}));
    if (!saved.ok()) return saved;
  }
  if (flags_.go_to > recording.end.event && simulation_->verdict().ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--goto=", flags_.go_to, ": the run has only ",
                     recording.end.event, " events"));
  }
  const uint64_t last = recording.end.event;
  for (uint64_t n = last - std::min(last, flags_.before); n < last; ++n) {
    std::fputs(EventLine(recording, n).c_str(), stdout);
  }
  if (flags_.dump) {
    std::fputs(Dump(simulation_, recording).c_str(), stdout);
  } else if (flags_.go_to != 0) {
    std::fputs(EventLine(recording, last).c_str(), stdout);
  }
  return absl::OkStatus();
}

}  // namespace holdfast
