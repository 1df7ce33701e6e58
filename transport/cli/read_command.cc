// read and tail.

#include <signal.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "engine/base/lost_records.h"
#include "transport/cli/command.h"
#include "transport/cli/connection.h"

namespace holdfast {
namespace {

// Prints records up to a number of them.
class Printer {
 public:
  Printer(bool json, uint64_t count) : json_(json), left_(count) {}

  // False once enough is printed.
  bool Print(const std::vector<LogBatch>& batches) {
    for (const LogBatch& batch : batches) {
      Offset offset = batch.from;
      RecordCursor cursor = batch.Records();
      RecordView record;
      while (left_ > 0 && cursor.Next(&record)) {
        PrintOne(offset, batch.log_time, record);
        ++offset;
        --left_;
      }
    }
    std::fflush(stdout);
    return left_ > 0 && !std::ferror(stdout);
  }
  bool failed() const { return std::ferror(stdout) != 0; }

 private:
  void PrintOne(Offset offset, WallTime time, const RecordView& record) {
    if (!json_) {
      std::fwrite(record.value().data(), 1, record.value().size(), stdout);
      std::fputc('\n', stdout);
      return;
    }
    std::string key =
        record.key().has_value()
            ? absl::StrCat("\"", absl::Base64Escape(*record.key()), "\"")
            : "null";
    std::string line = absl::StrCat(
        "{\"offset\":", offset.value(),
        ",\"timestamp_ns\":", time.time_since_epoch().count(), ",\"key\":", key,
        ",\"value\":\"", absl::Base64Escape(record.value()), "\"}\n");
    std::fwrite(line.data(), 1, line.size(), stdout);
  }

  const bool json_;
  uint64_t left_;
};

struct Request {
  std::unique_ptr<ClientConnection> connection;
  Offset from;
  uint64_t count = 0;
  bool json = false;
  bool skip_lost = false;
};

absl::StatusOr<Request> ParseRequest(const Args& args) {
  Request r;
  absl::StatusOr<uint64_t> from = args.Number("from", 0, 0, UINT64_MAX);
  if (!from.ok()) return from.status();
  r.from = Offset(*from);
  absl::StatusOr<uint64_t> count =
      args.Number("count", UINT64_MAX, 1, UINT64_MAX);
  if (!count.ok()) return count.status();
  r.count = *count;
  std::string format = args.Text("format", "text");
  if (format != "text" && format != "json") {
    return absl::InvalidArgumentError(absl::StrCat(
        "--format: expected text or json, found \"", format, "\""));
  }
  r.json = format == "json";
  r.skip_lost = args.Has("skip-lost");
  absl::StatusOr<std::unique_ptr<ClientConnection>> c =
      ClientConnection::Open(args);
  if (!c.ok()) return c.status();
  r.connection = *std::move(c);
  return r;
}

// Whether that is what ended it, and it is to go on, at `next`. Says so.
bool SkipsLost(const absl::Status& why, bool skip_lost, Offset* next) {
  const std::optional<LostRecords> lost = LostRecordsOf(why);
  if (!skip_lost || !lost.has_value() || lost->end <= *next) return false;
  std::fprintf(stderr, "holdfast: %s\n", std::string(why.message()).c_str());
  *next = lost->end;
  return true;
}

// Reads stretch by stretch, up to the end that the first one saw.
class Reading {
 public:
  Reading(Request request, bool local)
      : connection_(std::move(request.connection)),
        printer_(request.json, request.count),
        skip_lost_(request.skip_lost),
        next_(request.from) {
    options_.timeout = connection_->timeout();
    if (local) {
      options_.mode = ClientReadMode::kLocal;
      options_.server = connection_->servers()[0];
    }
  }

  int Run() {
    Next();
    connection_->loop()->Run();
    if (status_.ok() && printer_.failed()) {
      return Fail(kExitFailed, "can't write to stdout");
    }
    return status_.ok() ? kExitDone : FailWith(status_);
  }

