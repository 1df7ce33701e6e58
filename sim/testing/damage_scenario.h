#ifndef HOLDFAST_SIM_TESTING_DAMAGE_SCENARIO_H_
#define HOLDFAST_SIM_TESTING_DAMAGE_SCENARIO_H_

#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "engine/base/lost_records.h"
#include "engine/log/distributed_log.h"
#include "engine/wal/checkpoint_file.h"
#include "engine/wal/segment.h"
#include "gtest/gtest.h"
#include "sim/testing/scenario.h"

namespace holdfast {

// A cluster whose log fills some segments on each disk, and damage to what is
// at rest there.
class DamageScenario : public Scenario {
 protected:
  void MakeFull(uint64_t seed, uint32_t nodes) {
    mirror_.clear();
    Make(seed, nodes);
    ASSERT_TRUE(Fill());
    // All have it, and a mark behind it.
    ASSERT_TRUE(sim_->RunFor(2s));
  }
  // At this server, of 4 KiB, whatever comes of it.
  void AppendUnawaited(SimServer* server, const std::string& text) {
    std::string record = text;
    record.resize(4 << 10, 'x');
    sim_->mutable_history()->AppendInvoked(record);
    BatchBuilder batch;
    ASSERT_TRUE(batch.Add(record).ok());
    server->log().Append(batch.Finish(SessionId(0), Sequence(0)), {},
                         [](const AppendOutcome&) {});
  }
  // Until the leader has made a checkpoint for that, its first one, and dropped
  // nothing yet.
  bool TrimUntilItHasACheckpoint(SimServer* leader, Offset first) {
    sim_->mutable_history()->TrimInvoked(first);
    leader->log().Trim(first, [](const absl::Status&) {});
    for (int i = 0; i < 100'000 && sim_->verdict().ok(); ++i) {
      if (!Checkpoints(leader, CheckpointKind::kBase).empty()) return true;
      sim_->RunFor(20us);
    }
    return false;
  }
  // With time for all servers to drop what they may.
  bool TrimMostEverywhere() { return TrimMost().ok() && sim_->RunFor(2s); }

  // --- What is on a disk ---

  struct Segment {
    std::string name;
    uint64_t bytes = 0;
    SegmentHeader header;
    SegmentScan scan;

    // The last frame of an entry that ends at or before the position; needs
    // HasEntryBefore.
    const FoundFrame& LastEntryBefore(uint64_t position) const {
      return *FindEntryBefore(position);
    }
    bool HasEntryBefore(uint64_t position) const {
      return FindEntryBefore(position) != nullptr;
    }
    const FoundFrame* FindEntryBefore(uint64_t position) const {
      const FoundFrame* found = nullptr;
      for (const FoundFrame& f : scan.frames) {
        const uint64_t end = f.end();
        if (f.header.kind == FrameKind::kEntry && end <= position) found = &f;
      }
      return found;
    }
  };
  static Buffer Bytes(SimServer* server, const std::string& file) {
    const SparseBytes& bytes =
        server->disk()->names().durable().at(file)->durable();
    return bytes.Read(0, bytes.size());
  }
  // Those that were begun, in order.
  static std::vector<Segment> Segments(SimServer* server) {
    std::vector<Segment> segments;
    for (const auto& [name, file] : server->disk()->names().durable()) {
      if (!ParseSegmentName(name).has_value()) continue;
      const Buffer bytes = Bytes(server, name);
      const absl::StatusOr<SegmentHeader> header =
          DecodeSegmentHeader(bytes.view().substr(0, kSegmentHeaderBytes));
      if (!header.ok()) continue;
      segments.push_back(
          {name, bytes.size(), *header, ScanSegment(bytes.view(), *header)});
    }
    return segments;
  }
  static std::vector<std::string> Checkpoints(SimServer* server,
                                              CheckpointKind kind) {
    std::vector<std::string> names;
    for (const auto& [name, file] : server->disk()->names().durable()) {
      // Not one that is about to go.
      if (server->disk()->names().Find(name) != file) continue;
      if (ParseCheckpointName(kind, name).has_value()) names.push_back(name);
    }
    return names;
  }
  // The segment of this server's log that has the entry, and its frame.
  static std::pair<std::string, FoundFrame> FrameOf(SimServer* server,
                                                    Index index) {
    for (const Segment& s : Segments(server)) {
      for (const FoundFrame& f : s.scan.frames) {
        if (f.header.kind == FrameKind::kEntry && f.header.index == index) {
          return {s.name, f};
        }
      }
    }
    ADD_FAILURE() << "no frame of entry " << index.value();
    return {};
  }

  // --- What a server serves ---

