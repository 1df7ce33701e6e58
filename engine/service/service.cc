#include "engine/service/service.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "engine/service/client_session.h"

namespace holdfast {

Service::Service(const Env& env, ServiceOptions options)
    : env_(env),
      options_(std::move(options)),
      log_(env, options_.log,
           [this](InboundStream inbound) { OnClient(std::move(inbound)); }) {
  log_.LimitClients([this]() -> std::string {
    if (closing_) return "this server is closing";
    if (clients_.size() < options_.clients_max) return "";
    return absl::StrCat("this server has ", clients_.size(),
                        " clients, as many as it takes");
  });
  log_.OnRoleChanged([this] {
    if (log_.node().is_leader()) return;
    for (auto& [id, client] : clients_) client->OnNotLeading();
  });
}

Service::~Service() = default;

void Service::Open(DoneFn done) { log_.Open(std::move(done)); }

void Service::OnClient(InboundStream inbound) {
  const uint64_t id = next_client_++;
  clients_[id] = std::make_unique<ClientSession>(
      env_, options_, &log_, std::move(inbound), [this, id] { Remove(id); });
}

void Service::ForEachClient(
    absl::FunctionRef<void(const ClientLoad&)> fn) const {
  for (const auto& [id, client] : clients_) fn(client->load());
}

void Service::Remove(uint64_t id) { clients_.erase(id); }

void Service::Close(DoneFn done) {
  closing_ = true;
  log_.Close([this, done = std::move(done)](absl::Status closed) mutable {
    clients_.clear();
    done(std::move(closed));
  });
}

}  // namespace holdfast