 private:
  void Next() {
    connection_->client()->Read(
        next_, options_, [this](absl::StatusOr<ClientReadResult> result) {
          if (SkipsLost(result.status(), skip_lost_, &next_)) {
            if (end_.has_value() && next_ >= *end_) {
              return Stop(absl::OkStatus());
            }
            return Next();
          }
          if (!result.ok()) return Stop(result.status());
          if (!end_.has_value()) end_ = result->committed_end;
          bool more = printer_.Print(result->batches);
          next_ = result->next;
          if (!more || result->batches.empty() || next_ >= *end_) {
            return Stop(absl::OkStatus());
          }
          Next();
        });
  }
  void Stop(absl::Status status) {
    status_ = std::move(status);
    connection_->loop()->Stop();
  }

  std::unique_ptr<ClientConnection> connection_;
  Printer printer_;
  const bool skip_lost_;
  Offset next_;
  ClientReadOptions options_;
  std::optional<Offset> end_;
  absl::Status status_;
};

int RunRead(const Args& args) {
  absl::StatusOr<Request> request = ParseRequest(args);
  if (!request.ok()) return FailWith(request.status());
  Reading reading(*std::move(request), args.Has("local"));
  return reading.Run();
}

int RunTail(const Args& args) {
  absl::StatusOr<Request> request = ParseRequest(args);
  if (!request.ok()) return FailWith(request.status());
  EpollLoop* loop = request->connection->loop();
  Printer printer(request->json, request->count);
  absl::Status status;
  bool follow = args.Has("follow");
  bool answered = false;
  std::unique_ptr<ClientTail> tail;
  std::function<void(Offset)> begin = [&](Offset from) {
    ClientTailCallbacks callbacks;
    callbacks.on_batches = [&](std::vector<LogBatch> batches) {
      answered = true;
      if (!printer.Print(batches)) loop->Stop();
    };
    callbacks.on_caught_up = [&](Offset) {
      answered = true;
      if (!follow) loop->Stop();
    };
    callbacks.on_end = [&](absl::Status why) {
      answered = true;
      Offset next = tail->next();
      // Not within its own callback.
      if (SkipsLost(why, request->skip_lost, &next)) {
        return loop->Post([&begin, next] { begin(next); });
      }
      status = std::move(why);
      loop->Stop();
    };
    tail = request->connection->client()->Tail(from, {}, std::move(callbacks));
  };
  begin(request->from);
  // Without --follow it must come to an end; with it, to a beginning.
  Timer patience = loop->After(request->connection->timeout(), [&] {
    if (answered) return;
    status = absl::UnavailableError(
        absl::StrCat("no server answered within the timeout: ",
                     request->connection->client()->Trouble()));
    loop->Stop();
  });
  EpollLoop::BlockSignals({SIGINT, SIGTERM});
  loop->OnSignals({SIGINT, SIGTERM}, [loop](int) { loop->Stop(); });
  loop->Run();
  tail = nullptr;
  return status.ok() ? kExitDone : FailWith(status);
}

}  // namespace

Command ReadCommand() {
  return {"read", "prints records up to the end of the log",
          WithConnectionFlags(
              {{"from", "OFFSET", "the first record; 0 unless told otherwise"},
               {"count", "N", "at most so many"},
               {"local", nullptr,
                "the first server's committed prefix, instead of a "
                "linearizable read"},
               {"skip-lost", nullptr,
                "go on behind records that no server has any more"},
               {"format", "FORMAT", "text (a record a line) or json"}}),
          RunRead};
}

Command TailCommand() {
  return {"tail", "prints records, and with --follow those to come",
          WithConnectionFlags(
              {{"from", "OFFSET", "the first record; 0 unless told otherwise"},
               {"count", "N", "at most so many"},
               {"follow", nullptr, "go on when the log ends"},
               {"skip-lost", nullptr,
                "go on behind records that no server has any more"},
               {"format", "FORMAT", "text (a record a line) or json"}}),
          RunTail};
}

}  // namespace holdfast
