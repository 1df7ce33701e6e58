#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <cstdio>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "transport/cli/command.h"
#include "transport/cli/connection.h"

namespace holdfast {
namespace {

// Lines that came together go into one batch, up to so many bytes.
constexpr size_t kBatchBytes = 64 << 10;
// Of input that is read and not yet acknowledged.
constexpr size_t kPendingBytesMax = 16 << 20;
constexpr Duration kProgressInterval = 200ms;
constexpr Duration kProgressDelay = 1s;

struct Lines {
  std::vector<std::string> lines;
  size_t bytes = 0;
};

// Reads lines on a thread of its own, since a pipe or a terminal may block,
// and hands them over as they come; no further ahead than is asked for.
class LineReader {
 public:
  // On the loop: lines in order; then `on_end`, once.
  LineReader(EpollLoop* loop, int fd, InlineFunction<void(Lines)> on_lines,
             DoneFn on_end)
      : shared_(std::make_shared<Shared>()) {
    shared_->inbox = loop->inbox();
    shared_->on_lines = std::move(on_lines);
    shared_->on_end = std::move(on_end);
    std::thread([shared = shared_, fd] { ReadAll(shared, fd); }).detach();
  }
  ~LineReader() { shared_->gone = true; }

  // So many bytes of what was handed over are dealt with.
  void Done(size_t bytes) {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    shared_->pending -= bytes;
    shared_->room.notify_one();
  }

 private:
  struct Shared {
    std::shared_ptr<LoopInbox> inbox;
    InlineFunction<void(Lines)> on_lines;
    DoneFn on_end;
    std::mutex mutex;
    std::condition_variable room;
    size_t pending = 0;
    bool gone = false;  // only the loop looks at it
  };

  static void HandOver(const std::shared_ptr<Shared>& shared, Lines lines) {
    if (lines.lines.empty()) return;
    {
      std::unique_lock<std::mutex> lock(shared->mutex);
      shared->room.wait(lock,
                        [&] { return shared->pending < kPendingBytesMax; });
      shared->pending += lines.bytes;
    }
    shared->inbox->Run([shared, lines = std::move(lines)]() mutable {
      if (!shared->gone) shared->on_lines(std::move(lines));
    });
  }

  static void ReadAll(const std::shared_ptr<Shared>& shared, int fd) {
    absl::Status status;
    std::string partial;
    uint64_t line_number = 1;
    std::vector<char> block(kBatchBytes);
    while (status.ok()) {
      ssize_t n = read(fd, block.data(), block.size());
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) {
        status = absl::UnknownError(
            absl::StrCat("can't read the input: ", strerror(errno)));
      }
      if (n <= 0) break;
      Lines lines;
      absl::string_view rest(block.data(), static_cast<size_t>(n));
      while (!rest.empty()) {
        size_t end = rest.find('\n');
        partial.append(rest.data(), std::min(end, rest.size()));
        if (partial.size() > kRecordBytesMax) {
          status = absl::OutOfRangeError(
              absl::StrCat("line ", line_number,
                           " is longer than a record may be (", kRecordBytesMax,
                           " bytes); it was not appended, nor what "
                           "follows it"));
          break;
        }
        if (end == absl::string_view::npos) break;
        rest.remove_prefix(end + 1);
        // A long line gets a batch of its own.
        if (lines.bytes + partial.size() > kBatchBytes) {
          HandOver(shared, std::move(lines));
          lines = Lines();
        }
        lines.bytes += partial.size() + kRecordHeaderBytes;
        lines.lines.push_back(std::move(partial));
        partial.clear();
        ++line_number;
      }
      HandOver(shared, std::move(lines));
    }
    if (status.ok() && !partial.empty()) {
      Lines last;
      last.bytes = partial.size() + kRecordHeaderBytes;
      last.lines.push_back(std::move(partial));
      HandOver(shared, std::move(last));
    }
    shared->inbox->Run([shared, status] {
      if (!shared->gone) shared->on_end(status);
    });
  }

  std::shared_ptr<Shared> shared_;
};

class Appending {
 public:
  Appending(std::unique_ptr<ClientConnection> connection, bool print_offsets)
      : connection_(std::move(connection)),
        print_offsets_(print_offsets),
        started_(loop()->Now()) {}

  int Run(int fd) {
    reader_ = std::make_unique<LineReader>(
        loop(), fd, [this](Lines lines) { OnLines(std::move(lines)); },
        [this](absl::Status ended) {
          input_ended_ = true;
          status_.Update(ended);
          StopIfDone();
        });
    if (isatty(STDERR_FILENO) != 0) {
      progress_ = loop()->After(kProgressDelay, [this] { ShowProgress(); });
    }
    loop()->Run();
    reader_ = nullptr;
    Summarize();
    return status_.ok() ? kExitDone : FailWith(status_);
  }

