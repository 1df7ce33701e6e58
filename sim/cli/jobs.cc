#include "sim/cli/jobs.h"

#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace holdfast {
namespace {

[[noreturn]] void Give(const char* what) {
  std::fprintf(stderr, "simulate: %s for a job: %s\n", what,
               std::strerror(errno));
  std::exit(1);
}

void WriteAll(int fd, const std::string& bytes) {
  size_t written = 0;
  while (written < bytes.size()) {
    const ssize_t n = write(fd, bytes.data() + written, bytes.size() - written);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) _exit(1);
    written += static_cast<size_t>(n);
  }
}

// What is there; false at its end.
bool ReadInto(int fd, std::string* to) {
  char buffer[65536];
  const ssize_t n = read(fd, buffer, sizeof(buffer));
  if (n < 0) return errno == EINTR;
  to->append(buffer, static_cast<size_t>(n));
  return n > 0;
}

}  // namespace

void JobPool::Start(uint64_t number,
                    const std::function<std::string(const PassOn&)>& work) {
  Fork(number, [&](int to) {
    WriteAll(to, work([to](const std::string& text) { WriteAll(to, text); }));
  });
}

void JobPool::StartProgram(uint64_t number,
                           const std::vector<std::string>& command,
                           const Variables& variables) {
  Fork(number, [&](int to) {
    dup2(to, STDOUT_FILENO);
    close(to);
    for (const auto& [name, value] : variables) {
      setenv(name.c_str(), value.c_str(), /*replace=*/1);
    }
    std::vector<char*> arguments;
    for (const std::string& argument : command) {
      arguments.push_back(const_cast<char*>(argument.c_str()));
    }
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    std::fprintf(stderr, "can't run %s: %s\n", arguments[0],
                 std::strerror(errno));
    std::fflush(nullptr);
    _exit(127);
  });
}

void JobPool::Fork(uint64_t number,
                   const std::function<void(int output)>& child) {
  int output[2];
  int errors[2];
  if (pipe(output) != 0 || pipe(errors) != 0) Give("no pipe");
  std::fflush(nullptr);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) Give("no process");
  if (pid == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);  // it has gone already
    // Only the parent's own ends of pipes say when a job has ended.
    for (const auto& [other, job] : running_) {
      if (job.output >= 0) close(job.output);
      if (job.errors >= 0) close(job.errors);
    }
    close(output[0]);
    close(errors[0]);
    dup2(errors[1], STDERR_FILENO);
    close(errors[1]);
    child(output[1]);
    std::fflush(nullptr);
    _exit(0);
  }
  close(output[1]);
  close(errors[1]);
  Job& job = running_[pid];
  job.pid = pid;
  job.output = output[0];
  job.errors = errors[0];
  job.result.number = number;
}

bool JobPool::ReadSome(Clock::time_point deadline) {
  std::vector<pollfd> polled;
  for (const auto& [pid, job] : running_) {
    for (const int fd : {job.output, job.errors}) {
      if (fd >= 0) polled.push_back({.fd = fd, .events = POLLIN, .revents = 0});
    }
  }
  int timeout = -1;
  if (deadline != Clock::time_point::max()) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    timeout = static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30));
  }
  const int ready = poll(polled.data(), polled.size(), timeout);
  if (ready < 0 && errno != EINTR) Give("no waiting");
  if (ready <= 0) return false;
  for (auto& [pid, job] : running_) {
    for (const auto& [fd, to] : {std::pair(&job.output, &job.result.output),
                                 std::pair(&job.errors, &job.result.errors)}) {
      const bool is_ready = std::any_of(
          polled.begin(), polled.end(),
          [fd = *fd](const pollfd& p) { return p.fd == fd && p.revents != 0; });
      if (*fd < 0 || !is_ready || ReadInto(*fd, to)) continue;
      close(*fd);
      *fd = -1;
    }
  }
  return true;
}

std::optional<JobPool::Result> JobPool::Wait(Clock::time_point deadline) {
  while (!running_.empty()) {
    for (auto it = running_.begin(); it != running_.end(); ++it) {
      Job& job = it->second;
      if (job.output >= 0 || job.errors >= 0) continue;
      while (waitpid(job.pid, &job.result.status, 0) < 0 && errno == EINTR) {
      }
      Result result = std::move(job.result);
      running_.erase(it);
      return result;
    }
    if (!ReadSome(deadline) && Clock::now() >= deadline) return std::nullopt;
  }
  return std::nullopt;
}

void JobPool::EndAll() {
  for (auto& [pid, job] : running_) {
    kill(pid, SIGKILL);
    if (job.output >= 0) close(job.output);
    if (job.errors >= 0) close(job.errors);
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  running_.clear();
}

std::string DescribeStatus(int status) {
  return WIFSIGNALED(status)
             ? absl::StrCat("was ended by signal ", WTERMSIG(status))
             : absl::StrCat("ended with exit code ", WEXITSTATUS(status));
}

}  // namespace holdfast
