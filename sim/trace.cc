#include "sim/trace.h"

#include <algorithm>
#include <cinttypes>
#include <cstdio>

#include "engine/base/crc32c.h"

namespace holdfast {

const char* EventKindName(EventKind kind) {
  switch (kind) {
    case EventKind::kTimer:
      return "timer";
    case EventKind::kPost:
      return "post";
    case EventKind::kDisk:
      return "disk";
    case EventKind::kDial:
      return "dial";
    case EventKind::kAccept:
      return "accept";
    case EventKind::kDeliver:
      return "deliver";
    case EventKind::kReadDone:
      return "read-done";
    case EventKind::kWriteDone:
      return "write-done";
    case EventKind::kCredit:
      return "credit";
    case EventKind::kStreamError:
      return "stream-error";
    case EventKind::kFault:
      return "fault";
    case EventKind::kWorkload:
      return "workload";
    case EventKind::kHarness:
      return "harness";
  }
  return "?";
}

std::string NameOf(MachineId machine) {
  return machine < kFirstClient
             ? "server " + std::to_string(machine)
             : "client " + std::to_string(machine - kFirstClient + 1);
}

std::string FormatTrueTime(TrueTime time) {
  const int64_t ns = time.time_since_epoch().count();
  char text[48];
  std::snprintf(text, sizeof(text), "%" PRId64 ".%09" PRId64 "s",
                ns / 1000000000, ns % 1000000000);
  return text;
}

void Trace::Note(TrueTime time, const std::string& text) {
  Mix(Crc32c(text));
  std::string line = FormatTrueTime(time) + " " + text;
  if (on_note_) on_note_(line);
  if (observer_ != nullptr) observer_->OnNote(time, text);
  notes_.push_back(std::move(line));
  if (notes_.size() > kNotesKept) notes_.pop_front();
}

std::string Trace::Tail(size_t max_events,
                        const std::function<std::string(ActorId)>& name) const {
  std::string out = "what happened of note, latest last:\n";
  for (const std::string& note : notes_) out += "  " + note + "\n";
  const uint64_t kept = std::min<uint64_t>({events_, kKept, max_events});
  out += "the last " + std::to_string(kept) + " of " + std::to_string(events_) +
         " events:\n";
  for (uint64_t i = events_ - kept; i < events_; ++i) {
    const Line& line = last_[i % kKept];
    out += "  " + FormatTrueTime(line.time) + " #" + std::to_string(i + 1) +
           " " + name(line.actor) + " " + EventKindName(line.kind) + "\n";
  }
  return out;
}

}  // namespace holdfast
