#include "sim/cli/summary.h"

#include <algorithm>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"

namespace holdfast {
namespace {

uint64_t ValueOr0(const std::map<std::string, uint64_t>& values,
                  const std::string& name) {
  const auto it = values.find(name);
  return it == values.end() ? 0 : it->second;
}

}  // namespace

void Summary::Most(const std::string& name, uint64_t value) {
  uint64_t& most = most_[name];
  most = std::max(most, value);
}

void Summary::Add(const SimulationResult& r) {
  counts_["seeds"] += 1;
  counts_["events"] += r.events;
  counts_["faults"] += r.injected;
  counts_["operations"] += r.operations;
  counts_["simulated_ms"] += static_cast<uint64_t>(r.simulated_ms);
  counts_["elections"] += r.elections;
  counts_["crashes"] += r.faults.crashes;
  counts_["power_losses"] += r.faults.power_losses;
  counts_["client_crashes"] += r.faults.client_crashes;
  counts_["partitions"] += r.faults.partitions;
  counts_["pauses"] += r.faults.pauses;
  counts_["client_pauses"] += r.faults.client_pauses;
  counts_["late_news"] += r.faults.late_news;
  counts_["upgrades"] += r.faults.upgrades;
  counts_["slow_links"] += r.faults.slow_links;
  counts_["resets"] += r.network.resets;
  counts_["half_open"] += r.network.half_open;
  counts_["flips"] += r.network.flips;
  counts_["lingered"] += r.network.lingered;
  counts_["bridges"] += r.faults.bridges;
  counts_["flaps"] += r.faults.flaps;
  counts_["clogged_segments"] += r.network.clogged;
  counts_["client_cuts"] += r.network.client_cuts;
  counts_["closed"] += r.faults.closed;
  counts_["full_disks"] += r.faults.full_disks;
  counts_["started_again"] += r.faults.started_again;
  counts_["other_options"] += r.faults.other_options;
  counts_["crash_loops"] += r.faults.crash_loops;
  counts_["bursts"] += r.faults.bursts;
  counts_["slow_readers"] += r.faults.slow_readers;
  counts_["unread_streams"] += r.network.unread;
  counts_["lost_writes"] += r.disks.lost_writes;
  counts_["torn_writes"] += r.disks.torn_writes;
  counts_["hung_operations"] += r.disks.held_up;
  counts_["read_errors"] += r.disks.read_errors;
  counts_["write_errors"] += r.disks.write_errors;
  counts_["sync_errors"] += r.disks.sync_errors;
  counts_["found_full"] += r.disks.found_full;
  r.damages.ForEach(
      [this](const char* name, uint64_t n) { counts_[name] += n; });
  counts_["damage_vetoed"] += r.damages.vetoed;
  counts_["acknowledged_appends"] += r.acknowledged;
  counts_["unknown_appends"] += r.unknown;
  counts_["records_read"] += r.reads;
  for (const auto& [name, value] : r.stats) {
    paths_[name] += value;
    if (value > 0) takers_[name] += 1;
  }
  const auto longest = [this](const char* name, Duration length) {
    Most(absl::StrCat(name, "_ms"), static_cast<uint64_t>(ToMillis(length)));
  };
  const auto margin = [&](const char* name, const Margin& m) {
    longest(name, m.took);
    Most(absl::StrCat(name, "_percent"), m.percent());
  };
  margin("minority_down", r.recovery.minority_down);
  margin("leader", r.recovery.leader);
  margin("clients", r.recovery.clients);
  margin("commit", r.recovery.commit);
  margin("feature_level", r.recovery.feature_level);
  margin("level", r.recovery.level);
  margin("scrub", r.recovery.scrub);
  longest("settle", r.recovery.total());
  longest("catch_up", r.catch_up.took);
  Most("catch_up_bytes", r.catch_up.bytes);
  Most("catch_up_percent", static_cast<uint64_t>(r.catch_up.percent));
  Most("memory_mib", r.memory_bytes >> 20);
  Most("memory_percent", r.memory_percent);
  counts_["laggards"] += r.catch_up.laggards;
  hash_ += r.trace_hash;
}

std::string Summary::ToText() const {
  std::string text;
  for (const auto& [name, value] : counts_) {
    absl::StrAppend(&text, "count ", name, " ", value, "\n");
  }
  for (const auto& [name, value] : paths_) {
    absl::StrAppend(&text, "path ", name, " ", value, "\n");
  }
  for (const auto& [name, value] : takers_) {
    absl::StrAppend(&text, "takers ", name, " ", value, "\n");
  }
  for (const auto& [name, value] : most_) {
    absl::StrAppend(&text, "max ", name, " ", value, "\n");
  }
  absl::StrAppend(&text, "hash sum ", hash_, "\n");
  return text;
}

absl::Status Summary::AddText(absl::string_view text) {
  for (absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> words = absl::StrSplit(line, ' ');
    uint64_t value = 0;
    if (words.size() != 3 || !absl::SimpleAtoi(words[2], &value)) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a job's summary: expected \"KIND NAME VALUE\", found \"", line,
          "\""));
    }
    if (words[0] == "count") counts_[words[1]] += value;
    if (words[0] == "path") paths_[words[1]] += value;
    if (words[0] == "takers") takers_[words[1]] += value;
    if (words[0] == "max") Most(words[1], value);
    if (words[0] == "hash") hash_ += value;
  }
  return absl::OkStatus();
}

