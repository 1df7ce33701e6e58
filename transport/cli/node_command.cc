#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "engine/env/address.h"
#include "transport/cli/command.h"
#include "transport/cli/log_lines.h"
#include "transport/epoll_loop.h"
#include "transport/posix_disk.h"
#include "transport/server.h"

namespace holdfast {
namespace {

constexpr uint64_t kHotBytes = 32 << 20;
// How long its end waits for them.
constexpr Duration kLastLines = 1s;
constexpr char kDevAddress[] = "127.0.0.1:7400";

struct NodeSettings {
  NodeConfig config;
  bool dev = false;
};

// "1=HOST:PORT,2=HOST:PORT".
absl::StatusOr<std::vector<Member>> ParseBootstrap(const std::string& text) {
  std::vector<Member> members;
  for (absl::string_view part : absl::StrSplit(text, ',')) {
    std::vector<std::string> halves =
        absl::StrSplit(part, absl::MaxSplits('=', 1));
    uint64_t id;
    if (halves.size() != 2 || !absl::SimpleAtoi(halves[0], &id) || id == 0) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--bootstrap: expected ID=HOST:PORT,..., found \"", part, "\""));
    }
    members.push_back(Member{ServerId(id), Incarnation(), halves[1]});
  }
  return members;
}

// How it gets into a cluster, and is reached there.
absl::Status ParseMembership(const Args& args, NodeOptions* node) {
  node->join = args.Has("join");
  if (node->join && (args.Has("bootstrap") || args.Has("dev"))) {
    return absl::InvalidArgumentError(
        "expected only one of --join (to be added to a cluster), --bootstrap "
        "(to form a new one) and --dev");
  }
  if (args.Has("bootstrap")) {
    absl::StatusOr<std::vector<Member>> members =
        ParseBootstrap(args.Text("bootstrap"));
    if (!members.ok()) return members.status();
    node->bootstrap = *std::move(members);
  }
  node->advertise = args.Text("advertise", node->listen);
  if (absl::StatusOr<HostPort> address = ParseAddress(node->advertise);
      !address.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--advertise: ", address.status().message()));
  }
  return absl::OkStatus();
}

absl::Status ParseRetention(const Args& args, LogOptions* log) {
  if (args.Has("retention-mib")) {
    absl::StatusOr<uint64_t> mib =
        args.Number("retention-mib", 0, 1, uint64_t{1} << 40);
    if (!mib.ok()) return mib.status();
    log->retention_bytes = *mib << 20;
  }
  if (args.Has("retention-age")) {
    absl::StatusOr<Duration> age = args.Time("retention-age", Duration());
    if (!age.ok()) return age.status();
    if (*age < 1s) {
      return absl::InvalidArgumentError(
          "--retention-age: expected at least 1s");
    }
    log->retention_age = *age;
  }
  if (args.Has("max-log-bytes")) {
    absl::StatusOr<uint64_t> bytes =
        args.Number("max-log-bytes", 0, 1, UINT64_MAX);
    if (!bytes.ok()) return bytes.status();
    const uint64_t least = log->retention_bytes.value_or(0) +
                           2 * log->node.wal.segment_bytes +
                           kEntryPayloadBytesMax;
    if (*bytes < least) {
      return absl::InvalidArgumentError(absl::StrCat(
          "--max-log-bytes: expected at least ", least,
          " (two segments and a batch",
          log->retention_bytes.has_value() ? ", and what --retention-mib keeps"
                                           : "",
          "), found ", *bytes));
    }
    log->log_bytes_max = *bytes;
  }
  return absl::OkStatus();
}

absl::Status ParseFeatureLevel(const Args& args, NodeOptions* node) {
  absl::StatusOr<uint64_t> level =
      args.Number("feature-level-max", kFeatureLevelMax, kFeatureLevelMin,
                  kFeatureLevelMax);
  if (!level.ok()) return level.status();
  node->feature_level_max = static_cast<uint32_t>(*level);
  return absl::OkStatus();
}

