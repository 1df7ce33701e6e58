#include "transport/cli/log_lines.h"

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace holdfast {
namespace {

std::string Line(absl::string_view level, absl::string_view line) {
  timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  tm utc;
  gmtime_r(&now.tv_sec, &utc);
  char time[32];
  strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &utc);
  return absl::StrFormat("time=%s.%03dZ level=%s %s\n", time,
                         now.tv_nsec / 1000000, level, line);
}

// Errors are nobody's to be told.
void WriteAll(int fd, absl::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && errno == EAGAIN) {
      pollfd writable{.fd = fd, .events = POLLOUT, .revents = 0};
      poll(&writable, 1, -1);
      continue;
    }
    if (written <= 0) return;
    text.remove_prefix(static_cast<size_t>(written));
  }
}

}  // namespace

// With the jobs.
struct LogLines::Shared {
  std::mutex mutex;
  std::condition_variable written;
  size_t waiting = 0;
  uint64_t dropped = 0;  // since the last line that was taken
  int fd = -1;
};

LogLines::LogLines(int fd)
    : shared_(std::make_shared<Shared>()), worker_(Worker::Start()) {
  shared_->fd = fd;
}

LogLines::~LogLines() { worker_->Stop(); }

void LogLines::Add(absl::string_view level, absl::string_view line) {
  std::string text = Line(level, line);
  {
    std::lock_guard<std::mutex> lock(shared_->mutex);
    if (shared_->waiting == kWaitingMax) {
      ++shared_->dropped;
      return;
    }
    if (const uint64_t dropped = std::exchange(shared_->dropped, 0)) {
      text =
          Line("warning", absl::StrCat("event=lines_dropped count=", dropped)) +
          text;
    }
    ++shared_->waiting;
  }
  worker_->Run([shared = shared_, text = std::move(text)] {
    WriteAll(shared->fd, text);
    std::lock_guard<std::mutex> lock(shared->mutex);
    if (--shared->waiting == 0) shared->written.notify_all();
  });
}

bool LogLines::Flush(Duration most) {
  std::unique_lock<std::mutex> lock(shared_->mutex);
  return shared_->written.wait_for(lock, most,
                                   [this] { return shared_->waiting == 0; });
}

}  // namespace holdfast
