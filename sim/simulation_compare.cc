// What each server has at the end of a run, against what clients and embedders
// were told.

#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/batch.h"
#include "sim/simulation.h"

namespace holdfast {

// Reads each server's whole log through its own face, and compares it with
// all that was ever acknowledged.
void Simulation::CompareLogs() {
  Margin ignored;  // the leader may have changed once more
  if (!Reach([this] { return Led(); }, options_.settle_max, &ignored)) return;
  for (SimServer* member : Members()) {
    if (verdict_.ok()) AwaitRead(member);
    if (verdict_.ok()) CompareLog(member);
    if (verdict_.ok() && *options_.kv) CompareMachine(member);
  }
}

// Each member answers linearizable reads, by its log and by its machine; and
// has answered those that were under way when faults stopped.
void Simulation::AwaitRead(SimServer* server) {
  // Leadership may change once more.
  constexpr Duration kReadMax = 20s;
  const auto read = std::make_shared<std::optional<absl::Status>>();
  const auto ask = [server, read] {
    read->reset();
    server->log().Read(
        server->log().first_offset(), 1, ReadMode::kLinearizable,
        [read](absl::StatusOr<ReadResult> r) { *read = r.status(); });
  };
  ask();
  const auto answered = [&] {
    if (!read->has_value()) return false;
    if (!absl::IsUnavailable(**read)) return !*options_.kv || server->kv_idle();
    ask();
    return false;
  };
  if (RunUntil(answered, kReadMax) || !verdict_.ok()) return;
  verdict_.NotLive(absl::StrCat(
      "server ", server->machine(), " answers no linearizable read within ",
      ToMillis(kReadMax),
      " ms: ", read->has_value() ? (*read)->ToString() : "no answer"));
}

void Simulation::CompareMachine(SimServer* server) {
  const std::string who = absl::StrCat("server ", server->machine());
  const DistributedLog& log = server->log();
  if (!RunUntil(
          [&] { return log.applier()->applied() == server->node().commit(); },
          60s)) {
    return verdict_.NotLive(absl::StrCat(who, " doesn't apply its log"));
  }
  for (const auto& [key, writes] : kv_model_.keys()) {
    kv_model_.Saw(key, server->kv().Get(key), server->kv().end(), who);
  }
}

void Simulation::CompareLog(SimServer* server) {
  const std::string who = absl::StrCat("server ", server->machine());
  DistributedLog& log = server->log();
  const auto& committed = history_.committed();
  Offset first;  // that is read
  Offset next;
  uint64_t found = 0;
  bool done = false;
  auto violate = [&](absl::string_view what) {
    done = true;
    verdict_.Violate(absl::StrCat(who, what));
  };
  std::function<void(absl::StatusOr<ReadResult>)> on_read;
  auto read = [&] {
    log.Read(next, 256 << 10, ReadMode::kLocal,
             [&](absl::StatusOr<ReadResult> r) { on_read(std::move(r)); });
  };
  auto begin = [&] {
    first = next = log.first_offset();
    found = 0;
    read();
  };
  on_read = [&](absl::StatusOr<ReadResult> result) {
    // Retention goes on.
    if (!result.ok() && log.first_offset() > next) return begin();
    // Damaged, and no other server helped at once.
    if (absl::IsUnavailable(result.status())) return read();
    if (!result.ok()) {
      return violate(
          absl::StrCat(" can't read its log: ", result.status().ToString()));
    }
    for (const Entry& entry : result->batches) {
      absl::StatusOr<BatchView> batch = BatchView::Parse(entry.payload);
      // The first one may begin before.
      Offset at = entry.header.base_offset;
      if (!batch.ok() || (at != next && next != first) || at > next ||
          at + entry.header.count <= next) {
        return violate(
            absl::StrCat(" has no intact batch at offset ", next.value()));
      }
      RecordCursor cursor = batch->Records();
      RecordView record;
      for (; cursor.Next(&record); ++at) {
        if (at < next) continue;
        history_.Saw(record.value(), at, who);
        found += committed.count(at.value());
        ++next;
      }
    }
    done = result->batches.empty();
    if (!done) read();
  };
  begin();
  if (!RunUntil([&] { return done; }, 60s)) {
    return verdict_.NotLive(absl::StrCat(who, " doesn't read its log"));
  }
  const auto expected = static_cast<uint64_t>(
      std::distance(committed.lower_bound(first.value()), committed.end()));
  if (found != expected) {
    violate(absl::StrCat(" has ", found, " of the ", expected,
                         " acknowledged records from ", first.value(), " on"));
  }
  if (log.trimmed_to() < history_.trimmed()) {
    violate(absl::StrCat(" takes all before ", log.trimmed_to().value(),
                         " for trimmed; acknowledged is ",
                         history_.trimmed().value()));
  }
  if (first > Offset(0) && !history_.MayBeTrimmed(first - 1)) {
    violate(
        absl::StrCat(" begins at ", first.value(), ", which nobody asked for"));
  }
}

}  // namespace holdfast
