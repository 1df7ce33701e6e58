#ifndef HOLDFAST_SIM_FAULT_RATES_H_
#define HOLDFAST_SIM_FAULT_RATES_H_

#include <cstdint>

#include "engine/base/time.h"
#include "sim/chance.h"
#include "sim/sim_client.h"
#include "sim/sim_disk.h"
#include "sim/sim_loop.h"
#include "sim/sim_network.h"

namespace holdfast {

// How often each kind of fault happens: so many of a million windows, for each
// machine or link. 0: never. Drawn by seed (Swarm), each kind off with
// probability one half ("Swarm Testing", ISSTA 2012).
struct FaultRates {
  uint64_t crash_ppm = 0;
  uint64_t power_loss_ppm = 0;
  uint64_t crash_in_io_ppm = 0;
  uint64_t cluster_power_loss_ppm = 0;
  uint64_t client_crash_ppm = 0;
  // One machine from all others, both ways or one.
  uint64_t isolate_ppm = 0;
  uint64_t split_ppm = 0;      // two groups
  uint64_t one_way_ppm = 0;    // one link, one direction
  uint64_t slow_link_ppm = 0;  // one, or all that leave a machine
  uint64_t reset_ppm = 0;      // of writes
  uint64_t slow_disk_ppm = 0;  // of operations
  int64_t drift_ppm_max = 0;   // of clocks; 0: none drifts
  uint64_t silence_ppm = 0;    // of writes
  uint64_t refuse_ppm = 0;     // of dials
  // Some of the servers lose power around the next election.
  uint64_t ambush_ppm = 0;
  uint64_t pause_ppm = 0;  // a server stops, and goes on later
  // A server is started again with the next release.
  uint64_t upgrade_ppm = 0;
  uint64_t hang_disk_ppm = 0;  // no sync of a disk ends for a while
  uint64_t old_disk_ppm = 0;   // a disk comes back as it was once
  // The leader hands over, and hears late of all that follows.
  uint64_t late_news_ppm = 0;
  // Two groups, and a server that sees both.
  uint64_t bridge_ppm = 0;
  uint64_t flap_ppm = 0;        // a link comes and goes
  uint64_t clog_ppm = 0;        // a link carries few bytes a second
  uint64_t cut_client_ppm = 0;  // a client from one server, or from all
  uint64_t flip_ppm = 0;        // of writes: a bit arrives as the other one
  uint64_t linger_ppm = 0;      // of streams that are given up
  // Of a disk's operations.
  uint64_t read_error_ppm = 0;
  uint64_t write_error_ppm = 0;
  uint64_t sync_error_ppm = 0;
  uint64_t full_disk_ppm = 0;  // a disk has little room for a while
  uint64_t close_ppm = 0;      // a server is asked to end
  // A server is started again with other options.
  uint64_t other_options_ppm = 0;
  uint64_t crash_loop_ppm = 0;  // a server crashes soon after each start
  uint64_t burst_ppm = 0;       // a client has many appends at once
  uint64_t wiped_disk_ppm = 0;  // a server starts on an empty disk
  // Of each process's timers, in true time (sim/sim_loop.h); 0: none is late.
  int64_t timer_slack_max_ns = 0;
  // Of storage at rest (sim/damage.h).
  uint64_t rot_ppm = 0;
  uint64_t zeroes_ppm = 0;
  uint64_t misdirect_ppm = 0;
  uint64_t truncate_ppm = 0;
  uint64_t refuse_blocks_ppm = 0;
  uint64_t stale_ppm = 0;
  uint64_t vanish_ppm = 0;
  uint64_t surge_ppm = 0;  // of all servers at one moment, some of which die
  uint64_t forge_ppm = 0;  // a disk's last entry becomes another one
  // What belongs to power failures, dying processes and networks, unless it is
  // off: as SimDiskOptions and SimNetworkOptions have it.
  uint64_t tear_ppm = SimDiskOptions().tear_ppm;
  uint64_t lose_write_ppm = SimDiskOptions().lose_write_ppm;
  uint64_t lose_name_ppm = SimDiskOptions().lose_name_ppm;
  uint64_t drop_in_flight_ppm = SimDiskOptions().drop_in_flight_ppm;
  uint64_t cut_in_flight_ppm = SimDiskOptions().cut_in_flight_ppm;
  uint64_t tail_ppm = SimNetworkOptions().tail_ppm;
  uint64_t short_read_ppm = SimNetworkOptions().short_read_ppm;
  // Of what tails bring, likewise as SimClientOptions has it.
  uint64_t slow_reader_ppm = SimClientOptions().slow_reader_ppm;
  uint64_t stop_reading_ppm = 0;  // a client reads none of its streams
  uint64_t pause_client_ppm = 0;  // a client stops, and goes on later
  uint64_t short_write_ppm = 0;   // of writes to streams
  uint64_t close_client_ppm = 0;  // a client is asked to end

  ClockLimits clock_limits() const {
    return {.drift_ppm_max = drift_ppm_max,
            .timer_slack_max = Duration(timer_slack_max_ns)};
  }

  // `damage`: with those of storage at rest. Without chance, all kinds at half
  // of the most that is drawn.
  static FaultRates Swarm(Chance* chance, bool damage);
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_FAULT_RATES_H_
