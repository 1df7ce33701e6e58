#include "transport/tls.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "engine/base/callback_scope.h"
#include "transport/tls_connection.h"
#include "transport/tls_pem.h"

namespace holdfast {
namespace {

// Of a peer that hasn't proved who it is, this much and no more is kept:
// ciphertext that one read from below brought,
constexpr size_t kHandshakeReadBytes = 16 << 10;
// and one handshake message. Certificates of a few hundred names are shorter.
constexpr size_t kHandshakeMessageBytesMax = 32 << 10;
constexpr absl::string_view kScheme = "holdfast://";

// --- Names in certificates ---

bool IsPlainName(absl::string_view name) {
  if (name.empty() || name.size() > 64) return false;
  return std::all_of(name.begin(), name.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
  });
}

absl::StatusOr<PeerIdentity> IdentityOf(X509* certificate) {
  bssl::UniquePtr<GENERAL_NAMES> names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr)));
  if (names == nullptr) {
    return absl::UnauthenticatedError("the certificate has no names");
  }
  std::string uri;
  for (size_t i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI) continue;
    if (!uri.empty()) {
      return absl::UnauthenticatedError(
          "expected one URI name in the certificate, found several");
    }
    const ASN1_STRING* text = name->d.uniformResourceIdentifier;
    uri.assign(reinterpret_cast<const char*>(ASN1_STRING_get0_data(text)),
               static_cast<size_t>(ASN1_STRING_length(text)));
  }
  return ParseIdentityUri(uri);
}

// --- The context ---

// Certificates are checked at the Loop's time. (BoringSSL's own clock only
// ages sessions, which are off.) Why one isn't good goes to the int that is
// the SSL's application data: there is no session yet to ask for it.
int VerifyAtLoopTime(X509_STORE_CTX* store, void* context) {
  Duration now = static_cast<Loop*>(context)->WallNow().time_since_epoch();
  X509_STORE_CTX_set_time(
      store, 0, std::chrono::duration_cast<std::chrono::seconds>(now).count());
  int good = X509_verify_cert(store);
  auto* ssl = static_cast<SSL*>(
      X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx()));
  if (good != 1) {
    *static_cast<int*>(SSL_get_app_data(ssl)) = X509_STORE_CTX_get_error(store);
  }
  return good;
}

// --- The handshake ---

class TlsHandshake final : public PendingOp {
 public:
  TlsHandshake(Loop* loop, SSL_CTX* context, std::unique_ptr<Connection> raw,
               bool client, Buffer preface, PeerIdentity self,
               std::string expected_server, uint64_t key_bytes_max,
               SecureDone done)
      : loop_(loop),
        key_bytes_max_(key_bytes_max),
        wire_(std::make_unique<TlsWire>()),
        ssl_(MakeSsl(context, wire_.get())),
        self_(std::move(self)),
        expected_server_(std::move(expected_server)),
        done_(std::move(done)),
        raw_(std::move(raw)) {
    SSL_set_app_data(ssl_.get(), &verified_);
    if (client) {
      SSL_set_connect_state(ssl_.get());
      if (!preface.empty()) wire_->out.push_back(std::move(preface));
    } else {
      SSL_set_accept_state(ssl_.get());
    }
    loop_->Post(scope_.Wrap([this] { Advance(); }));
  }

 private:
  void Advance() {
    int result = SSL_do_handshake(ssl_.get());
    int error = SSL_get_error(ssl_.get(), result);
    if (result == 1) {
      finished_ = true;
      failure_ = Prove();
    } else if (error != SSL_ERROR_WANT_READ) {
      failure_ = Failure(error);
    }
    // Also what tells the peer of a failure.
    if (!wire_->out.empty()) {
      return raw_->Write(
          std::exchange(wire_->out, {}),
          [this](absl::Status written) { OnWritten(std::move(written)); });
    }
    GoOn();
  }

  void OnWritten(absl::Status written) {
    if (!written.ok() && failure_.ok()) {
      return Finish(std::move(written));
    }
    GoOn();
  }

  void GoOn() {
    if (!failure_.ok()) return Finish(failure_);
    if (finished_) return Secure();
    raw_->Read(kHandshakeReadBytes, [this](absl::StatusOr<Buffer> bytes) {
      if (!bytes.ok()) return Finish(bytes.status());
      wire_->Received(*std::move(bytes));
      Advance();
    });
  }

