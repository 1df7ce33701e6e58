#ifndef HOLDFAST_SIM_CLI_CAMPAIGN_STATE_H_
#define HOLDFAST_SIM_CLI_CAMPAIGN_STATE_H_

#include <cstdint>
#include <map>
#include <string>

#include "absl/status/status.h"
#include "sim/cli/run.h"
#include "sim/cli/summary.h"

namespace holdfast {

// Seeds that failed in the same way (RunOutcome::Signature).
struct Failure {
  RunEnd end = RunEnd::kOk;
  uint64_t seed = 0;  // the first of them
  uint64_t count = 0;
  std::string what;  // broke, under that seed
};

// What some seeds came to.
struct CampaignResult {
  Summary summary;
  std::map<std::string, Failure> failures;  // by signature

  void Add(uint64_t seed, const RunOutcome& outcome);
  void AddResult(const CampaignResult& other);

  // Null: none failed.
  const Failure* Gravest() const;

  std::string ToText() const;
  // INVALID_ARGUMENT if it isn't what ToText gave.
  absl::Status AddText(absl::string_view text);
};

// The file of a campaign that is done chunk by chunk: first what is run (the
// code and options, a line each), then a line for each chunk that is done, in
// any order. The last one may be torn: its chunk is run again.
//
//   holdfast-campaign 3
//   code 8c5f0a93d2be4716
//   option seed 1
//   option seeds 1000
//   chunk 3 count events 4711\ncount seeds 10\n...
class CampaignState {
 public:
  // Empty: it is kept in no file.
  explicit CampaignState(std::string path) : path_(std::move(path)) {}

  // `header`: all lines before the first chunk's. Reads what there is, or
  // begins a file. INVALID_ARGUMENT if that is of another campaign, or none.
  absl::Status Open(const std::string& header);
  absl::Status ChunkDone(uint64_t chunk, const CampaignResult& result);

  const std::map<uint64_t, CampaignResult>& done() const { return done_; }

 private:
  absl::Status Read(absl::string_view chunks);

  const std::string path_;
  std::string text_;  // of the file
  std::map<uint64_t, CampaignResult> done_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_CLI_CAMPAIGN_STATE_H_
