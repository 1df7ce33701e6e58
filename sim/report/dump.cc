#include "sim/report/dump.h"

#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "sim/report/sentences.h"
#include "sim/report/text_trace.h"
#include "sim/trace.h"

namespace holdfast {
namespace {

std::string Ids(const std::vector<Member>& members) {
  return absl::StrJoin(members, " ", [](std::string* out, const Member& m) {
    absl::StrAppend(out, m.id.value());
  });
}

std::string ToText(const Configuration& c) {
  std::string text = absl::StrCat("voters ", Ids(c.voters));
  if (c.joint()) absl::StrAppend(&text, ", joint with ", Ids(c.old_voters));
  if (!c.learners.empty()) {
    absl::StrAppend(&text, ", learners ", Ids(c.learners));
  }
  if (!c.joining.empty()) absl::StrAppend(&text, ", joining ", Ids(c.joining));
  return absl::StrCat(text, ", level ", c.feature_level);
}

void AddCore(const RaftCore& core, std::string* out) {
  absl::StrAppend(out, "  ", ToString(core.role()), " of term ",
                  core.term().value(), ", vote ", core.vote().value(),
                  core.hard_state_durable() ? "" : " (not durable)",
                  ", leader ", core.leader().value(), "\n");
  const Trail& trail = core.trail();
  absl::StrAppend(out, "  log ", trail.base_index().value() + 1, "..",
                  core.last_index().value(), ", last of term ",
                  core.last_term().value(), "; durable to ",
                  core.durable().value(), "; commit ", core.commit().value(),
                  "\n  terms");
  for (const Trail::Run& run : trail.runs()) {
    absl::StrAppend(out, " ", run.term.value(), " from ", run.first.value());
  }
  absl::StrAppend(out, "\n  configuration of entry ",
                  core.configuration_index().value(), ": ",
                  ToText(core.configuration()), "\n");
  absl::StrAppend(out, "  writes given to the log: ", core.sequence(),
                  ", durable: ", core.persisted_sequence(), "; ",
                  core.withheld_count(), " messages wait for them; ",
                  core.reads_waiting(), " reads wait\n");
  for (const auto& [voter, vote] : core.votes()) {
    absl::StrAppend(out, "  vote of ", voter.value(),
                    vote == Vote::kGranted ? ": granted\n" : ": refused\n");
  }
  for (const Progress& p : core.progress()) {
    absl::StrAppend(out, "  progress of ", p.id().value(), ": ",
                    ToString(p.state()), ", match ", p.match().value(),
                    ", next ", p.next().value(), ", ", p.messages_in_flight(),
                    " messages in flight\n");
  }
  if (core.transfer_to() != ServerId()) {
    absl::StrAppend(out, "  hands over to ", core.transfer_to().value(), "\n");
  }
}

void AddConnections(const SimServer& server, size_t servers, std::string* out) {
  const Peers& peers = server.node().peers();
  for (MachineId m = 1; m <= servers; ++m) {
    if (m == server.machine()) continue;
    const ServerId id(m);
    const absl::Status why = peers.last_error(id);
    if (peers.connected(id)) {
      absl::StrAppend(out, "  connected to server ", m, "\n");
    } else if (server.node().configuration() != nullptr &&
               server.node().configuration()->Find(id) != nullptr) {
      absl::StrAppend(out, "  not connected to server ", m, ": ", why.message(),
                      "\n");
    }
  }
}

// The many files of one kind by their number, ends and size.
void AddFiles(const NameTable& names, std::string* out) {
  struct Kind {
    std::vector<std::string> names;
    uint64_t bytes = 0;
  };
  std::map<std::string, Kind> kinds;  // by what is behind the point
  for (const auto& [name, file] : names.now()) {
    const size_t point = name.find('.');
    Kind& kind = kinds[point == std::string::npos ? name : name.substr(point)];
    kind.names.push_back(name);
    kind.bytes += file->now().size();
  }
  for (const auto& [suffix, kind] : kinds) {
    absl::StrAppend(out, "  disk: ", kind.names.front());
    if (kind.names.size() > 1) {
      absl::StrAppend(out, " .. ", kind.names.back(), ", ", kind.names.size(),
                      " files");
    }
    absl::StrAppend(out, ", ", kind.bytes, " bytes\n");
  }
  for (const auto& [name, file] : names.now()) {
    if (file->unsynced() == 0) continue;
    absl::StrAppend(out, "  disk: ", name, " has ", file->unsynced(),
                    " writes that aren't synced\n");
  }
}

void AddServer(SimServer* server, size_t servers, std::string* out) {
  absl::StrAppend(out, NameOf(server->machine()));
  if (!server->running()) {
    absl::StrAppend(out, ": down\n");
  } else {
    absl::StrAppend(out, ": life ", server->boots(),
                    server->process()->alive() ? "" : ", just died", "\n");
    if (!server->failure().ok()) {
      absl::StrAppend(out, "  failed: ", server->failure().ToString(), "\n");
    }
    if (server->node().formed()) {
      AddCore(*server->node().core(), out);
      const DistributedLog& log = server->log();
      absl::StrAppend(out, "  records ", log.first_offset().value(), "..",
                      log.committed_end().value(), " are read; ");
      absl::StrAppend(
          out, log.applier() == nullptr
                   ? std::string("no state machine\n")
                   : absl::StrCat("applied to entry ",
                                  log.applier()->applied().value(), "\n"));
    } else {
      absl::StrAppend(out, "  not formed: ",
                      server->node().forming_status().message(), "\n");
    }
    AddConnections(*server, servers, out);
  }
  AddFiles(server->disk()->names(), out);
}

// Of that machine, what is under way.
void AddUnderWay(const Recording& recording, MachineId machine,
                 std::string* out) {
  for (const Recording::DiskOperation& o : recording.disk) {
    if (o.machine != machine || o.ended.has_value()) continue;
    absl::StrAppend(out, "  disk: ", ToString(o), ", begun in event ",
                    o.begun.event, ", due at ", FormatTrueTime(o.due), "\n");
  }
  for (const Recording::Call& c : recording.calls) {
    if (c.machine != machine || c.ended.has_value()) continue;
    absl::StrAppend(out, "  waits for: ", ToString(c), ", since event ",
                    c.begun.event, ", ", FormatTrueTime(c.begun.time), "\n");
  }
}

}  // namespace

std::string Dump(Simulation* simulation, const Recording& recording) {
  const World& world = *simulation->world();
  std::string out = absl::StrCat("after event ", world.trace.events(), ", at ",
                                 FormatTrueTime(world.now()), "\n",
                                 EventLine(recording, world.trace.events()));
  if (recording.violation.has_value()) {
    absl::StrAppend(&out, "violation: ", recording.violation->what, "\n");
  }
  const size_t servers = simulation->server_count();
  for (MachineId m = 1; m <= servers; ++m) {
    AddServer(simulation->server(m), servers, &out);
    AddUnderWay(recording, m, &out);
  }
  for (size_t i = 0; i < simulation->client_count(); ++i) {
    const MachineId m = kFirstClient + static_cast<MachineId>(i);
    absl::StrAppend(&out, simulation->client(i)->Describe(), "\n");
    AddUnderWay(recording, m, &out);
  }
  for (const auto& [from, to] : simulation->network()->CutLinks()) {
    absl::StrAppend(&out, "cut: from ", NameOf(from), " to ", NameOf(to), "\n");
  }
  return out;
}

}  // namespace holdfast