  absl::Status Failure(int error) {
    std::string reason = LastTlsError();
    if (verified_ != X509_V_OK) {
      return absl::UnauthenticatedError(
          absl::StrCat("the peer's certificate isn't good here: ",
                       X509_verify_cert_error_string(verified_),
                       "; is it of this cluster's CA, and not expired?"));
    }
    if (wire_->in_ended || error == SSL_ERROR_ZERO_RETURN) {
      return absl::UnauthenticatedError(
          "the peer ended the TLS handshake; it may not trust this side's "
          "certificate");
    }
    return absl::UnauthenticatedError(absl::StrCat("TLS handshake: ", reason));
  }

  // Takes the peer's name from its certificate, which is good. If it isn't the
  // expected one, the peer is told.
  absl::Status Prove() {
    bssl::UniquePtr<X509> certificate(SSL_get_peer_certificate(ssl_.get()));
    if (certificate == nullptr) {
      return absl::UnauthenticatedError("the peer has no certificate");
    }
    absl::StatusOr<PeerIdentity> peer = IdentityOf(certificate.get());
    absl::Status status = peer.ok() ? CheckName(*peer) : peer.status();
    if (status.ok()) {
      peer_ = *std::move(peer);
    } else {
      SSL_send_fatal_alert(ssl_.get(), SSL_AD_ACCESS_DENIED);
    }
    return status;
  }

  absl::Status CheckName(const PeerIdentity& peer) {
    if (peer.cluster != self_.cluster) {
      return absl::UnauthenticatedError(
          absl::StrCat("expected a certificate of cluster \"", self_.cluster,
                       "\", found one of \"", peer.cluster, "\""));
    }
    if (!SSL_is_server(ssl_.get()) &&
        (peer.kind != PeerIdentity::Kind::kServer ||
         (!expected_server_.empty() && peer.name != expected_server_))) {
      return absl::UnauthenticatedError(
          absl::StrCat("expected the certificate of server ",
                       expected_server_.empty() ? "any" : expected_server_,
                       ", found ", FormatIdentityUri(peer)));
    }
    return absl::OkStatus();
  }

  void Secure() {
    SSL_set_app_data(ssl_.get(), nullptr);
    SecuredConnection secured;
    secured.peer = std::move(peer_);
    secured.connection =
        MakeTlsConnection(loop_, std::move(raw_), std::move(wire_),
                          std::move(ssl_), key_bytes_max_);
    Finish(std::move(secured));
  }

  void Finish(absl::StatusOr<SecuredConnection> result) {
    SecureDone done = std::move(done_);
    done(std::move(result));  // may destroy this
  }

  Loop* const loop_;
  const uint64_t key_bytes_max_;
  std::unique_ptr<TlsWire> wire_;
  bssl::UniquePtr<SSL> ssl_;
  const PeerIdentity self_;
  const std::string expected_server_;
  SecureDone done_;
  int verified_ = X509_V_OK;
  bool finished_ = false;
  PeerIdentity peer_;  // once it has finished, and not failed
  absl::Status failure_;
  std::unique_ptr<Connection> raw_;
  CallbackScope scope_;
};

