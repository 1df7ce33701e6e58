// Scenes of several disks that are spoiled at one moment, and of servers that
// mend their logs at the same time.

#include <cstdint>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "gtest/gtest.h"
#include "sim/testing/damage_scenario.h"

namespace holdfast {
namespace {

using SurgeScenario = DamageScenario;

// A running server finds a damaged entry, which is damaged on another disk,
// too; the third has it, and mends what else it lacks. At no moment of that may
// the first one take the entry for lost, as long as somebody can't say what it
// has.
TEST_F(SurgeScenario, NothingIsLostThatAServerHasWhichMends) {
  constexpr int kMoments = 120;
  bool refused = false;  // somebody couldn't say
  for (int moment = 0; moment < kMoments; ++moment) {
    SCOPED_TRACE(moment);
    MakeFull(1, 3);
    for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Crash();
    ASSERT_TRUE(sim_->RunFor(2s));
    SimServer* const runs = sim_->Leader();
    SimServer* const lacks = sim_->server(runs->machine() % 3 + 1);
    SimServer* const has = sim_->server(6 - runs->machine() - lacks->machine());
    const std::vector<Segment> segments = Segments(runs);
    const Segment& segment = segments[segments.size() / 2];
    const FoundFrame& frame = segment.LastEntryBefore(segment.scan.end);
    const absl::StatusOr<Entry> entry =
        DecodeEntry(Bytes(runs, segment.name)
                        .Slice(frame.position + kLogFrameHeaderBytes,
                               frame.header.body_size));
    ASSERT_TRUE(entry.ok()) << entry.status();
    for (SimServer* server : {lacks, has}) {
      server->Crash(true);
      // So that it reads all of its log.
      for (const auto& name : Checkpoints(server, CheckpointKind::kResume)) {
        Spoil(server, Rot(server, name, 20));
      }
    }
    for (SimServer* server : {runs, lacks}) {
      Spoil(server, Rot(server, frame.header.index));
    }
    Spoil(has, Rot(has, frame.header.index - 5));
    Spoil(has, Rot(has, frame.header.index + 5));
    for (SimServer* server : {lacks, has}) server->Start();
    ASSERT_TRUE(sim_->RunFor(moment * 50us));
    const absl::StatusOr<ReadResult> read =
        ReadAt(runs, entry->header.base_offset);
    EXPECT_FALSE(LostRecordsOf(read.status()).has_value()) << read.status();
    refused = refused || !read.ok();
    for (size_t i = 0; i < clients(); ++i) sim_->client(i)->Start();
    ASSERT_TRUE(Progress(1)) << sim_->verdict().what();
    EXPECT_TRUE(ReadAt(runs, entry->header.base_offset).ok());
    ExpectGoodEnd();
  }
  EXPECT_TRUE(refused);
}

TEST_F(SurgeScenario, ScheduleSpoilsDisksTogether) {
  SimulationOptions options;
  options.seed = 1;
  options.nodes = 5;
  options.duration = 20s;
  options.scrub = true;
  options.trims = true;
  options.rates = FaultRates{};
  RunWith(options, {&FaultRates::surge_ppm, 300'000,
                    [](const SimulationResult& r) { return r.faults.surges; }});
}

}  // namespace
}  // namespace holdfast
