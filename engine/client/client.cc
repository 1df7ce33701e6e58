#include "engine/client/client.h"

#include <utility>

#include "engine/base/check.h"
#include "engine/client/admin.h"
#include "engine/client/cluster.h"
#include "engine/client/producer.h"
#include "engine/client/reader.h"
#include "engine/client/tailer.h"

namespace holdfast {

Client::Client(const Env& env, ClientOptions options)
    : loop_(env.loop),
      cluster_(std::make_unique<Cluster>(env, options)),
      producer_(std::make_unique<Producer>(cluster_.get())),
      reader_(std::make_unique<Reader>(cluster_.get())),
      admin_(std::make_unique<Admin>(cluster_.get())) {}

Client::~Client() = default;

absl::Status Client::Append(BatchBuilder batch,
                            const ClientAppendOptions& options,
                            ClientAppendFn done) {
  if (closed_) return absl::FailedPreconditionError("the client is closed");
  return producer_->Append(std::move(batch), options, std::move(done));
}

size_t Client::appends_pending() const { return producer_->pending(); }

size_t Client::append_bytes_pending() const {
  return producer_->bytes_pending();
}

SessionId Client::session() const { return producer_->session(); }

void Client::Read(Offset from, const ClientReadOptions& options,
                  ClientReadFn done) {
  reader_->Read(from, options, std::move(done));
}

std::unique_ptr<ClientTail> Client::Tail(Offset from,
                                         const ClientTailOptions& options,
                                         ClientTailCallbacks callbacks) {
  return std::make_unique<Tailer>(cluster_.get(), from, options,
                                  std::move(callbacks));
}

void Client::Status(const Address& server, Duration timeout,
                    ResultFn<ServerStatus> done) {
  reader_->Status(server, timeout, std::move(done));
}

void Client::Join(ServerId id, const Address& address, bool learner,
                  Duration timeout, DoneFn done) {
  admin_->Join(id, address, learner, timeout, std::move(done));
}

void Client::Leave(const std::vector<ServerId>& ids, Duration timeout,
                   DoneFn done) {
  admin_->Leave(ids, timeout, std::move(done));
}

void Client::Transfer(ServerId to, Duration timeout, DoneFn done) {
  admin_->Transfer(to, timeout, std::move(done));
}

void Client::Trim(Offset first, Duration timeout, DoneFn done) {
  admin_->Trim(first, timeout, std::move(done));
}

void Client::Close(DoneFn done) {
  CHECK(!closed_);
  closed_ = true;
  close_ = loop_->After(0ns, [this, done = std::move(done)]() mutable {
    producer_->Close();
    reader_->Close();
    admin_->Close();
    cluster_->Close();
    DoneFn last = std::move(done);
    if (last) last(absl::OkStatus());
  });
}

Address Client::leader() const {
  const ServerConnection* leader = cluster_->confirmed();
  return leader == nullptr ? Address() : leader->address();
}

std::string Client::Trouble() const { return cluster_->Trouble(); }

}  // namespace holdfast
