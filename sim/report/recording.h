#ifndef HOLDFAST_SIM_REPORT_RECORDING_H_
#define HOLDFAST_SIM_REPORT_RECORDING_H_

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "sim/observer.h"
#include "sim/report/wire_text.h"
#include "sim/types.h"
#include "sim/violation.h"

namespace holdfast {

// When something happened: in which event, 0 being before the first one.
struct Moment {
  uint64_t event = 0;
  TrueTime time{};
};

// What a server is, for the eye.
enum class ServerLooks : uint8_t {
  kDown = 0,
  kForming,  // no member of a cluster so far
  kFollower,
  kLearner,
  kPreCandidate,
  kCandidate,
  kLeader,
};
const char* ToString(ServerLooks looks);

// A run as it was watched (sim/report/recorder.h): lists of what happened, in
// the order in which it began. What reads it: text_trace.h, page.h, dump.h.
struct Recording {
  struct Event {
    uint64_t number = 0;
    TrueTime time{};
    MachineId machine = 0;  // 0: the world
    EventKind kind = EventKind::kHarness;
    uint64_t cause = 0;
  };
  struct Message {
    const char* name = "";
    MessageGroup group = MessageGroup::kOther;
    MachineId from = 0;
    MachineId to = 0;
    uint64_t bytes = 0;
    std::string text;  // its fields
    Moment sent;
    // Its last byte got to the other machine, and was taken by the process
    // there.
    std::optional<Moment> arrived;
    std::optional<Moment> read;
    std::optional<uint32_t> answer;  // the message that is one to it
  };
  struct DiskOperation {
    MachineId machine = 0;
    const char* what = "";
    std::string file;
    uint64_t from = 0;
    uint64_t bytes = 0;
    Moment begun;
    TrueTime due{};
    std::optional<Moment> ended;  // nothing: under way; see `died`
    bool died = false;            // its process did; perhaps it happened
  };
  struct Call {
    MachineId machine = 0;
    const char* what = "";
    std::string detail;
    Moment begun;
    std::optional<Moment> ended;
    CallEnd end = CallEnd::kUnknown;
    std::string result;
    uint64_t shown = 0;  // the log's length, as it showed
  };
  // A server from that moment on.
  struct State {
    Moment at;
    MachineId machine = 0;
    ServerLooks looks = ServerLooks::kDown;
    uint64_t term = 0;
    uint64_t vote = 0;
    uint64_t leader = 0;
    uint64_t commit = 0;
    uint64_t last = 0;
    uint64_t durable = 0;

    // But for the moment.
    bool SameAs(const State& other) const;
  };
  struct Mark {
    Moment at;
    Incident incident;
  };
  struct Note {
    Moment at;
    std::string text;
  };
  // What a step of the run did, event by event: an index into one of the lists
  // above.
  enum class FactKind : uint8_t {
    kSent = 1,
    kArrived,
    kRead,
    kDiskBegun,
    kDiskEnded,
    kCalled,
    kReturned,
    kState,
    kMark,
    kNote,
  };
  struct Fact {
    uint64_t event = 0;
    FactKind kind = FactKind::kNote;
    uint32_t index = 0;
  };
  struct Violation {
    Moment at;
    Verdict::Kind kind = Verdict::Kind::kOk;
    std::string what;
    std::vector<MachineId> machines;  // that it speaks of
    std::vector<uint32_t> calls;      // likewise; the latest first
  };

  uint32_t servers = 0;
  uint32_t clients = 0;
  std::vector<Event> events;
  std::vector<Message> messages;
  std::vector<DiskOperation> disk;
  std::vector<Call> calls;
  std::vector<State> states;
  std::vector<Mark> marks;
  std::vector<Note> notes;
  std::vector<Fact> facts;
  std::optional<Violation> violation;
  Moment end;  // of the run, or of what was watched
};

// A part of a run, both ends included.
struct TimeWindow {
  TrueTime from{};
  TrueTime to = TrueTime::max();

  bool Has(TrueTime t) const { return from <= t && t <= to; }
};

// The machines that a verdict's text names: "server 3", "client 1".
std::vector<MachineId> MachinesIn(absl::string_view text);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_REPORT_RECORDING_H_
