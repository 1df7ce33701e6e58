#include "sim/report/page_data.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "engine/base/lookup_map.h"
#include "sim/report/sentences.h"

namespace holdfast {
namespace {

int64_t Ns(TrueTime t) { return t.time_since_epoch().count(); }

std::string Quoted(absl::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (c == '<') {
      out += "\\u003c";  // nothing can end the <script>
    } else if (absl::ascii_isprint(static_cast<unsigned char>(c))) {
      out += c;
    } else {
      out += c == '\n' ? "\\n" : "?";
    }
  }
  return out + "\"";
}

// What page/marks.js knows them by.
const char* NameOf(IncidentKind kind) {
  switch (kind) {
    case IncidentKind::kStart:
      return "start";
    case IncidentKind::kEnd:
    case IncidentKind::kCrash:
      return "crash";
    case IncidentKind::kPowerLoss:
      return "power";
    case IncidentKind::kPause:
      return "pause";
    case IncidentKind::kNewDisk:
      return "other disk";
    case IncidentKind::kCut:
      return "cut";
    case IncidentKind::kHeal:
      return "heal";
    case IncidentKind::kSlow:
    case IncidentKind::kClog:
      return "slow";
    case IncidentKind::kFast:
      return "fast";
    case IncidentKind::kReset:
      return "reset";
    case IncidentKind::kSilence:
      return "silence";
    case IncidentKind::kFlip:
      return "flip";
    case IncidentKind::kLinger:
      return "linger";
    case IncidentKind::kRefused:
      return "refused";
    case IncidentKind::kHang:
      return "hang";
    case IncidentKind::kMend:
      return "mend";
    case IncidentKind::kDropped:
    case IncidentKind::kCutShort:
    case IncidentKind::kLostWrites:
    case IncidentKind::kTornWrites:
    case IncidentKind::kLostNames:
      return "disk loss";
    case IncidentKind::kDeviceError:
      return "disk error";
    case IncidentKind::kFull:
      return "full";
    case IncidentKind::kRoom:
      return "room";
    case IncidentKind::kDamage:
      return "damage";
  }
  return "?";
}

// An object of columns, each made of all elements of a list.
template <typename T>
class Columns {
 public:
  Columns(const std::vector<T>& list, std::string* out)
      : list_(list), out_(out) {
    absl::StrAppend(out_, "{\"count\":", list.size());
  }
  ~Columns() { *out_ += "}"; }

  template <typename Fn>  // fn(const T&) -> int64_t
  Columns& Numbers(absl::string_view name, Fn fn) {
    absl::StrAppend(out_, ",\"", name, "\":[");
    const char* between = "";
    for (const T& element : list_) {
      absl::StrAppend(out_, between, static_cast<int64_t>(fn(element)));
      between = ",";
    }
    *out_ += "]";
    return *this;
  }
  template <typename Fn>
  Columns& Differences(absl::string_view name, Fn fn) {
    int64_t before = 0;
    return Numbers(name, [&](const T& element) {
      const auto value = static_cast<int64_t>(fn(element));
      return value - std::exchange(before, value);
    });
  }
  // Event and time, the latter in nanoseconds.
  template <typename Fn>
  Columns& Moments(absl::string_view name, Fn fn) {
    return Differences(absl::StrCat(name, "Event"),
                       [&](const T& element) { return fn(element).event; })
        .Differences(name,
                     [&](const T& element) { return Ns(fn(element).time); });
  }
  // The same, since another moment; -1: never.
  template <typename Fn, typename Base>
  Columns& MomentsSince(absl::string_view name, Base base, Fn fn) {
    return Numbers(absl::StrCat(name, "Event"),
                   [&](const T& e) -> int64_t {
                     const std::optional<Moment>& m = fn(e);
                     if (!m.has_value()) return -1;
                     return static_cast<int64_t>(m->event - base(e).event);
                   })
        .Numbers(name, [&](const T& e) -> int64_t {
          const std::optional<Moment>& m = fn(e);
          return m.has_value() ? Ns(m->time) - Ns(base(e).time) : -1;
        });
  }

 private:
  const std::vector<T>& list_;
  std::string* const out_;
};

class Writer {
 public:
  Writer(const Recording& recording, const TimeWindow& window)
      : recording_(recording), window_(window) {}

  std::string Write(const PageInfo& info);

 private:
  int64_t Text(const std::string& text) {
    const uint32_t* known = numbers_.Find(text);
    if (known != nullptr) return *known;
    const auto number = static_cast<uint32_t>(texts_.size());
    texts_.push_back(text);
    numbers_.Set(text, number);
    return number;
  }
  // Those that are in the window at all.
  template <typename T, typename Fn>
  std::vector<T> In(const std::vector<T>& all, Fn in,
                    std::vector<int64_t>* places = nullptr) const {
    std::vector<T> some;
    for (const T& element : all) {
      const bool is_in = in(element);
      if (places != nullptr) {
        places->push_back(is_in ? static_cast<int64_t>(some.size()) : -1);
      }
      if (is_in) some.push_back(element);
    }
    return some;
  }
  bool Meets(Moment from, const std::optional<Moment>& to) const {
    return from.time <= window_.to &&
           (to.has_value() ? to->time : from.time) >= window_.from;
  }

