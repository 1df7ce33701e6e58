#include "engine/client/cluster.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/base/check.h"
#include "engine/peer/client.pb.h"
#include "engine/peer/hello.h"

namespace holdfast {
namespace {

// A hint to a server that failed so shortly ago is out of date.
constexpr Duration kFailedRecently = 500ms;
constexpr size_t kHintsFollowedMax = 3;
// Of servers learned from hints.
constexpr size_t kKnownMax = 64;

}  // namespace

Cluster::Cluster(const Env& env, const ClientOptions& options)
    : env_(env),
      options_(options),
      draw_key_{.seed = env.seed, .site = Site("client_backoff"), .actor = 0},
      known_(options.servers),
      backoff_(options.backoff_min) {
  CHECK(!known_.empty());
}

Cluster::~Cluster() = default;

ServerConnection* Cluster::Server(const Address& address) {
  std::unique_ptr<ServerConnection>& server = servers_[address];
  if (server == nullptr) {
    server = std::make_unique<ServerConnection>(
        env_, options_, address,
        [this](ServerConnection* lost) { OnLost(lost); });
  }
  return server.get();
}

ServerConnection* Cluster::Leader() {
  if (candidate_ == nullptr && !pausing_) {
    Try(known_[next_known_ % known_.size()]);
  }
  return candidate_ != nullptr && candidate_->up() ? candidate_ : nullptr;
}

void Cluster::Try(const Address& address) {
  candidate_ = Server(address);
  candidate_->WhenUp(
      [this, address](const absl::Status& status) { OnUp(address, status); });
}

void Cluster::OnUp(const Address& address, const absl::Status& status) {
  if (candidate_ == nullptr || candidate_->address() != address) return;
  // Failures come through OnLost.
  if (!status.ok() || !candidate_->up()) return;
  std::vector<uint64_t> ids;
  for (const auto& [id, listener] : listeners_) ids.push_back(id);
  for (uint64_t id : ids) {
    auto it = listeners_.find(id);
    if (it == listeners_.end()) continue;
    // One of them may have found that it isn't the leader.
    ServerConnection* leader = Leader();
    if (leader == nullptr) return;
    it->second->OnLeader(leader);
  }
}

void Cluster::OnLost(ServerConnection* server) {
  if (server == candidate_) TryNext();
}

void Cluster::NotLeader(ServerConnection* server, const wire::LeaderHint& hint,
                        absl::string_view why) {
  if (server != candidate_) return;
  confirmed_ = nullptr;
  server->set_last_error(absl::UnavailableError(absl::StrCat(
      server->address(), ": ",
      why.empty() ? std::string("it isn't the leader") : OneLine(why))));
  const Address& address = hint.address();
  if (address.empty() || address == server->address() ||
      hints_followed_ >= kHintsFollowedMax) {
    return TryNext();
  }
  Learn(address);
  const ServerConnection* hinted = Server(address);
  if (!hinted->up() && hinted->failed_at() != Instant::min() &&
      env_.loop->Now() - hinted->failed_at() < kFailedRecently) {
    return TryNext();
  }
  ++hints_followed_;
  ++tried_in_vain_;
  Try(address);
}

void Cluster::TryNext() {
  if (closed_) return;
  candidate_ = nullptr;
  confirmed_ = nullptr;
  hints_followed_ = 0;
  ++tried_in_vain_;
  ++next_known_;
  if (tried_in_vain_ < known_.size()) {
    Try(known_[next_known_ % known_.size()]);
    return;
  }
  // A whole round in vain: they're electing one, or can't be reached.
  tried_in_vain_ = 0;
  pausing_ = true;
  const uint64_t half = static_cast<uint64_t>(backoff_.count() / 2);
  const Duration pause =
      backoff_ / 2 +
      Duration(static_cast<int64_t>(DrawBelow(draw_key_, draws_++, half + 1)));
  backoff_ = std::min(backoff_ * 2, options_.backoff_max);
  pause_ = env_.loop->After(pause, [this] {
    pausing_ = false;
    if (!listeners_.empty()) Leader();
  });
}

void Cluster::Confirmed(ServerConnection* server) {
  if (server != candidate_) return;
  if (server == confirmed_ && tried_in_vain_ == 0 && hints_followed_ == 0) {
    return;  // as usual
  }
  confirmed_ = server;
  server->set_last_error(absl::OkStatus());
  tried_in_vain_ = 0;
  hints_followed_ = 0;
  backoff_ = options_.backoff_min;
  Learn(server->address());
  // After a loss, the others are asked first.
  next_known_ = static_cast<size_t>(
      std::find(known_.begin(), known_.end(), server->address()) -
      known_.begin());
}

void Cluster::Learn(const Address& address) {
  if (known_.size() < kKnownMax &&
      std::find(known_.begin(), known_.end(), address) == known_.end()) {
    known_.push_back(address);
  }
}

uint64_t Cluster::Add(LeaderListener* listener) {
  const uint64_t id = next_listener_++;
  listeners_.emplace(id, listener);
  return id;
}

uint64_t Cluster::OnClose(Task task) {
  const uint64_t id = next_listener_++;
  on_close_.emplace(id, std::move(task));
  return id;
}

void Cluster::Close() {
  closed_ = true;
  // They may remove each other.
  while (!on_close_.empty()) {
    on_close_.extract(on_close_.begin()).mapped()();
  }
}

Duration Cluster::ShortPause() {
  const uint64_t span = static_cast<uint64_t>(options_.backoff_min.count());
  return options_.backoff_min + Duration(static_cast<int64_t>(
                                    DrawBelow(draw_key_, draws_++, span + 1)));
}

std::string Cluster::Trouble() const {
  std::string trouble;
  for (const Address& address : known_) {
    auto it = servers_.find(address);
    if (it == servers_.end() || it->second->last_error().ok()) continue;
    absl::StrAppend(&trouble, trouble.empty() ? "" : "; ",
                    it->second->last_error().message());
  }
  return trouble;
}

}  // namespace holdfast
