// A client of whatever role, after a good hello, sends a live server whatever
// the input says: requests of all kinds with arbitrary headers, batches whose
// checksums are right, other servers' messages, mere bytes; it lets time pass,
// and comes back on other streams. The server goes on, another client's appends
// are acknowledged meanwhile and afterwards, each at an offset of its own, and
// are there when the server starts again after a power failure. The whole
// server runs here, on a disk and a network in memory.
//
// The input: the role, then pieces: what, a length, a second length, the bytes
// of both. The seeds have one request of each kind.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/batch.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/client/client.h"
#include "engine/peer/hello.h"
#include "engine/peer/message.h"
#include "engine/peer/plaintext.h"
#include "engine/peer/testing/manual_loop.h"
#include "engine/peer/testing/memory_network.h"
#include "engine/service/service.h"
#include "engine/wal/testing/memory_disk.h"

namespace holdfast {
namespace {

constexpr char kAddress[] = "server:1";
constexpr char kCluster[] = "c";
constexpr int kPiecesMax = 64;

// Plaintext, but the acceptor takes the next one for a client of that role.
class Believing final : public Security {
 public:
  explicit Believing(Loop* loop) : plaintext_(loop) {}
  void ExpectClient(std::string name, ClientRole role) {
    next_.kind = PeerIdentity::Kind::kClient;
    next_.cluster = kCluster;
    next_.name = std::move(name);
    next_.role = role;
  }

  std::unique_ptr<PendingOp> Connect(std::unique_ptr<Connection> raw,
                                     Buffer preface, const std::string& server,
                                     SecureDone done) override {
    return plaintext_.Connect(std::move(raw), std::move(preface), server,
                              std::move(done));
  }
  std::unique_ptr<PendingOp> Accept(std::unique_ptr<Connection> raw,
                                    SecureDone done) override {
    return plaintext_.Accept(
        std::move(raw), [who = next_, done = std::move(done)](
                            absl::StatusOr<SecuredConnection> secured) mutable {
          if (secured.ok()) secured->peer = who;
          done(std::move(secured));
        });
  }

 private:
  Plaintext plaintext_;
  PeerIdentity next_;
};

// --- The server and its good client ---

class World {
 public:
  World()
      : network_(&loop_),
        security_(&loop_),
        disk_(std::make_unique<MemoryDisk>(&loop_)) {
    StartServer();
    StartClient();
  }

  ManualLoop* loop() { return &loop_; }
  MemoryNetwork* network() { return &network_; }
  Believing* security() { return &security_; }

  // Its place is remembered.
  void AppendOne() {
    const std::string value = absl::StrCat("good ", appended_.size());
    BatchBuilder batch;
    CHECK(batch.Add(value).ok());
    std::optional<ClientOutcome> outcome;
    CHECK(client_
              ->Append(std::move(batch), {},
                       [&](ClientOutcome o) { outcome = std::move(o); })
              .ok());
    for (int i = 0; i < 1000 && !outcome.has_value(); ++i) loop_.RunFor(10ms);
    CHECK(outcome.has_value());
    CHECK_EQ(outcome->message, "");
    CHECK(outcome->kind == ClientOutcome::Kind::kCommitted);
    CHECK(appended_.emplace(outcome->offset, value).second);
  }

  // What was acknowledged is there, unless it was trimmed.
  void CheckLog() {
    Offset next = service_->log().first_offset();
    const Offset first = next;
    std::map<Offset, std::string> found;
    for (bool more = true; more;) {
      std::optional<absl::StatusOr<ClientReadResult>> read;
      client_->Read(next, {}, [&](absl::StatusOr<ClientReadResult> r) {
        read = std::move(r);
      });
      for (int i = 0; i < 1000 && !read.has_value(); ++i) loop_.RunFor(10ms);
      CHECK(read.has_value());
      CHECK_EQ(std::string(read->status().message()), "");
      for (const LogBatch& batch : (*read)->batches) {
        RecordCursor cursor = batch.Records();
        RecordView record;
        Offset at = batch.from;
        while (cursor.Next(&record)) {
          found.emplace(at, std::string(record.value()));
          at = at + 1;
        }
      }
      more = (*read)->next > next;
      next = (*read)->next;
    }
    for (const auto& [offset, value] : appended_) {
      if (offset < first) continue;
      CHECK(found.contains(offset));
      CHECK_EQ(found.at(offset), value);
    }
  }

  void FailThePower() {
    client_ = nullptr;
    service_ = nullptr;
    disk_ = disk_->AfterCrash(&loop_, [](size_t, size_t) { return false; });
    StartServer();
    StartClient();
  }

 private:
  void StartServer() {
    ServiceOptions options;
    options.log.node.id = ServerId(1);
    options.log.node.cluster_name = kCluster;
    options.log.node.listen = kAddress;
    options.log.node.bootstrap = {Member{ServerId(1), {}, kAddress}};
    options.log.node.wal.segment_bytes = 64 << 10;
    service_ = std::make_unique<Service>(Env{.loop = &loop_,
                                             .disk = disk_.get(),
                                             .network = &network_,
                                             .security = &security_,
                                             .seed = ++starts_},
                                         options);
    service_->OnFatal([](const absl::Status& why) {
      CHECK_EQ(std::string(why.message()), "");
    });
    std::optional<absl::Status> opened;
    service_->Open([&](absl::Status status) { opened = std::move(status); });
    loop_.RunFor(1s);
    CHECK(opened.has_value());
    CHECK_EQ(std::string(opened->message()), "");
  }

