#include "sim/cli/campaign_state.h"

#include <unistd.h>

#include <fstream>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "sim/cli/files.h"

namespace holdfast {

void CampaignResult::Add(uint64_t seed, const RunOutcome& outcome) {
  CampaignResult one;
  one.summary = outcome.summary;
  if (!outcome.ok()) {
    one.failures[outcome.Signature()] = {outcome.end, seed, 1, outcome.what};
  }
  AddResult(one);
}

void CampaignResult::AddResult(const CampaignResult& other) {
  summary.AddSummary(other.summary);
  for (const auto& [signature, failure] : other.failures) {
    Failure& known = failures[signature];
    const uint64_t count = known.count + failure.count;
    if (known.count == 0 || failure.seed < known.seed) known = failure;
    known.count = count;
  }
}

const Failure* CampaignResult::Gravest() const {
  const Failure* gravest = nullptr;
  for (const auto& [signature, f] : failures) {
    if (gravest == nullptr || IsGraver(f.end, gravest->end)) gravest = &f;
  }
  return gravest;
}

std::string CampaignResult::ToText() const {
  std::string text = summary.ToText();
  for (const auto& [signature, f] : failures) {
    absl::StrAppend(&text, "failure ", static_cast<int>(f.end), " ", f.seed,
                    " ", f.count, " ", absl::CEscape(signature), "\t",
                    absl::CEscape(f.what), "\n");
  }
  return text;
}

absl::Status CampaignResult::AddText(absl::string_view text) {
  std::string counts;
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    if (!absl::StartsWith(line, "failure ")) {
      absl::StrAppend(&counts, line, "\n");
      continue;
    }
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::MaxSplits(' ', 4));
    int end = 0;
    Failure f;
    std::vector<std::string> texts;
    if (words.size() == 5) texts = absl::StrSplit(words[4], '\t');
    std::string signature;
    if (texts.size() != 2 || !absl::SimpleAtoi(words[1], &end) || end < 1 ||
        end > 3 || !absl::SimpleAtoi(words[2], &f.seed) ||
        !absl::SimpleAtoi(words[3], &f.count) ||
        !absl::CUnescape(texts[0], &signature) ||
        !absl::CUnescape(texts[1], &f.what)) {
      return absl::InvalidArgumentError(
          absl::StrCat("expected a failure, found \"", line, "\""));
    }
    f.end = static_cast<RunEnd>(end);
    CampaignResult one;
    one.failures[signature] = std::move(f);
    AddResult(one);
  }
  return summary.AddText(counts);
}

namespace {

// The first line of `header` that isn't so in the file, and what is there.
absl::Status IsOfAnother(const std::string& path, absl::string_view header,
                         absl::string_view found) {
  const std::vector<absl::string_view> expected = absl::StrSplit(header, '\n');
  const std::vector<absl::string_view> lines = absl::StrSplit(found, '\n');
  size_t i = 0;
  while (i < lines.size() && i + 1 < expected.size() &&
         lines[i] == expected[i]) {
    ++i;
  }
  return absl::InvalidArgumentError(absl::StrCat(
      path, ": expected \"", expected[i], "\", found \"",
      i < lines.size() ? lines[i] : "",
      "\": it is of other code, or other options; take another file, or go on "
      "with those"));
}

}  // namespace

absl::Status CampaignState::Read(absl::string_view chunks) {
  while (!chunks.empty()) {
    // One without its end is torn.
    const size_t end = chunks.find('\n');
    if (end == absl::string_view::npos) break;
    absl::string_view line = chunks.substr(0, end);
    chunks.remove_prefix(end + 1);
    const std::string whole = absl::StrCat(line, "\n");
    uint64_t chunk = 0;
    std::string text;
    CampaignResult result;
    const std::vector<absl::string_view> words =
        absl::StrSplit(line, absl::MaxSplits(' ', 2));
    if (words.size() != 3 || words[0] != "chunk" ||
        !absl::SimpleAtoi(words[1], &chunk) ||
        !absl::CUnescape(words[2], &text) || !result.AddText(text).ok()) {
      return absl::InvalidArgumentError(absl::StrCat(
          path_, ": expected \"chunk NUMBER RESULT\", found \"", line, "\""));
    }
    if (done_.emplace(chunk, std::move(result)).second) text_ += whole;
  }
  return absl::OkStatus();
}

absl::Status CampaignState::Open(const std::string& header) {
  text_ = header;
  if (path_.empty()) return absl::OkStatus();
  if (access(path_.c_str(), F_OK) == 0) {
    const absl::StatusOr<std::string> found = ReadWholeFile(path_);
    if (!found.ok()) return found.status();
    absl::string_view chunks = *found;
    if (!absl::ConsumePrefix(&chunks, header)) {
      return IsOfAnother(path_, header, *found);
    }
    absl::Status read = Read(chunks);
    if (!read.ok()) return read;
  }
  return ReplaceFile(path_, text_);
}

absl::Status CampaignState::ChunkDone(uint64_t chunk,
                                      const CampaignResult& result) {
  done_[chunk] = result;
  if (path_.empty()) return absl::OkStatus();
  std::ofstream file(path_, std::ios::binary | std::ios::app);
  file << "chunk " << chunk << " " << absl::CEscape(result.ToText()) << "\n";
  file.close();
  if (file) return absl::OkStatus();
  return absl::UnavailableError(absl::StrCat("can't write ", path_));
}

}  // namespace holdfast