absl::Status ParseLeases(const Args& args, RaftOptions* raft) {
  raft->leases = args.Has("leases");
  if (args.Has("clock-drift-ppm-max") && !raft->leases) {
    return absl::InvalidArgumentError(
        "--clock-drift-ppm-max: expected --leases, too: nothing else counts on "
        "clocks");
  }
  absl::StatusOr<uint64_t> drift =
      args.Number("clock-drift-ppm-max",
                  static_cast<uint64_t>(raft->clock_drift_ppm_max), 0, 500'000);
  if (!drift.ok()) return drift.status();
  raft->clock_drift_ppm_max = static_cast<int64_t>(*drift);
  return absl::OkStatus();
}

absl::StatusOr<DiskBackend> ParseDisk(const std::string& text) {
  if (text == "auto") return DiskBackend::kAuto;
  if (text == "io_uring") return DiskBackend::kIoUring;
  if (text == "threads") return DiskBackend::kThreads;
  return absl::InvalidArgumentError(absl::StrCat(
      "--disk: expected auto, io_uring or threads, found \"", text, "\""));
}

absl::StatusOr<NodeSettings> DevSettings() {
  NodeSettings settings;
  settings.dev = true;
  const char* tmp = getenv("TMPDIR");
  std::string pattern =
      absl::StrCat(tmp == nullptr ? "/tmp" : tmp, "/holdfast-dev.XXXXXX");
  if (mkdtemp(pattern.data()) == nullptr) {
    return absl::PermissionDeniedError(
        absl::StrCat("can't make a temporary directory ", pattern));
  }
  settings.config.data_dir = pattern;
  settings.config.insecure = true;
  NodeOptions& node = settings.config.node();
  node.id = ServerId(1);
  node.cluster_name = "dev";
  node.listen = kDevAddress;
  node.bootstrap = {Member{ServerId(1), Incarnation(), kDevAddress}};
  return settings;
}

absl::StatusOr<NodeSettings> ParseSettings(const Args& args) {
  NodeSettings settings;
  if (args.Has("dev")) {
    absl::StatusOr<NodeSettings> dev = DevSettings();
    if (!dev.ok()) return dev.status();
    settings = *std::move(dev);
  } else if (absl::Status s = args.Require({"id", "listen", "data-dir"});
             !s.ok()) {
    return s;
  }
  NodeOptions& node = settings.config.node();
  if (!settings.dev) {
    absl::StatusOr<uint64_t> id = args.Number("id", 0, 1, UINT64_MAX);
    if (!id.ok()) return id.status();
    node.id = ServerId(*id);
    node.listen = args.Text("listen");
    settings.config.data_dir = args.Text("data-dir");
    settings.config.certs = args.Text("certs");
    settings.config.insecure = args.Has("insecure");
    if (args.Has("certs") == args.Has("insecure")) {
      return absl::InvalidArgumentError(
          "expected either --certs=DIR, or --insecure for plaintext");
    }
    node.cluster_name = args.Text("cluster", "holdfast");
  }
  if (absl::StatusOr<HostPort> listen = ParseAddress(node.listen);
      !listen.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("--listen: ", listen.status().message()));
  }
  if (absl::Status s = ParseMembership(args, &node); !s.ok()) return s;
  absl::StatusOr<Duration> heartbeat =
      args.Time("heartbeat-interval", node.raft.heartbeat_interval);
  if (!heartbeat.ok()) return heartbeat.status();
  absl::StatusOr<Duration> election =
      args.Time("election-timeout", node.raft.election_timeout_min);
  if (!election.ok()) return election.status();
  if (*heartbeat < 1ms || *election < *heartbeat * 3) {
    return absl::InvalidArgumentError(
        "expected --election-timeout of at least three times "
        "--heartbeat-interval, which is at least 1ms");
  }
  node.raft.heartbeat_interval = *heartbeat;
  node.raft.election_timeout_min = *election;
  node.raft.election_timeout_max = *election * 2;
  node.raft.hot_bytes = kHotBytes;
  absl::StatusOr<uint64_t> segment = args.Number("segment-mib", 64, 1, 1024);
  if (!segment.ok()) return segment.status();
  node.wal.segment_bytes = *segment << 20;
  absl::StatusOr<uint64_t> catch_up =
      args.Number("catch-up-mib-per-second", 32, 1, 1 << 20);
  if (!catch_up.ok()) return catch_up.status();
  node.catch_up_bytes_per_second = *catch_up << 20;
  absl::StatusOr<uint64_t> scrub =
      args.Number("scrub-mib-per-second", 4, 0, 1 << 20);
  if (!scrub.ok()) return scrub.status();
  node.scrub_bytes_per_second = *scrub << 20;
  absl::StatusOr<uint64_t> reserve =
      args.Number("reserve-mib", 128, 0, uint64_t{1} << 20);
  if (!reserve.ok()) return reserve.status();
  node.reserve_bytes = *reserve << 20;
  if (absl::Status s = ParseFeatureLevel(args, &node); !s.ok()) return s;
  if (absl::Status s = ParseLeases(args, &node.raft); !s.ok()) return s;
  if (absl::Status s = ParseRetention(args, &settings.config.service.log);
      !s.ok()) {
    return s;
  }
  absl::StatusOr<DiskBackend> disk = ParseDisk(args.Text("disk", "auto"));
  if (!disk.ok()) return disk.status();
  settings.config.disk = *disk;
  return settings;
}

