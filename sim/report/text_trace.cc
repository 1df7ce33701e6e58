#include "sim/report/text_trace.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sim/report/sentences.h"
#include "sim/trace.h"

namespace holdfast {
namespace {

// Where the facts of that event, or of a later one, begin.
size_t FirstFactOf(const Recording& recording, uint64_t event) {
  const auto it = std::lower_bound(
      recording.facts.begin(), recording.facts.end(), event,
      [](const Recording::Fact& f, uint64_t e) { return f.event < e; });
  return static_cast<size_t>(it - recording.facts.begin());
}

void AppendFacts(const Recording& recording, uint64_t event, size_t* at,
                 std::string* out) {
  const char* between = " ";
  for (; *at < recording.facts.size() && recording.facts[*at].event == event;
       ++*at) {
    std::string text = ToString(recording, recording.facts[*at]);
    // What somebody else said may be of several lines.
    std::replace(text.begin(), text.end(), '\n', ' ');
    absl::StrAppend(out, between, text);
    between = "; ";
  }
  out->push_back('\n');
}

void AppendLine(const Recording& recording, const Recording::Event& event,
                size_t* at, std::string* out) {
  absl::StrAppend(
      out, absl::StrFormat("#%-8d %s %-9s %-12s", event.number,
                           FormatTrueTime(event.time),
                           event.machine == 0 ? "world" : NameOf(event.machine),
                           EventKindName(event.kind)));
  AppendFacts(recording, event.number, at, out);
}

}  // namespace

std::string TextTrace(const Recording& recording, const TimeWindow& window) {
  std::string out;
  size_t at = 0;
  if (window.Has(TrueTime{}) && FirstFactOf(recording, 1) > 0) {
    absl::StrAppend(
        &out, absl::StrFormat("#%-8d %s %-9s %-12s", 0,
                              FormatTrueTime(TrueTime{}), "world", "start"));
    AppendFacts(recording, 0, &at, &out);
  }
  const auto first = std::lower_bound(
      recording.events.begin(), recording.events.end(), window.from,
      [](const Recording::Event& e, TrueTime t) { return e.time < t; });
  if (first != recording.events.end()) {
    at = FirstFactOf(recording, first->number);
  }
  for (auto e = first; e != recording.events.end() && e->time <= window.to;
       ++e) {
    AppendLine(recording, *e, &at, &out);
    if (recording.violation.has_value() &&
        recording.violation->at.event == e->number) {
      absl::StrAppend(&out, "violation: ", recording.violation->what, "\n");
    }
  }
  return out;
}

std::string EventLine(const Recording& recording, uint64_t number) {
  const auto e = std::lower_bound(
      recording.events.begin(), recording.events.end(), number,
      [](const Recording::Event& a, uint64_t n) { return a.number < n; });
  std::string out;
  if (e == recording.events.end() || e->number != number) return out;
  size_t at = FirstFactOf(recording, number);
  AppendLine(recording, *e, &at, &out);
  return out;
}

}  // namespace holdfast