void Summary::AddSummary(const Summary& other) {
  for (const auto& [name, value] : other.counts_) counts_[name] += value;
  for (const auto& [name, value] : other.paths_) paths_[name] += value;
  for (const auto& [name, value] : other.takers_) takers_[name] += value;
  for (const auto& [name, value] : other.most_) Most(name, value);
  hash_ += other.hash_;
}

uint64_t Summary::count(const std::string& name) const {
  return ValueOr0(counts_, name);
}

std::string Summary::Line(bool json, uint64_t seed, absl::string_view verdict,
                          int64_t wall_ms) const {
  const std::string hash = absl::StrFormat("%016x", hash_);
  if (json) {
    std::string line = absl::StrCat("{\"seed\":", seed, ",\"verdict\":\"",
                                    verdict, "\",\"wall_ms\":", wall_ms,
                                    ",\"trace_hash\":\"", hash, "\"");
    for (const auto& [name, value] : most_) {
      absl::StrAppend(&line, ",\"", name, "_max\":", value);
    }
    for (const auto& [name, value] : counts_) {
      absl::StrAppend(&line, ",\"", name, "\":", value);
    }
    return absl::StrCat(line, "}");
  }
  const auto wall = static_cast<uint64_t>(std::max<int64_t>(wall_ms, 1));
  std::string line = absl::StrCat(
      "seed ", seed, ", ", count("seeds"), " run(s): ", verdict, "; ",
      count("events"), " events, ", count("simulated_ms") / 1000,
      " s simulated in ", wall_ms, " ms (", count("events") * 1000 / wall,
      " events/s), trace hash ", hash, ";");
  for (const char* name : {"elections", "crashes", "power_losses", "partitions",
                           "resets", "torn_writes", "acknowledged_appends",
                           "unknown_appends", "records_read"}) {
    std::string words = name;
    std::replace(words.begin(), words.end(), '_', ' ');
    absl::StrAppend(&line, " ", count(name), " ", words, ",");
  }
  uint64_t damages = 0;
  DamageCounts().ForEach(
      [&](const char* name, uint64_t) { damages += count(name); });
  if (damages > 0) absl::StrAppend(&line, " ", damages, " damages,");
  const auto most = [this](const std::string& name) {
    return ValueOr0(most_, name);
  };
  const auto margin = [&](absl::string_view what, absl::string_view name) {
    absl::StrAppend(&line, what, " ", most(absl::StrCat(name, "_ms")), " ms (",
                    most(absl::StrCat(name, "_percent")), " %)");
  };
  absl::StrAppend(&line, " settled within ", most("settle_ms"),
                  " ms, with a step at most so much of what it may take:");
  margin(" a leader while a minority stayed down", "minority_down");
  margin(", a leader", "leader");
  margin(", then clients", "clients");
  margin(" and the leader's first commit", "commit");
  margin(", then the feature level", "feature_level");
  margin(", then logs", "level");
  margin(", then scrubbing", "scrub");
  absl::StrAppend(&line, ", ", count("laggards"));
  margin(" laggards", "catch_up");
  return line;
}

std::vector<std::string> Summary::PathsIn(absl::string_view list) {
  std::vector<std::string> paths;
  for (absl::string_view line : absl::StrSplit(list, '\n')) {
    std::string name(
        absl::StripAsciiWhitespace(line.substr(0, line.find('#'))));
    if (!name.empty()) paths.push_back(std::move(name));
  }
  return paths;
}

std::vector<std::string> Summary::NeverTaken(absl::string_view list) const {
  std::vector<std::string> never;
  for (std::string& name : PathsIn(list)) {
    if (ValueOr0(paths_, name) == 0) never.push_back(std::move(name));
  }
  return never;
}

std::string Summary::PathTable(absl::string_view list) const {
  // By runs, then by how often.
  std::vector<std::tuple<uint64_t, uint64_t, std::string>> rows;
  const auto add = [&](const std::string& name) {
    rows.emplace_back(ValueOr0(takers_, name), ValueOr0(paths_, name), name);
  };
  for (const std::string& name : PathsIn(list)) add(name);
  if (rows.empty()) {
    for (const auto& [name, count] : paths_) add(name);
  }
  std::sort(rows.begin(), rows.end());
  std::string table =
      absl::StrFormat("%-40s %14s %10s\n", "path", "count", "seeds");
  for (const auto& [runs, count, name] : rows) {
    absl::StrAppend(&table,
                    absl::StrFormat("%-40s %14d %10d\n", name, count, runs));
  }
  return table;
}

}  // namespace holdfast