// Segments stay open, and clients are many: as many descriptors as may be.
void RaiseDescriptorLimit() {
  rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

// A server as a process: until a signal, or until it can't go on.
class NodeProcess {
 public:
  explicit NodeProcess(NodeSettings settings)
      : settings_(std::move(settings)) {}

  int Run() {
    RaiseDescriptorLimit();
    absl::StatusOr<std::unique_ptr<Server>> server =
        Server::Create(&loop_, settings_.config, &log_line_);
    if (!server.ok()) return FailWith(server.status());
    server_ = *std::move(server);
    loop_.OnSignals({SIGTERM, SIGINT}, [this](int signal) {
      log_.Add("info", absl::StrCat("event=closing signal=", signal));
      closing_ = true;
      server_->service()->Close([this](absl::Status) { loop_.Stop(); });
    });
    server_->service()->OnFatal(
        [this](absl::Status why) { Stop(std::move(why)); });
    server_->service()->Open([this](absl::Status opened) {
      // Close has been called, and says when it is done.
      if (closing_ && absl::IsCancelled(opened)) return;
      if (!opened.ok()) return Stop(std::move(opened));
      const Node& node = server_->service()->log().node();
      log_.Add("info",
               absl::StrCat("event=serving id=", node.options().id.value(),
                            " address=", node.listen_address(),
                            " disk=", DiskName()));
      if (settings_.dev) PrintDevHelp();
    });
    loop_.Run();
    server_ = nullptr;
    if (status_.ok()) log_.Add("info", "event=closed");
    log_.Flush(kLastLines);
    return status_.ok() ? kExitDone : Fail(kExitFailed, status_.message());
  }

 private:
  const char* DiskName() const {
    return server_->disk().backend() == DiskBackend::kIoUring ? "io_uring"
                                                              : "threads";
  }

  void Stop(absl::Status why) {
    status_ = std::move(why);
    loop_.Stop();
  }

  void PrintDevHelp() {
    std::string address = server_->service()->log().node().listen_address();
    std::printf(
        "A server for trying out, without certificates, in %s.\n"
        "In another terminal:\n"
        "  echo hello | holdfast append --servers=%s --insecure "
        "--print-offsets\n"
        "  holdfast read --servers=%s --insecure\n",
        settings_.config.data_dir.c_str(), address.c_str(), address.c_str());
    std::fflush(stdout);
  }

  const NodeSettings settings_;
  EpollLoop loop_;
  LogLines log_{STDERR_FILENO};
  LogLineFn log_line_ = [this](absl::string_view line) {
    log_.Add("info", line);
  };
  std::unique_ptr<Server> server_;
  bool closing_ = false;
  absl::Status status_;
};

int RunNode(const Args& args) {
  absl::StatusOr<NodeSettings> settings = ParseSettings(args);
  if (!settings.ok()) return FailWith(settings.status());
  // Before the first thread is started.
  EpollLoop::BlockSignals({SIGTERM, SIGINT});
  NodeProcess process(*std::move(settings));
  return process.Run();
}

}  // namespace

Command NodeCommand() {
  return {"node",
          "runs a server",
          {{"id", "ID", "this server's id, a number above 0"},
           {"listen", "HOST:PORT", "where it listens"},
           {"advertise", "HOST:PORT",
            "how the others reach it; where it listens unless told otherwise"},
           {"data-dir", "DIR", "its directory; made if it isn't there"},
           {"bootstrap", "ID=HOST:PORT,...",
            "all servers of a new cluster; harmless afterwards"},
           {"join", nullptr,
            "waits, with an empty directory, for \"holdfast join\"; harmless "
            "afterwards"},
           {"certs", "DIR", "directory with the certificates"},
           {"insecure", nullptr, "plaintext, without certificates"},
           {"cluster", "NAME", "the cluster's name, without certificates"},
           {"heartbeat-interval", "TIME", "50ms; the same on all servers"},
           {"election-timeout", "TIME",
            "at least; up to twice as long: 250ms; the same on all servers"},
           {"segment-mib", "N", "size of a segment file; 64"},
           {"catch-up-mib-per-second", "N",
            "to each server that is behind, while clients append, and to read "
            "what was trimmed; 32, or an eighth more than they append"},
           {"scrub-mib-per-second", "N",
            "of the log, to look for damage, all of it once an hour at most; "
            "4; 0: never"},
           {"retention-mib", "N",
            "drop the oldest segments while the log takes more; never unless "
            "told otherwise; the same on all servers"},
           {"retention-age", "TIME",
            "drop segments of records that are older, such as 168h; likewise"},
           {"max-log-bytes", "N",
            "refuse records while the log takes more; no limit unless told "
            "otherwise; the same on all servers"},
           {"reserve-mib", "N",
            "of the disk, kept for what must go on when it is full; 128"},
           {"leases", nullptr,
            "read without asking the others, as long as clocks allow; the same "
            "on all servers"},
           {"clock-drift-ppm-max", "N",
            "with --leases, how much a clock gains or loses at most, in parts "
            "of a million; 100000"},
           {"feature-level-max", "N",
            "keep the cluster at or below this level, so that an older release "
            "can still be gone back to; the release's highest one"},
           {"disk", "auto|io_uring|threads",
            "what runs its reads, writes and syncs; auto: io_uring where it "
            "works"},
           {"dev", nullptr, "one server on loopback, for a first try"},
           {"flagfile", "FILE", "more flags, one a line"}},
          RunNode};
}

}  // namespace holdfast
