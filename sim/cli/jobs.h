#ifndef HOLDFAST_SIM_CLI_JOBS_H_
#define HOLDFAST_SIM_CLI_JOBS_H_

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace holdfast {

// Runs functions, and programs, in processes of their own, some at a time: so
// that a crash ends only what crashed, and all of a machine's cores have work.
// They end with their parent.
//
//   JobPool pool(4);
//   while (...) {
//     if (pool.full()) Take(*pool.Wait());
//     pool.Start(number, [] { return Work(); });
//   }
//   while (!pool.empty()) Take(*pool.Wait());
class JobPool {
 public:
  using Clock = std::chrono::steady_clock;

  struct Result {
    uint64_t number = 0;  // as given to Start
    int status = 0;       // of waitpid
    std::string output;   // what the function returned or passed on; what the
                          // program wrote to stdout
    std::string errors;   // what it wrote to stderr
  };

  explicit JobPool(size_t jobs) : jobs_(jobs) {}
  ~JobPool() { EndAll(); }
  JobPool(const JobPool&) = delete;
  JobPool& operator=(const JobPool&) = delete;

  bool full() const { return running_.size() >= jobs_; }
  bool empty() const { return running_.empty(); }

  // `work` is given a function that passes its output on at once, for one that
  // is about to crash.
  using PassOn = std::function<void(const std::string&)>;
  void Start(uint64_t number,
             const std::function<std::string(const PassOn&)>& work);

  // Runs the program at the path that `command` begins with, with the rest as
  // its arguments, in this process's environment but for `variables` (name and
  // value). One that can't be run says so on stderr and ends with 127.
  using Variables = std::vector<std::pair<std::string, std::string>>;
  void StartProgram(uint64_t number, const std::vector<std::string>& command,
                    const Variables& variables);

  // Waits until one has ended; nothing at the deadline, or if none runs.
  std::optional<Result> Wait(
      Clock::time_point deadline = Clock::time_point::max());

  // Ends those under way, and forgets them.
  void EndAll();

 private:
  struct Job {
    pid_t pid = 0;
    int output = -1;  // pipes; -1: at its end
    int errors = -1;
    Result result;
  };
  // Runs `child` in a process of its own; it is given the pipe that its output
  // goes to.
  void Fork(uint64_t number, const std::function<void(int output)>& child);
  // Reads what is there; waits for it up to the deadline.
  bool ReadSome(Clock::time_point deadline);

  const size_t jobs_;
  std::map<pid_t, Job> running_;
};

// Of waitpid: "was ended by signal 9", "ended with exit code 7".
std::string DescribeStatus(int status);

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_JOBS_H_
