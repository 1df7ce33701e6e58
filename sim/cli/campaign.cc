#include "sim/cli/campaign.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <set>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "sim/cli/campaign_state.h"
#include "sim/cli/code_id.h"
#include "sim/cli/jobs.h"
#include "sim/cli/run.h"

namespace holdfast {
namespace {

using Clock = JobPool::Clock;

// Seeds whose result is one line of the state: lost, if it ends before.
constexpr uint64_t kChunk = 16;
constexpr Clock::duration kTellEvery = std::chrono::seconds(2);

std::string Header(const SimulateFlags& flags) {
  Tape tape;
  WriteOptions(flags, flags.seed, &tape);
  std::string header =
      absl::StrCat("holdfast-campaign 3\ncode ", kCodeId, "\n");
  for (const auto& [name, value] : tape.options) {
    absl::StrAppend(&header, "option ", name, " ", value, "\n");
  }
  absl::StrAppend(&header, "option seeds ", flags.seeds, "\n");
  return header;
}

class Campaign {
 public:
  Campaign(const SimulateFlags& flags, std::string rare_paths,
           const std::function<void(Simulation*)>& prepare)
      : flags_(flags),
        rare_paths_(std::move(rare_paths)),
        prepare_(prepare),
        state_(flags.state),
        pool_(flags.jobs) {}

  absl::Status Run() {
    absl::Status status = state_.Open(Header(flags_));
    if (!status.ok()) return status;
    for (const auto& [chunk, result] : state_.done()) all_.AddResult(result);
    const uint64_t seeds_before = all_.summary.count("seeds");
    const uint64_t events_before = all_.summary.count("events");
    Clock::time_point told = start_;
    uint64_t next = 0;
    while (status.ok()) {
      if (state_.done().contains(next / kChunk)) {
        next = (next / kChunk + 1) * kChunk;
      } else if (next < flags_.seeds && !pool_.full()) {
        StartRun(flags_, flags_.seed + next, next, &pool_, prepare_);
        ++next;
        continue;
      }
      if (next < flags_.seeds && !pool_.full()) continue;
      if (pool_.empty()) break;
      status = RunDone(*pool_.Wait());
      if (Clock::now() - told < kTellEvery) continue;
      told = Clock::now();
      Tell(events_before);
    }
    if (all_.summary.count("seeds") != seeds_before) Tell(events_before);
    return status;
  }

  const CampaignResult& result() const { return all_; }
  int64_t wall_ms() const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() -
                                                                 start_)
        .count();
  }

 private:
  absl::Status RunDone(const JobPool::Result& job) {
    const RunOutcome outcome = OutcomeOf(job);
    const uint64_t seed = flags_.seed + job.number;
    if (!outcome.ok() && !all_.failures.contains(outcome.Signature())) {
      std::fputs(job.errors.c_str(), stderr);
      ReportFailure(flags_, seed, outcome, flags_.tape_dir);
    }
    all_.Add(seed, outcome);
    const uint64_t chunk = job.number / kChunk;
    auto& [done, result] = open_[chunk];
    result.Add(seed, outcome);
    if (++done < std::min(kChunk, flags_.seeds - chunk * kChunk)) {
      return absl::OkStatus();
    }
    absl::Status status = state_.ChunkDone(chunk, result);
    open_.erase(chunk);
    return status;
  }

  // `events_before`: of what was done before it was started.
  void Tell(uint64_t events_before) const {
    const Summary& s = all_.summary;
    const std::string list = rare_paths_.empty() ? AllPaths() : rare_paths_;
    const size_t paths = Summary::PathsIn(list).size();
    const double seconds = std::max(1.0, static_cast<double>(wall_ms())) / 1000;
    std::fprintf(
        stderr, "%s\n",
        absl::StrFormat(
            "%d of %d seeds, %d s simulated, %.0f events/s, %d faults, %d of "
            "%d rare paths, %d different failures",
            s.count("seeds"), flags_.seeds, s.count("simulated_ms") / 1000,
            static_cast<double>(s.count("events") - events_before) / seconds,
            s.count("faults"), paths - s.NeverTaken(list).size(), paths,
            all_.failures.size())
            .c_str());
  }
  std::string AllPaths() const {
    std::string list;
    for (const auto& [name, count] : all_.summary.paths()) {
      absl::StrAppend(&list, name, "\n");
    }
    return list;
  }

  const SimulateFlags& flags_;
  const std::string rare_paths_;
  const std::function<void(Simulation*)>& prepare_;
  const Clock::time_point start_ = Clock::now();
  CampaignState state_;
  JobPool pool_;
  CampaignResult all_;
  // Chunks under way: how many of their seeds are done, and what came of them.
  std::map<uint64_t, std::pair<uint64_t, CampaignResult>> open_;
};

}  // namespace

int CampaignCommand(const SimulateFlags& flags,
                    const std::function<void(Simulation*)>& prepare) {
  const absl::StatusOr<std::string> rare_paths = ReadRarePaths(flags);
  if (!rare_paths.ok()) return Refuse(rare_paths.status().message());
  Campaign campaign(flags, *rare_paths, prepare);
  const absl::Status status = campaign.Run();
  if (!status.ok()) return Refuse(status.message());
  const CampaignResult& result = campaign.result();
  const absl::Status written = WritePaths(flags, result.summary, *rare_paths);
  if (!written.ok()) return Refuse(written.message());
  for (const auto& [signature, f] : result.failures) {
    PrintFailures(f.count, signature, CommandFor(flags, f.seed));
  }
  const Failure* gravest = result.Gravest();
  const RunEnd end = gravest == nullptr ? RunEnd::kOk : gravest->end;
  const uint64_t seed = gravest == nullptr ? flags.seed : gravest->seed;
  int code = static_cast<int>(end);
  std::string verdict = RunEndName(end);
  for (const std::string& name : result.summary.NeverTaken(*rare_paths)) {
    std::fprintf(stderr, "rare path never taken: %s\n", name.c_str());
    if (end != RunEnd::kOk) continue;
    code = static_cast<int>(RunEnd::kCorrectness);
    verdict = "rare path missed";
  }
  std::printf("%s\n",
              result.summary.Line(flags.json, seed, verdict, campaign.wall_ms())
                  .c_str());
  return code;
}

}  // namespace holdfast
