#include "sim/fault_rates.h"

#include "engine/base/random.h"

namespace holdfast {
namespace {

constexpr ChanceSite kSwarm("fault/swarm");

}  // namespace

FaultRates FaultRates::Swarm(Chance* chance, bool damage) {
  uint64_t ordinal = 0;
  // Off half the time; else between a tenth of `max` and `max`.
  auto rate = [&](uint64_t max) -> uint64_t {
    if (chance == nullptr) return max / 2;
    uint64_t bits = chance->Bits(kSwarm, ChanceActor{}, ordinal++);
    if ((bits & 1) != 0) return 0;
    return max / 10 + Below(Mix64(bits), max - max / 10);
  };
  FaultRates rates;
  rates.crash_ppm = rate(30000);
  rates.power_loss_ppm = rate(30000);
  rates.crash_in_io_ppm = rate(40000);
  rates.cluster_power_loss_ppm = rate(8000);
  rates.client_crash_ppm = rate(20000);
  rates.isolate_ppm = rate(40000);
  rates.split_ppm = rate(60000);
  rates.one_way_ppm = rate(60000);
  rates.slow_link_ppm = rate(60000);
  rates.reset_ppm = rate(1500);
  rates.slow_disk_ppm = rate(3000);
  rates.drift_ppm_max = static_cast<int64_t>(rate(20000));
  rates.silence_ppm = rate(300);
  rates.refuse_ppm = rate(200000);
  rates.ambush_ppm = rate(60000);
  rates.pause_ppm = rate(40000);
  rates.upgrade_ppm = rate(30000);
  rates.hang_disk_ppm = rate(20000);
  rates.old_disk_ppm = rate(100000);
  rates.late_news_ppm = rate(80000);
  rates.bridge_ppm = rate(40000);
  rates.flap_ppm = rate(40000);
  rates.clog_ppm = rate(40000);
  rates.cut_client_ppm = rate(30000);
  rates.flip_ppm = rate(1000);
  rates.linger_ppm = rate(800000);
  rates.read_error_ppm = rate(2000);
  rates.write_error_ppm = rate(800);
  rates.sync_error_ppm = rate(800);
  rates.full_disk_ppm = rate(20000);
  rates.close_ppm = rate(20000);
  // What a disk forgets hides much else: half of the runs have none of it.
  if (damage && (chance == nullptr ||
                 (chance->Bits(kSwarm, ChanceActor{}, ordinal++) & 1) != 0)) {
    rates.rot_ppm = rate(40000);
    rates.zeroes_ppm = rate(40000);
    rates.misdirect_ppm = rate(40000);
    rates.truncate_ppm = rate(40000);
    rates.refuse_blocks_ppm = rate(40000);
    rates.forge_ppm = rate(100000);
    rates.stale_ppm = rate(40000);
    rates.vanish_ppm = rate(40000);
    rates.surge_ppm = rate(20000);
  }
  ordinal = 100;
  rates.other_options_ppm = rate(20000);
  rates.crash_loop_ppm = rate(10000);
  rates.burst_ppm = rate(20000);
  rates.timer_slack_max_ns = static_cast<int64_t>(rate(8'000'000));
  rates.wiped_disk_ppm = rate(40000);
  rates.tear_ppm = rate(800'000);
  rates.lose_write_ppm = rate(1'000'000);
  rates.lose_name_ppm = rate(1'000'000);
  rates.drop_in_flight_ppm = rate(500'000);
  rates.cut_in_flight_ppm = rate(700'000);
  rates.tail_ppm = rate(2000);
  rates.short_read_ppm = rate(100'000);
  rates.slow_reader_ppm = rate(100'000);
  rates.stop_reading_ppm = rate(30'000);
  rates.pause_client_ppm = rate(40'000);
  rates.short_write_ppm = rate(100'000);
  rates.close_client_ppm = rate(20'000);
  return rates;
}

}  // namespace holdfast
