#ifndef HOLDFAST_ENGINE_CLIENT_FAKE_SERVER_H_
#define HOLDFAST_ENGINE_CLIENT_FAKE_SERVER_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/batch.h"
#include "engine/base/types.h"
#include "engine/env/loop.h"
#include "engine/env/network.h"
#include "engine/peer/acceptor.h"
#include "engine/peer/client.pb.h"
#include "engine/peer/message_stream.h"

namespace holdfast {

// What all fake servers of a test have in common: one log, always agreed on.
struct FakeLog {
  ClusterId cluster = ClusterId(1);
  struct Batch {
    Offset base;
    Buffer bytes;
  };
  Address leader;
  std::vector<Batch> batches;
  Offset end;
  uint64_t sessions = 0;
  // Each session's batches so far: their offsets.
  std::map<uint64_t, std::vector<Offset>> results;
  std::map<uint64_t, Address> members;  // those that were joined
  int transfers = 0;
  // Records that are lost; up to lost_end.
  Offset lost_from;
  Offset lost_end;
};

// Speaks the client protocol from a script, for the tests of the client: the
// real service is tested together with it under the simulator.
class FakeServer {
 public:
  FakeServer(Loop* loop, Network* network, Security* security, FakeLog* log,
             Address address);

  // How it treats appends, and operators' requests.
  enum class Mode {
    kServe,
    kSilent,      // takes them, doesn't answer
    kSwallow,     // doesn't even take them
    kOverloaded,  // refuses the next `count` of them for the moment
    kUnknown,     // takes them, answers that it doesn't know
  };
  void set_mode(Mode mode, int count = 0) {
    mode_ = mode;
    mode_count_ = count;
  }
  // Refuses everything that this certificate's role doesn't allow.
  void set_read_only(bool on) { read_only_ = on; }
  // Refuses operators' requests, with this text.
  void set_refusal(std::string text) { refusal_ = std::move(text); }
  // It is of another cluster than its log.
  void set_cluster(ClusterId cluster) { cluster_ = cluster; }
  // Says nothing of who leads.
  void set_hints(bool on) { hints_ = on; }
  void DropClients() { streams_.clear(); }

  // Sends what tails are owed, within their credit.
  void PushTails();
  void EndTails() {
    wire::TailEnd end;
    end.set_code(wire::CODE_NOT_LEADER);
    EndTails(std::move(end));
  }
  // As it says.
  void EndTails(wire::TailEnd end);

  uint64_t appends() const { return appends_; }
  uint64_t unanswered_max() const { return unanswered_max_; }
  uint64_t reads() const { return reads_; }
  uint64_t admin_requests() const { return admin_requests_; }
  size_t tails() const { return tails_.size(); }
  uint64_t tail_bytes() const { return tail_bytes_; }

 private:
  struct FakeTail {
    uint64_t stream;
    uint64_t request;
    Offset next;
    int64_t credit;
  };
  void OnClient(InboundStream inbound);
  void OnMessage(uint64_t stream, const MessageView& message);
  void OnRegister(MessageStream* stream, const MessageView& message);
  void OnAppend(MessageStream* stream, const MessageView& message);
  void Take(const wire::Append& request, const Buffer& payload,
            wire::AppendAnswer* answer);
  void OnRead(MessageStream* stream, const MessageView& message);
  void OnAdmin(MessageStream* stream, const MessageView& message);
  // Whether those whom a Leave names are members.
  bool Leavable(const MessageView& message) const;
  void Change(const MessageView& message);
  void RefuseRole(MessageStream* stream, uint64_t request);
  void FillHint(wire::LeaderHint* hint) const;
  bool leads() const { return log_->leader == address_; }

  FakeLog* const log_;
  const Address address_;
  Mode mode_ = Mode::kServe;
  int mode_count_ = 0;
  bool read_only_ = false;
  bool hints_ = true;
  ClusterId cluster_;  // 0: its log's
  std::string refusal_;
  uint64_t appends_ = 0;
  uint64_t unanswered_max_ = 0;
  uint64_t unanswered_ = 0;
  uint64_t reads_ = 0;
  uint64_t admin_requests_ = 0;
  uint64_t tail_bytes_ = 0;
  uint64_t next_stream_ = 1;
  std::map<uint64_t, std::unique_ptr<MessageStream>> streams_;
  std::vector<FakeTail> tails_;
  Acceptor acceptor_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_CLIENT_FAKE_SERVER_H_
