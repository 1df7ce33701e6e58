#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_split.h"
#include "transport/certs.h"
#include "transport/cli/command.h"

namespace holdfast {
namespace {

int RunInit(const Args& args) {
  if (absl::Status s = args.Require({"dir", "cluster"}); !s.ok()) {
    return FailWith(s);
  }
  absl::Status made = InitCa(args.Text("dir"), args.Text("cluster"));
  return made.ok() ? kExitDone : FailWith(made);
}

int RunIssue(const Args& args) {
  if (absl::Status s = args.Require({"dir"}); !s.ok()) return FailWith(s);
  if (args.Has("node") == args.Has("client")) {
    return Fail(kExitUsage, "expected either --node=ID or --client=NAME");
  }
  absl::StatusOr<uint64_t> days = args.Number("days", 365, 1, 36500);
  if (!days.ok()) return FailWith(days.status());
  Duration validity = 24h * static_cast<int64_t>(*days);
  if (args.Has("node")) {
    absl::StatusOr<uint64_t> id = args.Number("node", 0, 1, UINT64_MAX);
    if (!id.ok()) return FailWith(id.status());
    if (absl::Status s = args.Require({"hosts"}); !s.ok()) return FailWith(s);
    std::vector<std::string> hosts = absl::StrSplit(args.Text("hosts"), ',');
    absl::Status made =
        IssueServer(args.Text("dir"), ServerId(*id), hosts, validity);
    return made.ok() ? kExitDone : FailWith(made);
  }
  std::string role = args.Text("role", "write");
  ClientRole parsed = role == "admin"   ? ClientRole::kAdmin
                      : role == "write" ? ClientRole::kWrite
                      : role == "read"  ? ClientRole::kRead
                                        : ClientRole::kNone;
  if (parsed == ClientRole::kNone) {
    return Fail(kExitUsage, "--role: expected admin, write or read, found \"" +
                                role + "\"");
  }
  absl::Status made =
      IssueClient(args.Text("dir"), args.Text("client"), parsed, validity);
  return made.ok() ? kExitDone : FailWith(made);
}

}  // namespace

Command CertsInitCommand() {
  return {"certs init",
          "makes a cluster's certificate authority",
          {{"dir", "DIR", "where to; made if it isn't there"},
           {"cluster", "NAME", "the cluster's name"}},
          RunInit};
}

Command CertsIssueCommand() {
  return {"certs issue",
          "makes a server's or a client's certificate and key",
          {{"dir", "DIR", "the directory with the CA"},
           {"node", "ID", "a server's id"},
           {"hosts", "A,B", "the server's host names and addresses"},
           {"client", "NAME", "a client's name"},
           {"role", "ROLE", "the client's: admin, write (default) or read"},
           {"days", "N", "how long it is valid; 365 unless told otherwise"}},
          RunIssue};
}

}  // namespace holdfast
