#ifndef HOLDFAST_TRANSPORT_CLI_LOG_LINES_H_
#define HOLDFAST_TRANSPORT_CLI_LOG_LINES_H_

#include <memory>

#include "absl/strings/string_view.h"
#include "engine/base/time.h"
#include "transport/worker.h"

namespace holdfast {

// A server's log lines, with time and level in front, written by a thread of
// their own: a reader that takes none, or a file on a disk that hangs, holds up
// nobody. On one thread.
class LogLines {
 public:
  // Lines that wait; of more, only the number is told, once there is room.
  static constexpr size_t kWaitingMax = 4096;

  // To this descriptor, which outlives the process's last line.
  explicit LogLines(int fd);
  ~LogLines();
  LogLines(const LogLines&) = delete;
  LogLines& operator=(const LogLines&) = delete;

  void Add(absl::string_view level, absl::string_view line);
  // Waits until all are written, for so long at most; whether they are.
  bool Flush(Duration most);

 private:
  struct Shared;

  const std::shared_ptr<Shared> shared_;
  const std::shared_ptr<Worker> worker_;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_CLI_LOG_LINES_H_
