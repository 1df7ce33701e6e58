#include "sim/setup.h"

#include <iterator>
#include <optional>

#include "engine/base/random.h"
#include "sim/simulation.h"

namespace holdfast {
namespace {

constexpr ChanceSite kNodes("setup/nodes");
constexpr ChanceSite kSpares("setup/spares");
constexpr ChanceSite kOperator("setup/operator");
constexpr ChanceSite kAdmin("setup/admin");
constexpr ChanceSite kClients("setup/clients");
constexpr ChanceSite kSegmentBytes("setup/segment_bytes");
constexpr ChanceSite kReserve("setup/reserve");
constexpr ChanceSite kHotBytes("setup/hot_bytes");
constexpr ChanceSite kAppendBytes("setup/append_bytes");
constexpr ChanceSite kInFlight("setup/in_flight");
constexpr ChanceSite kKept("setup/kept_segments");
constexpr ChanceSite kSessions("setup/sessions");
constexpr ChanceSite kRetention("setup/retention");
constexpr ChanceSite kKv("setup/kv");
constexpr ChanceSite kChunk("setup/chunk_bytes");
constexpr ChanceSite kLeases("setup/leases");
constexpr ChanceSite kScrub("setup/scrub");
constexpr ChanceSite kMinorityDown("setup/minority_down");
constexpr ChanceSite kElection("setup/election_timeout");
constexpr ChanceSite kRoom("setup/room");
constexpr ChanceSite kClientKinds("setup/client_kinds");
constexpr ChanceSite kRecordBytes("setup/record_bytes");
constexpr ChanceSite kPause("setup/pause");
constexpr ChanceSite kCredit("setup/tail_credit");

// A size that servers differ in: of a number below `bound`.
struct DrawnSize {
  const ChanceSite& site;
  uint32_t id;
  uint64_t bound;
  void (*set)(uint64_t drawn, ServiceOptions* service);
};
constexpr DrawnSize kDrawnSizes[] = {
    // Small, so that segments roll and entries go cold all the time.
    {kSegmentBytes, 0, 4,
     [](uint64_t drawn, ServiceOptions* service) {
       service->log.node.wal.segment_bytes = uint64_t{8 << 10} << drawn;
     }},
    {kHotBytes, 0, 8,
     [](uint64_t drawn, ServiceOptions* service) {
       service->log.node.raft.hot_bytes = uint64_t{4 << 10} << drawn;
     }},
    // Few and small messages under way split what a new leader sends: old
    // entries are acknowledged apart from those of its own term.
    {kAppendBytes, 0, 7,
     [](uint64_t drawn, ServiceOptions* service) {
       RaftOptions& raft = service->log.node.raft;
       raft.max_append_bytes = raft.max_probe_bytes = uint64_t{256} << drawn;
     }},
    {kInFlight, 0, 5,
     [](uint64_t drawn, ServiceOptions* service) {
       service->log.node.raft.max_messages_in_flight = size_t{1} << drawn;
     }},
    {kKept, 0, 8,
     [](uint64_t drawn, ServiceOptions* service) {
       service->log.node.kept_for_laggards = drawn;
     }},
    {kChunk, 0, 8,
     [](uint64_t drawn, ServiceOptions* service) {
       service->log.node.checkpoint_chunk_bytes = size_t{64} << drawn;
     }},
    {kKv, 1, 8,
     [](uint64_t drawn, ServiceOptions* service) {
       service->log.machine_slice_bytes = size_t{32} << drawn;
     }},
};

// Of sessions, of the log's length, of elections, of memory.
void DrawLimits(SimulationOptions* options, Chance* chance) {
  if (!options->sessions.has_value()) {
    options->sessions.emplace();
    if (!options->rates.has_value()) {
      // Mostly more and longer than needed.
      options->sessions->count_max = uint32_t{1}
                                     << Drawn(chance, kSessions, 0, 8);
      options->sessions->idle_max =
          Duration(500ms) * (1 << Drawn(chance, kSessions, 1, 8));
      // Mostly none: where records expire, a log that begins too late can't be
      // told from one that has lost some.
      const uint64_t retention = Drawn(chance, kRetention, 0, 8);
      if (retention < 2) {
        options->retention_bytes = (256 << 10) << retention;
      } else if (retention == 2) {
        options->retention_age = 15s;
      }
    }
  }
  if (!options->rates.has_value()) {
    // For longer than usual, two may take themselves for leaders.
    if (!options->election_timeout_max.has_value() &&
        Drawn(chance, kElection, 0, 4) == 0) {
      options->election_timeout_max = 1500ms;
    }
    const auto little = [&](uint32_t id, size_t room,
                            std::optional<size_t>* option) {
      const uint64_t drawn = Drawn(chance, kRoom, id, 8);
      if (!option->has_value() && drawn < 2) *option = room << drawn;
    };
    little(0, 16 << 10, &options->pending_bytes_max);
    little(1, 16, &options->pending_appends_max);
    little(2, 4 << 10, &options->queue_bytes_max);
    little(4, 1, &options->admin_requests_max);
    // All get in, unless what was one's connection is still there.
    const uint64_t clients = Drawn(chance, kRoom, 3, 8);
    if (!options->clients_per_server_max.has_value() && clients < 2) {
      options->clients_per_server_max = options->clients + clients;
    }
  }
}

}  // namespace

uint64_t Drawn(Chance* chance, const ChanceSite& site, uint32_t id,
               uint64_t bound) {
  return chance->Below(site, ChanceActor{id, 0}, 0, bound);
}

SimulationOptions DrawSetup(SimulationOptions options, Chance* chance) {
  // Three and five mostly, the others now and then.
  constexpr uint32_t kSizes[] = {3, 3, 3, 5, 5, 1, 2, 4, 6, 7};
  // Also what is given is drawn, so that a run is the same, hash and all, if
  // what it drew is given.
  const uint32_t nodes = kSizes[Drawn(chance, kNodes, 0, std::size(kSizes))];
  if (options.nodes == 0) options.nodes = nodes;
  const uint64_t clients = 1 + Drawn(chance, kClients, 0, 3);
  if (options.clients == 0) options.clients = static_cast<uint32_t>(clients);
  // Half of all clusters change.
  uint64_t drawn = Drawn(chance, kSpares, 0, 6);
  if (options.rates.has_value()) drawn = 6;
  if (!options.spares.has_value()) {
    options.spares = drawn > 2 ? 0 : static_cast<uint32_t>(drawn);
  }
  if (!options.changes.has_value()) options.changes = drawn <= 2;
  DrawLimits(&options, chance);
  // What clients do besides appending.
  const auto does = [&](uint32_t what, std::optional<bool>* option) {
    const bool on = Drawn(chance, kClientKinds, what, 2) > 0;
    if (!option->has_value()) *option = on || options.rates.has_value();
  };
  does(0, &options.reads);
  does(1, &options.tails);
  does(2, &options.conditions);
  // With given rates only what is asked for.
  const auto adds = [&](bool on, std::optional<bool>* option) {
    if (!option->has_value()) *option = on && !options.rates.has_value();
  };
  adds(Drawn(chance, kClientKinds, 3, 2) > 0, &options.names_servers);
  adds(Drawn(chance, kKv, 0, 2) > 0, &options.kv);
  adds(Drawn(chance, kLeases, 0, 2) == 0, &options.leases);
  adds(Drawn(chance, kScrub, 0, 2) == 0, &options.scrub);
  adds(Drawn(chance, kMinorityDown, 0, 2) == 0, &options.minority_down);
  adds(Drawn(chance, kOperator, 0, 2) == 0, &options.trims);
  adds(Drawn(chance, kAdmin, 0, 2) == 0, &options.admin);
  const bool transfers = Drawn(chance, kOperator, 1, 2) == 0;
  if (!options.transfers.has_value()) {
    options.transfers = options.rates.has_value()
                            ? *options.changes || *options.trims
                            : transfers;
  }
  if (!options.rates.has_value()) {
    options.rates = FaultRates::Swarm(chance, options.damage);
    // Somebody has to replace such a server.
    if (!*options.changes) {
      options.rates->old_disk_ppm = options.rates->forge_ppm = 0;
      options.rates->wiped_disk_ppm = 0;
    }
  }
  if (!options.drift) {
    options.rates->drift_ppm_max = options.rates->timer_slack_max_ns = 0;
  }
  return options;
}

ServiceOptions DrawService(const SimulationOptions& options, Chance* chance) {
  ServiceOptions service;
  for (const DrawnSize& size : kDrawnSizes) {
    size.set(Drawn(chance, size.site, size.id, size.bound), &service);
  }
  if (options.segment_bytes.has_value()) {
    service.log.node.wal.segment_bytes = *options.segment_bytes;
  }
  if (options.kept_for_laggards.has_value()) {
    service.log.node.kept_for_laggards = *options.kept_for_laggards;
  }
  service.log.node.wal.mark_every_bytes = 4 << 10;
  // Whether or not a segment fits in.
  service.log.node.wal.small_segment_bytes = 32 << 10;
  service.log.node.reserve_bytes = options.reserve_bytes.value_or(
      (64 << 10) +
      Drawn(chance, kReserve, 0, 2) * service.log.node.wal.segment_bytes);
  service.log.node.raft.max_bytes_in_flight = 64 << 10;
  if (options.election_timeout_max.has_value()) {
    service.log.node.raft.election_timeout_max = *options.election_timeout_max;
  }
  if (options.pending_bytes_max.has_value()) {
    service.log.pending_bytes_max = *options.pending_bytes_max;
  }
  if (options.pending_appends_max.has_value()) {
    service.log.pending_appends_max = *options.pending_appends_max;
  }
  if (options.clients_per_server_max.has_value()) {
    service.clients_max = *options.clients_per_server_max;
  }
  if (options.admin_requests_max.has_value()) {
    service.admin_requests_per_client_max = *options.admin_requests_max;
  }
  service.log.sessions = *options.sessions;
  service.log.retention_bytes = options.retention_bytes;
  service.log.retention_age = options.retention_age;
  service.log.log_bytes_max = options.log_bytes_max;
  service.log.node.catch_up_bytes_per_second = uint64_t{64 << 10}
                                               << Drawn(chance, kChunk, 1, 11);
  const uint64_t scrub_bytes = uint64_t{128 << 10}
                               << Drawn(chance, kScrub, 1, 6);
  service.log.node.scrub_bytes_per_second = *options.scrub ? scrub_bytes : 0;
  service.log.node.scrub_interval =
      Duration(200ms) * (1 << Drawn(chance, kScrub, 2, 6));
  service.log.node.raft.clock_drift_ppm_max = options.rates->drift_ppm_max;
  return service;
}

SimClientOptions DrawClient(const SimulationOptions& options, uint32_t i,
                            Chance* chance) {
  SimClientOptions client;
  client.reads = *options.reads;
  client.tails = *options.tails;
  client.conditions = *options.conditions;
  client.names_servers = *options.names_servers;
  client.slow_reader_ppm = options.rates->slow_reader_ppm;
  client.operations_max = options.operations_max;
  client.admin = *options.admin;
  client.admin_requests_max = options.admin_requests_max.value_or(
      ServiceOptions().admin_requests_per_client_max);
  client.clock_limits = options.rates->clock_limits();
  client.record_bytes_max = size_t{30} << Drawn(chance, kRecordBytes, i, 8);
  client.pause_max = Duration(50ms) * (1 << Drawn(chance, kPause, i, 5));
  client.tail_credit_bytes = uint32_t{512} << Drawn(chance, kCredit, i, 8);
  if (options.queue_bytes_max.has_value()) {
    client.queue_bytes_max = *options.queue_bytes_max;
  }
  return client;
}

Duration PlaceMax(const SimulationOptions& options) {
  if (!options.clients_per_server_max.has_value()) return Duration::zero();
  // Until a connection that is half open is given up: that is looked at three
  // times within its silence_max, and something may have come before the first.
  return PeersOptions().acceptor.client_stream.silence_max * 4 / 3;
}

bool DrawLeases(const SimulationOptions& options, uint32_t machine,
                Chance* chance) {
  return *options.leases && Drawn(chance, kLeases, machine, 16) > 0;
}

void VaryService(uint64_t value, bool leases, ServiceOptions* service) {
  // Other numbers than those that the value is asked for besides.
  uint64_t salt = value + 1000;
  for (const DrawnSize& size : kDrawnSizes) {
    size.set(Below(Mix64(++salt), size.bound), service);
  }
  service->log.node.raft.leases = leases && Below(Mix64(++salt), 4) > 0;
}

}  // namespace holdfast