  void AddHead(const PageInfo& info);
  void AddEvents();
  void AddMessages();
  void AddDisk();
  void AddCalls();
  void AddStates();
  void AddMarks();
  void AddNotes();
  void AddViolation();
  void AddNames();
  void Key(absl::string_view name) {
    absl::StrAppend(&out_, ",\n\"", name, "\":");
  }
  void AddStrings(absl::string_view key,
                  const std::vector<std::string>& strings);

  const Recording& recording_;
  const TimeWindow window_;
  std::string out_;
  LookupMap<std::string, uint32_t> numbers_;
  std::vector<std::string> texts_;
  std::vector<int64_t> call_places_;
};

void Writer::AddHead(const PageInfo& info) {
  const int64_t end = Ns(recording_.end.time);
  absl::StrAppend(
      &out_, "{\"seed\":\"", info.seed, "\",\"command\":", Quoted(info.command),
      ",\"servers\":", recording_.servers, ",\"clients\":", recording_.clients,
      ",\"firstClient\":", kFirstClient,
      ",\"from\":", std::min(Ns(window_.from), end),
      ",\"to\":", std::min(Ns(window_.to), end), ",\"end\":", end,
      ",\"endEvent\":", recording_.end.event);
}

void Writer::AddEvents() {
  const auto in = [&](const Recording::Event& e) {
    return window_.Has(e.time);
  };
  const std::vector<Recording::Event> events = In(recording_.events, in);
  using E = Recording::Event;
  Key("events");
  Columns<E>(events, &out_)
      .Differences("number", [](const E& e) { return e.number; })
      .Differences("time", [](const E& e) { return Ns(e.time); })
      .Numbers("machine", [](const E& e) { return e.machine; })
      .Numbers("kind", [](const E& e) { return static_cast<int>(e.kind); })
      .Numbers("back", [](const E& e) { return e.number - e.cause; });
}

void Writer::AddMessages() {
  using M = Recording::Message;
  std::vector<int64_t> places;
  const std::vector<M> messages = In(
      recording_.messages,
      [&](const M& m) {
        return Meets(m.sent, m.read.has_value() ? m.read : m.arrived);
      },
      &places);
  const auto sent = [](const M& m) { return m.sent; };
  Key("messages");
  Columns<M>(messages, &out_)
      .Numbers("name", [&](const M& m) { return Text(m.name); })
      .Numbers("group", [](const M& m) { return static_cast<int>(m.group); })
      .Numbers("from", [](const M& m) { return m.from; })
      .Numbers("to", [](const M& m) { return m.to; })
      .Numbers("bytes", [](const M& m) { return m.bytes; })
      .Numbers("text", [&](const M& m) { return Text(m.text); })
      .Moments("sent", sent)
      .MomentsSince("arrived", sent, [](const M& m) { return m.arrived; })
      .MomentsSince("read", sent, [](const M& m) { return m.read; })
      .Numbers("answer", [&](const M& m) {
        return m.answer.has_value() ? places[*m.answer] : -1;
      });
}

void Writer::AddDisk() {
  using D = Recording::DiskOperation;
  const std::vector<D> disk =
      In(recording_.disk, [&](const D& d) { return Meets(d.begun, d.ended); });
  const auto begun = [](const D& d) { return d.begun; };
  Key("disk");
  Columns<D>(disk, &out_)
      .Numbers("machine", [](const D& d) { return d.machine; })
      .Numbers("what", [&](const D& d) { return Text(d.what); })
      .Numbers("text", [&](const D& d) { return Text(ToString(d)); })
      .Moments("begun", begun)
      .MomentsSince("ended", begun, [](const D& d) { return d.ended; })
      .Numbers("died", [](const D& d) { return d.died ? 1 : 0; });
}

void Writer::AddCalls() {
  using C = Recording::Call;
  const std::vector<C> calls = In(
      recording_.calls,
      [&](const C& c) {
        return Meets(c.begun, c.ended.has_value() ? c.ended : recording_.end);
      },
      &call_places_);
  const auto begun = [](const C& c) { return c.begun; };
  Key("calls");
  Columns<C>(calls, &out_)
      .Numbers("machine", [](const C& c) { return c.machine; })
      .Numbers("what", [&](const C& c) { return Text(c.what); })
      .Numbers("text", [&](const C& c) { return Text(c.detail); })
      .Moments("begun", begun)
      .MomentsSince("ended", begun, [](const C& c) { return c.ended; })
      .Numbers("end",
               [](const C& c) {
                 return c.ended.has_value() ? static_cast<int>(c.end) : 0;
               })
      .Numbers("result", [&](const C& c) { return Text(ResultOf(c)); });
}

void Writer::AddStates() {
  using S = Recording::State;
  // What was before the window counts until something changes.
  const std::vector<S> states = In(
      recording_.states, [&](const S& s) { return s.at.time <= window_.to; });
  Key("states");
  Columns<S>(states, &out_)
      .Moments("at", [](const S& s) { return s.at; })
      .Numbers("machine", [](const S& s) { return s.machine; })
      .Numbers("looks", [](const S& s) { return static_cast<int>(s.looks); })
      .Numbers("term", [](const S& s) { return s.term; })
      .Numbers("vote", [](const S& s) { return s.vote; })
      .Numbers("leader", [](const S& s) { return s.leader; })
      .Numbers("commit", [](const S& s) { return s.commit; })
      .Numbers("last", [](const S& s) { return s.last; })
      .Numbers("durable", [](const S& s) { return s.durable; });
}

void Writer::AddMarks() {
  using K = Recording::Mark;
  Key("marks");
  Columns<K>(recording_.marks, &out_)
      .Moments("at", [](const K& m) { return m.at; })
      .Numbers("kind",
               [&](const K& m) { return Text(NameOf(m.incident.kind)); })
      .Numbers("machine", [](const K& m) { return m.incident.machine; })
      .Numbers("other", [](const K& m) { return m.incident.other; })
      .Numbers("length", [](const K& m) { return m.incident.length.count(); })
      .Numbers("text", [&](const K& m) { return Text(ToString(m.incident)); });
}

void Writer::AddNotes() {
  using N = Recording::Note;
  const std::vector<N> notes =
      In(recording_.notes, [&](const N& n) { return window_.Has(n.at.time); });
  Key("notes");
  Columns<N>(notes, &out_)
      .Moments("at", [](const N& n) { return n.at; })
      .Numbers("machine",
               [](const N& n) -> int64_t {
                 const std::vector<MachineId> machines = MachinesIn(n.text);
                 return machines.empty() ? 0 : machines.front();
               })
      .Numbers("text", [&](const N& n) { return Text(n.text); });
}

void Writer::AddViolation() {
  Key("violation");
  if (!recording_.violation.has_value()) {
    out_ += "null";
    return;
  }
  const Recording::Violation& v = *recording_.violation;
  absl::StrAppend(&out_, "{\"what\":", Quoted(v.what), ",\"live\":",
                  v.kind == Verdict::Kind::kLiveness ? "false" : "true",
                  ",\"event\":", v.at.event, ",\"time\":", Ns(v.at.time),
                  ",\"machines\":[");
  const char* between = "";
  for (MachineId m : v.machines) {
    absl::StrAppend(&out_, std::exchange(between, ","), m);
  }
  out_ += "],\"calls\":[";
  between = "";
  for (uint32_t call : v.calls) {
    if (call_places_[call] < 0) continue;
    absl::StrAppend(&out_, std::exchange(between, ","), call_places_[call]);
  }
  out_ += "]}";
}

void Writer::AddStrings(absl::string_view key,
                        const std::vector<std::string>& strings) {
  Key(key);
  out_ += "[";
  const char* between = "";
  for (const std::string& s : strings) {
    absl::StrAppend(&out_, between, Quoted(s));
    between = ",\n";
  }
  out_ += "]";
}

void Writer::AddNames() {
  std::vector<std::string> kinds = {""};
  for (int i = 1; i <= static_cast<int>(EventKind::kHarness); ++i) {
    kinds.push_back(EventKindName(static_cast<EventKind>(i)));
  }
  AddStrings("kinds", kinds);
  std::vector<std::string> groups;
  for (int i = 0; i <= static_cast<int>(MessageGroup::kTls); ++i) {
    groups.push_back(ToString(static_cast<MessageGroup>(i)));
  }
  AddStrings("groups", groups);
  std::vector<std::string> looks;
  for (int i = 0; i <= static_cast<int>(ServerLooks::kLeader); ++i) {
    looks.push_back(ToString(static_cast<ServerLooks>(i)));
  }
  AddStrings("looks", looks);
  AddStrings("texts", texts_);
}

std::string Writer::Write(const PageInfo& info) {
  AddHead(info);
  AddEvents();
  AddMessages();
  AddDisk();
  AddCalls();
  AddStates();
  AddMarks();
  AddNotes();
  AddViolation();
  AddNames();
  out_ += "}";
  return std::move(out_);
}

}  // namespace

std::string PageData(const Recording& recording, const TimeWindow& window,
                     const PageInfo& info) {
  return Writer(recording, window).Write(info);
}

}  // namespace holdfast