absl::Status Configure(SSL_CTX* context, Loop* loop,
                       const TlsCredentials& credentials) {
  auto bad = [](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " can't be used: ", LastTlsError()));
  };
  auto ca = ReadPem<X509>(credentials.ca_certificate, PEM_read_bio_X509);
  if (ca == nullptr) return bad("the CA's certificate");
  auto certificate = ReadPem<X509>(credentials.certificate, PEM_read_bio_X509);
  if (certificate == nullptr) return bad("the certificate");
  auto key =
      ReadPem<EVP_PKEY>(credentials.private_key, PEM_read_bio_PrivateKey);
  if (key == nullptr) return bad("the private key");
  if (!SSL_CTX_use_certificate(context, certificate.get()) ||
      !SSL_CTX_use_PrivateKey(context, key.get())) {
    return bad("the certificate with its key");
  }
  X509_STORE_add_cert(SSL_CTX_get_cert_store(context), ca.get());
  const uint16_t algorithms[] = {SSL_SIGN_ED25519,
                                 SSL_SIGN_ECDSA_SECP256R1_SHA256};
  const int groups[] = {NID_X25519};
  if (!SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) ||
      !SSL_CTX_set_verify_algorithm_prefs(context, algorithms, 2) ||
      !SSL_CTX_set1_curves(context, groups, 1)) {
    return bad("the TLS settings");
  }
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                     nullptr);
  SSL_CTX_set_max_cert_list(context, kHandshakeMessageBytesMax);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_cert_verify_callback(context, VerifyAtLoopTime, loop);
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PeerIdentity> ParseIdentityUri(absl::string_view uri) {
  absl::Status bad = absl::UnauthenticatedError(absl::StrCat(
      "expected a certificate for holdfast://CLUSTER/server/ID or "
      "holdfast://CLUSTER/client/NAME?role=admin|write|read, found \"",
      uri.substr(0, 200), "\""));
  absl::string_view rest = uri;
  if (!absl::ConsumePrefix(&rest, kScheme)) return bad;
  std::vector<absl::string_view> parts = absl::StrSplit(rest, '/');
  if (parts.size() != 3 || !IsPlainName(parts[0])) return bad;
  PeerIdentity identity;
  identity.cluster = std::string(parts[0]);
  if (parts[1] == "server") {
    uint64_t id;
    if (!absl::SimpleAtoi(parts[2], &id) || id == 0 ||
        absl::StrCat(id) != parts[2]) {
      return bad;
    }
    identity.kind = PeerIdentity::Kind::kServer;
    identity.name = std::string(parts[2]);
    return identity;
  }
  std::vector<absl::string_view> name = absl::StrSplit(parts[2], "?role=");
  if (parts[1] != "client" || name.size() != 2 || !IsPlainName(name[0])) {
    return bad;
  }
  identity.kind = PeerIdentity::Kind::kClient;
  identity.name = std::string(name[0]);
  if (name[1] == "admin") {
    identity.role = ClientRole::kAdmin;
  } else if (name[1] == "write") {
    identity.role = ClientRole::kWrite;
  } else if (name[1] == "read") {
    identity.role = ClientRole::kRead;
  } else {
    return bad;
  }
  return identity;
}

std::string FormatIdentityUri(const PeerIdentity& identity) {
  if (identity.kind == PeerIdentity::Kind::kServer) {
    return absl::StrCat(kScheme, identity.cluster, "/server/", identity.name);
  }
  absl::string_view role = identity.role == ClientRole::kAdmin   ? "admin"
                           : identity.role == ClientRole::kWrite ? "write"
                                                                 : "read";
  return absl::StrCat(kScheme, identity.cluster, "/client/", identity.name,
                      "?role=", role);
}

TlsSecurity::TlsSecurity(Loop* loop, ssl_ctx_st* context, PeerIdentity self,
                         const TlsLimits& limits)
    : loop_(loop), context_(context), self_(std::move(self)), limits_(limits) {}

TlsSecurity::~TlsSecurity() { SSL_CTX_free(context_); }

absl::StatusOr<std::unique_ptr<TlsSecurity>> TlsSecurity::Create(
    Loop* loop, const TlsCredentials& credentials, const TlsLimits& limits) {
  bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(TLS_method()));
  if (absl::Status configured = Configure(context.get(), loop, credentials);
      !configured.ok()) {
    return configured;
  }
  absl::StatusOr<PeerIdentity> self =
      IdentityOf(SSL_CTX_get0_certificate(context.get()));
  if (!self.ok()) return self.status();
  return std::unique_ptr<TlsSecurity>(
      new TlsSecurity(loop, context.release(), *std::move(self), limits));
}

std::unique_ptr<PendingOp> TlsSecurity::Connect(
    std::unique_ptr<Connection> raw, Buffer preface,
    const std::string& expected_server, SecureDone done) {
  return std::make_unique<TlsHandshake>(
      loop_, context_, std::move(raw), true, std::move(preface), self_,
      expected_server, limits_.key_bytes_max, std::move(done));
}

std::unique_ptr<PendingOp> TlsSecurity::Accept(std::unique_ptr<Connection> raw,
                                               SecureDone done) {
  return std::make_unique<TlsHandshake>(loop_, context_, std::move(raw), false,
                                        Buffer(), self_, "",
                                        limits_.key_bytes_max, std::move(done));
}

}  // namespace holdfast
