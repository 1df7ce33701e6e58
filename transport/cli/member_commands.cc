// join, leave, transfer and trim.

#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/env/address.h"
#include "transport/cli/command.h"
#include "transport/cli/connection.h"

namespace holdfast {
namespace {

constexpr Duration kJoinTimeout = 60s;  // the log has to get there first
constexpr Duration kTimeout = 30s;

using AskFn = InlineFunction<void(Client*, Duration timeout, DoneFn)>;

// Asks until the end, and prints one line on it.
int Run(const Args& args, Duration timeout, absl::string_view what,
        absl::string_view success, AskFn ask) {
  absl::StatusOr<std::unique_ptr<ClientConnection>> c =
      ClientConnection::Open(args, timeout);
  if (!c.ok()) return FailWith(c.status());
  EpollLoop* loop = (*c)->loop();
  absl::Status result;
  ask((*c)->client(), (*c)->timeout(), [&](absl::Status done) {
    result = std::move(done);
    loop->Stop();
  });
  loop->Run();
  if (result.ok()) {
    std::printf("%s\n", std::string(success).c_str());
    return kExitDone;
  }
  bool unknown = absl::IsDeadlineExceeded(result);
  return FailWith(absl::Status(
      result.code(), absl::StrCat(what, unknown ? ": outcome unknown: " : ": ",
                                  result.message())));
}

int RunJoin(const Args& args) {
  if (absl::Status s = args.Require({"id", "address"}); !s.ok()) {
    return FailWith(s);
  }
  absl::StatusOr<uint64_t> id = args.Number("id", 0, 1, UINT64_MAX);
  if (!id.ok()) return FailWith(id.status());
  Address address = args.Text("address");
  if (absl::StatusOr<HostPort> parsed = ParseAddress(address); !parsed.ok()) {
    return Fail(kExitUsage,
                absl::StrCat("--address: ", parsed.status().message()));
  }
  bool learner = args.Has("learner");
  return Run(args, kJoinTimeout, absl::StrCat("join of server ", *id),
             absl::StrCat("server ", *id, " joined as a ",
                          learner ? "learner" : "voter"),
             [&](Client* client, Duration timeout, DoneFn done) {
               client->Join(ServerId(*id), address, learner, timeout,
                            std::move(done));
             });
}

int RunLeave(const Args& args) {
  if (absl::Status s = args.Require({"id"}); !s.ok()) return FailWith(s);
  absl::StatusOr<std::vector<uint64_t>> ids =
      args.Numbers("id", 1, UINT64_MAX, 1024);
  if (!ids.ok()) return FailWith(ids.status());
  std::string servers = absl::StrCat(ids->size() == 1 ? "server " : "servers ",
                                     absl::StrJoin(*ids, ", "));
  return Run(args, kTimeout, absl::StrCat("leave of ", servers),
             absl::StrCat(servers, " left"),
             [&](Client* client, Duration timeout, DoneFn done) {
               client->Leave(std::vector<ServerId>(ids->begin(), ids->end()),
                             timeout, std::move(done));
             });
}

int RunTransfer(const Args& args) {
  absl::StatusOr<uint64_t> to = args.Number("to", 0, 1, UINT64_MAX);
  if (!to.ok()) return FailWith(to.status());
  return Run(args, kTimeout, "transfer of leadership",
             *to == 0 ? "leadership was handed over"
                      : absl::StrCat("server ", *to, " leads"),
             [&](Client* client, Duration timeout, DoneFn done) {
               client->Transfer(ServerId(*to), timeout, std::move(done));
             });
}

int RunTrim(const Args& args) {
  if (absl::Status s = args.Require({"before"}); !s.ok()) return FailWith(s);
  absl::StatusOr<uint64_t> before = args.Number("before", 0, 0, UINT64_MAX);
  if (!before.ok()) return FailWith(before.status());
  return Run(args, kTimeout, "trim",
             absl::StrCat("the log begins at offset ", *before, " or later"),
             [&](Client* client, Duration timeout, DoneFn done) {
               client->Trim(Offset(*before), timeout, std::move(done));
             });
}

}  // namespace

Command JoinCommand() {
  return {"join", "adds a server to the cluster, or moves one",
          WithConnectionFlags(
              {{"id", "ID", "the server's id"},
               {"address", "HOST:PORT", "how the others reach it"},
               {"learner", nullptr,
                "it gets the log and never votes, until it is joined without"}},
              "how long to try; 60s"),
          RunJoin};
}

Command LeaveCommand() {
  return {"leave", "removes servers from the cluster",
          WithConnectionFlags(
              {{"id", "ID,...", "the servers' ids; removed in one step"}}),
          RunLeave};
}

Command TransferCommand() {
  return {"transfer", "hands leadership over",
          WithConnectionFlags(
              {{"to", "ID",
                "to this voter; else to the one that has most of the log"}}),
          RunTransfer};
}

Command TrimCommand() {
  return {"trim", "drops the log's oldest records",
          WithConnectionFlags(
              {{"before", "OFFSET", "the first offset that is to be kept"}}),
          RunTrim};
}

}  // namespace holdfast
