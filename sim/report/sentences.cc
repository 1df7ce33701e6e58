#include "sim/report/sentences.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace holdfast {
namespace {

std::string Milliseconds(Duration length) {
  return absl::StrFormat("%.3f ms", static_cast<double>(length.count()) / 1e6);
}

const char* ToString(CallEnd end) {
  switch (end) {
    case CallEnd::kDone:
      return "done";
    case CallEnd::kRejected:
      return "rejected";
    case CallEnd::kUnknown:
      return "outcome unknown";
    case CallEnd::kFailed:
      return "failed";
  }
  return "?";
}

std::string WithText(const Recording::Message& m) {
  return m.text.empty() ? m.name : absl::StrCat(m.name, " (", m.text, ")");
}

}  // namespace

std::string ToString(const Recording::DiskOperation& o) {
  std::string text = o.what;
  if (o.bytes > 0) {
    absl::StrAppend(&text, " of ", o.bytes, " bytes at ", o.from);
  }
  absl::StrAppend(&text,
                  o.file.empty() ? " (directory)" : absl::StrCat(", ", o.file));
  return text;
}

std::string ToString(const Recording::Call& call) {
  return absl::StrCat(call.what, " ", call.detail);
}

std::string ResultOf(const Recording::Call& call) {
  if (!call.ended.has_value()) return "under way";
  return absl::StrCat(ToString(call.end), call.result.empty() ? "" : ": ",
                      call.result);
}

std::string ToString(const Recording::State& s) {
  if (s.looks == ServerLooks::kDown || s.looks == ServerLooks::kForming) {
    return ToString(s.looks);
  }
  return absl::StrCat(ToString(s.looks), " of term ", s.term,
                      s.vote == 0 ? "" : absl::StrCat(", voted for ", s.vote),
                      s.leader == 0 ? "" : absl::StrCat(", leader ", s.leader),
                      ", log up to ", s.last, " (", s.durable,
                      " durable), committed ", s.commit);
}

std::string ToString(const Incident& incident) {
  const std::string who = NameOf(incident.machine);
  const std::string link = absl::StrCat(
      "from ", who, " to ", incident.other == 0 ? "?" : NameOf(incident.other));
  switch (incident.kind) {
    case IncidentKind::kStart:
      return absl::StrCat(who, " starts");
    case IncidentKind::kEnd:
      return absl::StrCat(who, " ends");
    case IncidentKind::kCrash:
      return absl::StrCat(who, " crashes");
    case IncidentKind::kPowerLoss:
      return absl::StrCat(who, " loses power");
    case IncidentKind::kPause:
      return absl::StrCat(who, " is paused for ",
                          Milliseconds(incident.length));
    case IncidentKind::kNewDisk:
      return absl::StrCat(who, " gets another disk");
    case IncidentKind::kCut:
      return absl::StrCat("nothing gets ", link);
    case IncidentKind::kHeal:
      return absl::StrCat("the link ", link, " is healed");
    case IncidentKind::kSlow:
      return absl::StrCat("the link ", link, " is slow by ",
                          Milliseconds(incident.length));
    case IncidentKind::kClog:
      return absl::StrCat("the link ", link, " carries ", incident.count,
                          " bytes a second");
    case IncidentKind::kFast:
      return absl::StrCat("the link ", link, " is as fast as before");
    case IncidentKind::kReset:
      return absl::StrCat("a stream ", link, " is reset in a write");
    case IncidentKind::kSilence:
      return absl::StrCat("a stream ", link, " goes silent");
    case IncidentKind::kFlip:
      return absl::StrCat("a bit of a stream ", link, " is flipped");
    case IncidentKind::kLinger:
      return absl::StrCat("what a stream that is given up has on its way ",
                          link, " takes ", Milliseconds(incident.length),
                          " longer");
    case IncidentKind::kRefused:
      return absl::StrCat("a dial ", link, " is refused");
    case IncidentKind::kHang:
      return absl::StrCat("the disk of ", who, " hangs: syncs take ",
                          Milliseconds(incident.length));
    case IncidentKind::kMend:
      return absl::StrCat("the disk of ", who, " is mended");
    case IncidentKind::kDropped:
      return absl::StrCat(incident.count, " operations of the disk of ", who,
                          " under way never happened");
    case IncidentKind::kCutShort:
      return absl::StrCat(incident.count, " writes of the disk of ", who,
                          " under way happened in part");
    case IncidentKind::kLostWrites:
      return absl::StrCat("the disk of ", who, " lost ", incident.count,
                          " unsynced writes");
    case IncidentKind::kTornWrites:
      return absl::StrCat("the disk of ", who, " has ", incident.count,
                          " torn writes");
    case IncidentKind::kLostNames:
      return absl::StrCat("the disk of ", who, " lost ", incident.count,
                          " unsynced changes of names");
    case IncidentKind::kDeviceError:
      return absl::StrCat("an operation of the disk of ", who, " is to fail");
    case IncidentKind::kFull:
      return absl::StrCat("the disk of ", who, " has room for ", incident.count,
                          " bytes more");
    case IncidentKind::kRoom:
      return absl::StrCat("the disk of ", who, " has room again");
    case IncidentKind::kDamage:
      return absl::StrCat("the disk of ", who, " is damaged");
  }
  return "?";
}

std::string ToString(const Recording& r, const Recording::Fact& fact) {
  using Kind = Recording::FactKind;
  switch (fact.kind) {
    case Kind::kSent:
      return absl::StrCat("sends ", WithText(r.messages[fact.index]), " to ",
                          NameOf(r.messages[fact.index].to));
    case Kind::kArrived: {
      const Recording::Message& m = r.messages[fact.index];
      return absl::StrCat(NameOf(m.from), " -> ", NameOf(m.to), " ",
                          WithText(m));
    }
    case Kind::kRead: {
      const Recording::Message& m = r.messages[fact.index];
      return absl::StrCat("takes ", WithText(m), " from ", NameOf(m.from));
    }
    case Kind::kDiskBegun:
      return absl::StrCat("begins ", ToString(r.disk[fact.index]));
    case Kind::kDiskEnded:
      return absl::StrCat("done: ", ToString(r.disk[fact.index]));
    case Kind::kCalled:
      return absl::StrCat("calls ", ToString(r.calls[fact.index]));
    case Kind::kReturned:
      return absl::StrCat(ToString(r.calls[fact.index]), ": ",
                          ResultOf(r.calls[fact.index]));
    case Kind::kState:
      return absl::StrCat(NameOf(r.states[fact.index].machine), " is ",
                          ToString(r.states[fact.index]));
    case Kind::kMark:
      return ToString(r.marks[fact.index].incident);
    case Kind::kNote:
      return absl::StrCat("note: ", r.notes[fact.index].text);
  }
  return "?";
}

}  // namespace holdfast