  void StartClient() {
    security_.ExpectClient("good", ClientRole::kWrite);
    ClientOptions options;
    options.servers = {kAddress};
    options.name = "good";
    client_ = std::make_unique<Client>(Env{.loop = &loop_,
                                           .network = &network_,
                                           .security = &security_,
                                           .seed = starts_},
                                       options);
    AppendOne();
  }

  ManualLoop loop_;
  MemoryNetwork network_;
  Believing security_;
  std::unique_ptr<MemoryDisk> disk_;
  uint64_t starts_ = 0;
  std::unique_ptr<Service> service_;
  std::unique_ptr<Client> client_;
  std::map<Offset, std::string> appended_;
};

// --- The other one ---

std::string Framed(WireType type, absl::string_view header,
                   absl::string_view payload) {
  std::string bytes(kFrameHeaderBytes, '\0');
  FrameHeader frame;
  frame.type = type;
  frame.header_length = static_cast<uint16_t>(header.size());
  frame.payload_length = static_cast<uint32_t>(payload.size());
  frame.length = static_cast<uint32_t>(header.size() + payload.size());
  EncodeFrameHeader(frame, bytes.data());
  const std::string body = absl::StrCat(header, payload);
  frame.crc = ExtendCrc32c(FrameHeaderCrc(bytes.data()), body);
  EncodeFrameHeader(frame, bytes.data());
  return bytes + body;
}

// With length and checksum as they should be.
std::string AsBatch(absl::string_view bytes) {
  std::string batch(bytes);
  if (batch.size() < kBatchHeaderBytes) return batch;
  StoreInt<uint32_t>(batch.data(), static_cast<uint32_t>(batch.size()));
  StoreInt<uint32_t>(batch.data() + 4,
                     Crc32c(absl::string_view(batch).substr(8)));
  return batch;
}

class Stranger {
 public:
  Stranger(World* world, ClientRole role) : world_(world), role_(role) {}

  void Do(uint8_t what, absl::string_view first, absl::string_view second) {
    // All types of requests, of answers, and of messages between servers.
    constexpr uint8_t kTypes = 72;
    switch (what / kTypes) {
      case 0:
        return Say(Framed(static_cast<WireType>(what), first, second));
      case 1:
        return Say(Framed(static_cast<WireType>(what % kTypes), first,
                          AsBatch(second)));
      case 2:
        return Say(absl::StrCat(first, second));
      default:
        break;
    }
    if (what % 3 == 0) connection_ = nullptr;
    if (what % 3 == 1) world_->loop()->RunFor(first.size() * 100ms);
    if (what % 3 == 2) world_->AppendOne();
  }

 private:
  void Say(const std::string& bytes) {
    if (bytes.empty() || !EnsureConnected()) return;
    bool written = false;
    connection_->Write({Buffer::Copy(bytes)},
                       [&](const absl::Status& s) { written = s.ok(); });
    world_->loop()->RunDue();
    if (!written) connection_ = nullptr;
  }

  bool EnsureConnected() {
    if (connection_ != nullptr) return true;
    world_->security()->ExpectClient("app", role_);
    auto dial = world_->network()->Dial(
        kAddress, [this](absl::StatusOr<std::unique_ptr<Connection>> c) {
          if (c.ok()) connection_ = *std::move(c);
        });
    world_->loop()->RunDue();
    if (connection_ == nullptr) return false;
    Drain(connection_.get());
    Hello hello;
    hello.kind = StreamKind::kClient;
    hello.cluster_name = kCluster;
    hello.client_name = "app";
    Say(absl::StrCat("\2", Framed(WireType::kHello, EncodeHello(hello), "")));
    // The good one may have to come back.
    world_->security()->ExpectClient("good", ClientRole::kWrite);
    return connection_ != nullptr;
  }

  // Takes whatever comes.
  static void Drain(Connection* connection) {
    connection->Read(1 << 16, [connection](absl::StatusOr<Buffer> bytes) {
      if (bytes.ok() && !bytes->empty()) Drain(connection);
    });
  }

  World* const world_;
  const ClientRole role_;
  std::unique_ptr<Connection> connection_;
};

void Run(ByteReader r) {
  World world;
  {
    Stranger stranger(&world, static_cast<ClientRole>(r.Int<uint8_t>() % 4));
    for (int i = 0; i < kPiecesMax && !r.rest().empty(); ++i) {
      const uint8_t what = r.Int<uint8_t>();
      const size_t first = r.Int<uint8_t>();
      const size_t second = r.Int<uint8_t>();
      const absl::string_view bytes = r.rest();
      const absl::string_view head = bytes.substr(0, first);
      const absl::string_view tail =
          bytes.substr(std::min(first, bytes.size()), second);
      r.Bytes(head.size() + tail.size());
      stranger.Do(what, head, tail);
    }
    world.AppendOne();
  }
  world.loop()->RunFor(30s);
  world.AppendOne();
  world.CheckLog();
  world.FailThePower();
  world.CheckLog();
}

}  // namespace
}  // namespace holdfast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > 16384) return 0;
  holdfast::Run(holdfast::ByteReader(
      absl::string_view(reinterpret_cast<const char*>(data), size)));
  return 0;
}