 private:
  EpollLoop* loop() { return connection_->loop(); }

  void OnLines(Lines lines) {
    if (!status_.ok()) return;
    BatchBuilder batch(lines.bytes + kBatchHeaderBytes);
    for (const std::string& line : lines.lines) {
      if (absl::Status added = batch.Add(line); !added.ok()) {
        return Stop(std::move(added));
      }
    }
    size_t count = lines.lines.size();
    size_t bytes = lines.bytes;
    ClientAppendOptions options;
    options.timeout = connection_->timeout();
    ++outstanding_;
    absl::Status taken = connection_->client()->Append(
        std::move(batch), options, [this, count, bytes](ClientOutcome outcome) {
          --outstanding_;
          reader_->Done(bytes);
          OnOutcome(count, outcome);
        });
    // The reader runs less ahead than the client's queue takes.
    if (!taken.ok()) Stop(std::move(taken));
  }

  void OnOutcome(size_t count, const ClientOutcome& outcome) {
    if (outcome.kind != ClientOutcome::Kind::kCommitted) {
      bool unknown = outcome.kind == ClientOutcome::Kind::kUnknown ||
                     outcome.reason == ClientOutcome::Reason::kUnavailable ||
                     outcome.reason == ClientOutcome::Reason::kNoSpace;
      std::string text =
          absl::StrCat(outcome.kind == ClientOutcome::Kind::kUnknown
                           ? "the outcome of an append is unknown: "
                           : "an append was rejected: ",
                       outcome.message);
      return Stop(unknown ? absl::UnavailableError(text)
                          : absl::FailedPreconditionError(text));
    }
    // A client's outcomes come in the order of its appends.
    if (acknowledged_ == 0) first_ = outcome.offset;
    last_ = outcome.offset + (count - 1);
    acknowledged_ += count;
    if (print_offsets_) {
      for (size_t i = 0; i < count; ++i) {
        std::printf("%llu\n", static_cast<unsigned long long>(
                                  (outcome.offset + i).value()));
      }
      std::fflush(stdout);
    }
    StopIfDone();
  }

  void Stop(absl::Status status) {
    status_.Update(status);
    loop()->Stop();
  }
  void StopIfDone() {
    if (input_ended_ && outstanding_ == 0) loop()->Stop();
  }

  void ShowProgress() {
    static constexpr char kWheel[] = "-\\|/";
    std::fprintf(stderr, "\r%c %llu records acknowledged ",
                 kWheel[wheel_++ % 4],
                 static_cast<unsigned long long>(acknowledged_));
    progress_ = loop()->After(kProgressInterval, [this] { ShowProgress(); });
  }

  void Summarize() {
    if (wheel_ > 0) std::fprintf(stderr, "\r");
    double seconds =
        static_cast<double>((loop()->FreshNow() - started_).count()) / 1e9;
    if (acknowledged_ == 0) {
      std::fprintf(stderr, "no records appended, in %.3f s\n", seconds);
      return;
    }
    std::fprintf(stderr,
                 "%llu records appended, offsets %llu to %llu, in %.3f s\n",
                 static_cast<unsigned long long>(acknowledged_),
                 static_cast<unsigned long long>(first_.value()),
                 static_cast<unsigned long long>(last_.value()), seconds);
  }

  std::unique_ptr<ClientConnection> connection_;
  const bool print_offsets_;
  const Instant started_;
  std::unique_ptr<LineReader> reader_;
  bool input_ended_ = false;
  size_t outstanding_ = 0;
  uint64_t acknowledged_ = 0;
  Offset first_;
  Offset last_;
  absl::Status status_;
  Timer progress_;
  unsigned wheel_ = 0;
};

int RunAppend(const Args& args) {
  absl::StatusOr<std::unique_ptr<ClientConnection>> connection =
      ClientConnection::Open(args);
  if (!connection.ok()) return FailWith(connection.status());
  int fd = STDIN_FILENO;
  if (args.Has("file")) {
    fd = open(args.Text("file").c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
      return Fail(kExitFailed, absl::StrCat("can't read ", args.Text("file"),
                                            ": ", strerror(errno)));
    }
  }
  Appending appending(*std::move(connection), args.Has("print-offsets"));
  return appending.Run(fd);
}

}  // namespace

Command AppendCommand() {
  return {"append", "appends a record for each line",
          WithConnectionFlags(
              {{"file", "FILE", "the lines; stdin unless told otherwise"},
               {"print-offsets", nullptr,
                "print each record's offset as it is acknowledged"}}),
          RunAppend};
}

}  // namespace holdfast
