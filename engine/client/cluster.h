#ifndef HOLDFAST_ENGINE_CLIENT_CLUSTER_H_
#define HOLDFAST_ENGINE_CLIENT_CLUSTER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "engine/base/inline_function.h"
#include "engine/base/random.h"
#include "engine/client/server_connection.h"
#include "engine/client/types.h"
#include "engine/env/env.h"
#include "engine/env/loop.h"

namespace holdfast {

namespace wire {
class LeaderHint;
}  // namespace wire

// Wants to know whenever a connection to the (likely) leader is up.
class LeaderListener {
 public:
  virtual ~LeaderListener() = default;
  virtual void OnLeader(ServerConnection* leader) = 0;
};

// The servers as a client knows them, and the search for their leader: tries
// one server after the other, follows the hints of those that don't lead, and
// pauses when a whole round was in vain. Internal to the client.
class Cluster {
 public:
  Cluster(const Env& env, const ClientOptions& options);
  ~Cluster();

  // The connection to a server, made when first asked for; lives as long as
  // this.
  ServerConnection* Server(const Address& address);

  // The likely leader's connection, if it is up. If not, the search for one
  // goes on, and the listeners hear of its end.
  ServerConnection* Leader();

  // `server` said that it doesn't lead, or that it can't tell. Ignored unless
  // it is the likely leader.
  void NotLeader(ServerConnection* server, const wire::LeaderHint& hint,
                 absl::string_view why);
  // `server` did what only a leader does.
  void Confirmed(ServerConnection* server);

  // Listeners are called in the order of Add. May be called, and may add and
  // remove, within OnLeader.
  uint64_t Add(LeaderListener* listener);
  void Remove(uint64_t id) { listeners_.erase(id); }

  // Runs when the client is closed, once, unless that is so already; in the
  // order of the calls.
  uint64_t OnClose(Task task);
  void ForgetOnClose(uint64_t id) { on_close_.erase(id); }
  void Close();
  bool closed() const { return closed_; }

  // Ids for requests, distinct on all connections.
  uint64_t NextRequestId() { return next_request_id_++; }
  // A pause of backoff_min to twice that.
  Duration ShortPause();

  // See Client.
  std::string Trouble() const;
  // Null: nobody has acted as the leader lately.
  const ServerConnection* confirmed() const { return confirmed_; }
  const ClientOptions& options() const { return options_; }
  const Env& env() const { return env_; }

 private:
  void Try(const Address& address);
  void TryNext();
  void OnUp(const Address& address, const absl::Status& status);
  void OnLost(ServerConnection* server);
  void Learn(const Address& address);

  const Env env_;
  const ClientOptions options_;
  const DrawKey draw_key_;
  uint64_t draws_ = 0;
  uint64_t next_request_id_ = 1;
  std::map<Address, std::unique_ptr<ServerConnection>> servers_;
  // In the order in which they're tried.
  std::vector<Address> known_;
  size_t next_known_ = 0;
  // Who is being tried, or leads; null: nobody, not searching.
  ServerConnection* candidate_ = nullptr;
  // The candidate, once it did what only a leader does.
  const ServerConnection* confirmed_ = nullptr;
  bool pausing_ = false;
  // Tried since somebody was confirmed.
  size_t tried_in_vain_ = 0;
  size_t hints_followed_ = 0;
  Duration backoff_;
  Timer pause_;
  uint64_t next_listener_ = 1;
  std::map<uint64_t, LeaderListener*> listeners_;
  std::map<uint64_t, Task> on_close_;
  bool closed_ = false;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_CLUSTER_H_