  absl::StatusOr<ReadResult> ReadAt(SimServer* server, Offset offset) {
    auto result = std::make_shared<std::optional<absl::StatusOr<ReadResult>>>();
    server->log().Read(
        offset, 1000, ReadMode::kLocal,
        [result](absl::StatusOr<ReadResult> r) { *result = std::move(r); });
    sim_->RunUntil([&] { return result->has_value(); }, 5s);
    return result->value_or(absl::DeadlineExceededError("no answer"));
  }
  struct AllRead {
    std::map<Offset, std::string> batches;
    std::vector<LostRecords> lost;
  };
  // All that begins before `end`.
  AllRead ReadAll(SimServer* server, Offset end) {
    AllRead all;
    Offset at = server->log().first_offset();
    while (at < end) {
      const absl::StatusOr<ReadResult> read = ReadAt(server, at);
      if (const auto gone = LostRecordsOf(read.status()); gone.has_value()) {
        EXPECT_EQ(gone->first, at);
        if (gone->end <= at) break;
        all.lost.push_back(*gone);
        at = gone->end;
        continue;
      }
      if (!read.ok() || read->batches.empty()) {
        ADD_FAILURE() << at.value() << ": " << read.status();
        break;
      }
      for (const Entry& batch : read->batches) {
        if (batch.header.base_offset >= end) break;
        all.batches[batch.header.base_offset] =
            std::string(batch.payload.view());
        at = batch.header.base_offset + batch.header.count;
      }
      if (read->batches.back().header.base_offset >= end) break;
    }
    return all;
  }

  // --- Damage ---

  static Damage Rot(SimServer* server, const std::string& file, uint64_t at) {
    Buffer bytes = Buffer::Copy(Bytes(server, file).view().substr(at, 1));
    *bytes.data_mutable() ^= 1;
    return {.kind = DamageKind::kRot, .file = file, .from = at, .bytes = bytes};
  }
  // In the body of that entry's frame.
  static Damage Rot(SimServer* server, Index index) {
    const auto [name, frame] = FrameOf(server, index);
    return Rot(server, name, frame.position + kLogFrameHeaderBytes + 10);
  }
  static Damage Zeroes(const std::string& file, uint64_t from, uint64_t size) {
    return {.kind = DamageKind::kZeroes,
            .file = file,
            .from = from,
            .bytes = Buffer::Zeroes(size)};
  }
  static Damage Refused(const std::string& file, uint64_t from, uint64_t size) {
    Damage damage = Zeroes(file, from, size);
    damage.kind = DamageKind::kRefused;
    return damage;
  }
  static Damage Misdirect(SimServer* server, const std::string& file,
                          uint64_t from, const std::string& source,
                          uint64_t there, uint64_t size) {
    return {.kind = DamageKind::kMisdirect,
            .file = file,
            .from = from,
            .bytes =
                Buffer::Copy(Bytes(server, source).view().substr(there, size))};
  }
  static Damage Truncate(const std::string& file, uint64_t size) {
    return {.kind = DamageKind::kTruncate, .file = file, .from = size};
  }
  static Damage Vanish(const std::string& file) {
    return {.kind = DamageKind::kVanish, .file = file};
  }

  bool May(SimServer* server, const Damage& damage) {
    return sim_->atlas()->MayDamage(server, damage);
  }
  // As the atlas allows.
  void Spoil(SimServer* server, const Damage& damage) {
    ASSERT_TRUE(May(server, damage)) << damage.file << " " << damage.from;
    SpoilAnyway(server, damage);
  }
  void SpoilAnyway(SimServer* server, const Damage& damage) {
    mirror_[server->machine()].try_emplace(damage.file,
                                           Bytes(server, damage.file));
    server->Spoil(damage);
  }
  // As from a mirror of its disk, but for files that were mended.
  void Restore(SimServer* server) {
    for (const auto& [file, bytes] : mirror_[server->machine()]) {
      if (!server->disk()->AtRest(file, 0, bytes.size())) continue;
      server->Spoil({.file = file, .from = 0, .bytes = bytes});
    }
    mirror_.erase(server->machine());
  }
  // One who stands, and has another one's vote; null: there is none.
  SimServer* CandidateWithAVote() {
    for (MachineId m = 1; m <= sim_->server_count(); ++m) {
      SimServer* const server = sim_->server(m);
      if (!server->running() || !server->node().formed()) continue;
      const RaftCore& core = *server->node().core();
      if (core.role() != Role::kCandidate) continue;
      for (MachineId voter = 1; voter <= sim_->server_count(); ++voter) {
        SimServer* const other = sim_->server(voter);
        if (voter == m || !other->running() || !other->node().formed()) {
          continue;
        }
        if (other->node().core()->term() == core.term() &&
            other->node().core()->vote() == core.id()) {
          return server;
        }
      }
    }
    return nullptr;
  }
  // Who is elected next, of whose entries none reaches anybody; null: nobody
  // is.
  SimServer* WhoLeadsAlone() {
    SimServer* alone = nullptr;
    for (int i = 0; (alone = CandidateWithAVote()) == nullptr; ++i) {
      if (i == 100'000 || !sim_->RunFor(100us)) return nullptr;
    }
    for (MachineId m = 1; m <= sim_->server_count(); ++m) {
      if (m == alone->machine()) continue;
      sim_->network()->SetCut(alone->machine(), m, true);
    }
    for (int i = 0; !alone->node().is_leader(); ++i) {
      if (i == 1000 || !sim_->RunFor(1ms)) return nullptr;
    }
    Isolate(alone->machine());
    return alone;
  }
  void Restart(SimServer* server) {
    server->Crash(/*power_lost=*/true);
    server->Start();
  }

 private:
  std::map<MachineId, std::map<std::string, Buffer>> mirror_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_TESTING_DAMAGE_SCENARIO_H_
