#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "transport/cli/command.h"
#include "transport/cli/connection.h"
#include "transport/cli/json.h"

namespace holdfast {
namespace {

struct Answer {
  Address server;
  absl::StatusOr<ServerStatus> status = absl::UnknownError("not asked");
};

std::string ToJson(const Answer& a) {
  if (!a.status.ok()) {
    return absl::StrCat("{\"server\":", JsonString(a.server),
                        ",\"error\":", JsonString(a.status.status().message()),
                        "}");
  }
  const ServerStatus& s = *a.status;
  // Role and leader stand before anything nested, for simple tools.
  std::string json = absl::StrCat(
      "{\"server\":", JsonString(a.server), ",\"id\":", s.id.value(),
      ",\"role\":", JsonString(ToString(s.role)), ",\"term\":", s.term.value(),
      ",\"leader\":", s.leader.value(), ",\"commit_index\":", s.commit.value(),
      ",\"applied_index\":", s.applied.value(),
      ",\"last_index\":", s.last.value(),
      ",\"first_offset\":", s.first_offset.value(),
      ",\"next_offset\":", s.next_offset.value(),
      ",\"cluster\":", JsonString(s.cluster_name),
      ",\"feature_level\":", s.feature_level,
      ",\"feature_level_max\":", s.feature_level_max,
      ",\"boot_count\":", s.boot_count, ",\"version\":", JsonString(s.version),
      ",\"text\":", JsonString(s.text),
      ",\"lease\":", s.lease ? "true" : "false",
      ",\"joint\":", s.joint ? "true" : "false", ",\"members\":[");
  bool first = true;
  for (const MemberStatus& m : s.members) {
    absl::StrAppend(&json, first ? "" : ",", "{\"id\":", m.id.value(),
                    ",\"address\":", JsonString(m.address),
                    ",\"kind\":", JsonString(ToString(m.kind)),
                    ",\"connected\":", m.connected ? "true" : "false",
                    ",\"error\":", JsonString(m.last_error), "}");
    first = false;
  }
  return absl::StrCat(json, "]}");
}

void PrintText(const Answer& a) {
  if (!a.status.ok()) {
    std::printf("%-22s unreachable: %s\n", a.server.c_str(),
                std::string(a.status.status().message()).c_str());
    return;
  }
  const ServerStatus& s = *a.status;
  std::printf(
      "%-22s id %llu, %s, term %llu%s, leader %llu, commit %llu, "
      "offsets %llu to %llu, feature level %lu of %lu%s%s\n",
      a.server.c_str(), static_cast<unsigned long long>(s.id.value()),
      ToString(s.role), static_cast<unsigned long long>(s.term.value()),
      s.lease ? ", lease" : "",
      static_cast<unsigned long long>(s.leader.value()),
      static_cast<unsigned long long>(s.commit.value()),
      static_cast<unsigned long long>(s.first_offset.value()),
      static_cast<unsigned long long>(s.next_offset.value()),
      static_cast<unsigned long>(s.feature_level),
      static_cast<unsigned long>(s.feature_level_max),
      s.text.empty() ? "" : "; ", s.text.c_str());
  for (const MemberStatus& m : s.members) {
    std::printf("    member %llu at %s, %s%s%s\n",
                static_cast<unsigned long long>(m.id.value()),
                m.address.c_str(), ToString(m.kind),
                m.connected ? "" : ", not connected: ",
                m.connected ? "" : m.last_error.c_str());
  }
  if (s.joint) {
    std::printf(
        "    joint configuration: voters are being changed, and a majority of "
        "the old ones and one of the new ones decide\n");
  }
}

int RunStatus(const Args& args) {
  absl::StatusOr<std::unique_ptr<ClientConnection>> c =
      ClientConnection::Open(args);
  if (!c.ok()) return FailWith(c.status());
  EpollLoop* loop = (*c)->loop();
  std::vector<Answer> answers((*c)->servers().size());
  size_t left = answers.size();
  for (size_t i = 0; i < answers.size(); ++i) {
    answers[i].server = (*c)->servers()[i];
    (*c)->client()->Status(answers[i].server, (*c)->timeout(),
                           [&, i](absl::StatusOr<ServerStatus> status) {
                             answers[i].status = std::move(status);
                             if (--left == 0) loop->Stop();
                           });
  }
  loop->Run();
  bool reached = false;
  std::string json;
  for (const Answer& a : answers) {
    reached |= a.status.ok();
    if (args.Has("json")) {
      absl::StrAppend(&json, json.empty() ? "" : ",\n ", ToJson(a));
    } else {
      PrintText(a);
    }
  }
  if (args.Has("json")) std::printf("[%s]\n", json.c_str());
  if (!reached) return Fail(kExitUnknown, "none of the servers answered");
  return kExitDone;
}

}  // namespace

Command StatusCommand() {
  return {"status", "shows what each server says of itself",
          WithConnectionFlags({{"json", nullptr, "as JSON"}}), RunStatus};
}

}  // namespace holdfast
