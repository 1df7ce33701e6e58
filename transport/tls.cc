#include "transport/tls.h"

#include <openssl/bio.h>
#include <openssl/err.h>
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
#include "engine/base/check.h"
#include "transport/tls_pem.h"

namespace holdfast {
namespace {

// The most plaintext in one TLS record (RFC 8446, section 5.1).
constexpr size_t kRecordBytes = 16 << 10;
// Ciphertext that one read from below may bring.
constexpr size_t kReadBytes = 256 << 10;
constexpr absl::string_view kScheme = "holdfast://";

std::string LastError() {
  uint32_t code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "unknown error";
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "unknown error" : reason;
}

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

// --- The connection ---

// What BoringSSL reads from and writes to: bytes that came, bytes to go.
struct Wire {
  Buffer in;
  size_t in_at = 0;
  bool in_ended = false;
  Buffers out;
  size_t out_bytes = 0;
};

int WireWrite(BIO* bio, const char* data, int n) {
  auto* wire = static_cast<Wire*>(BIO_get_data(bio));
  wire->out.push_back(
      Buffer::Copy(absl::string_view(data, static_cast<size_t>(n))));
  wire->out_bytes += static_cast<size_t>(n);
  return n;
}

int WireRead(BIO* bio, char* to, int n) {
  auto* wire = static_cast<Wire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  size_t left = wire->in.size() - wire->in_at;
  if (left == 0) {
    if (wire->in_ended) return 0;
    BIO_set_retry_read(bio);
    return -1;
  }
  size_t taken = std::min(left, static_cast<size_t>(n));
  std::memcpy(to, wire->in.data() + wire->in_at, taken);
  wire->in_at += taken;
  return static_cast<int>(taken);
}

long WireControl(BIO*, int command, long, void*) {  // NOLINT: BIO's type
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

const BIO_METHOD* WireMethod() {
  static const BIO_METHOD* method = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "holdfast");
    BIO_meth_set_write(m, WireWrite);
    BIO_meth_set_read(m, WireRead);
    BIO_meth_set_ctrl(m, WireControl);
    return m;
  }();
  return method;
}

bssl::UniquePtr<SSL> MakeSsl(SSL_CTX* context, Wire* wire) {
  bssl::UniquePtr<SSL> ssl(SSL_new(context));
  BIO* bio = BIO_new(WireMethod());
  BIO_set_data(bio, wire);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);  // takes the one reference for both
  return ssl;
}

class TlsConnection final : public Connection {
 public:
  TlsConnection(Loop* loop, std::unique_ptr<Connection> raw,
                std::unique_ptr<Wire> wire, bssl::UniquePtr<SSL> ssl)
      : loop_(loop),
        wire_(std::move(wire)),
        ssl_(std::move(ssl)),
        raw_(std::move(raw)) {}

  void Read(size_t max, ResultFn<Buffer> done) override {
    CHECK(!read_done_);
    read_max_ = max;
    read_done_ = std::move(done);
    loop_->Post(scope_.Wrap([this] { TryRead(); }));
  }

  void Write(Buffers data, DoneFn done) override {
    CHECK(!write_done_);
    CHECK(!shut_down_);
    absl::Status status = Encrypt(data);
    SendOut(std::move(done), std::move(status));
  }

  void Shutdown(DoneFn done) override {
    CHECK(!write_done_);
    shut_down_ = true;
    SSL_shutdown(ssl_.get());  // makes the close_notify
    SendOut(
        [this, done = std::move(done)](absl::Status sent) mutable {
          if (!sent.ok()) return done(std::move(sent));
          raw_->Shutdown(std::move(done));
        },
        absl::OkStatus());
  }

  void Abort() override { raw_->Abort(); }
  std::string Describe() const override { return raw_->Describe(); }

 private:
  // Gathers small pieces, so that records are full.
  absl::Status Encrypt(const Buffers& data) {
    char gathered[kRecordBytes];
    size_t have = 0;
    auto flush = [&]() -> bool {
      size_t n = std::exchange(have, 0);
      return n == 0 || SSL_write(ssl_.get(), gathered, static_cast<int>(n)) ==
                           static_cast<int>(n);
    };
    for (const Buffer& b : data) {
      absl::string_view rest = b.view();
      while (!rest.empty()) {
        bool ok = true;
        if (have == 0 && rest.size() >= kRecordBytes) {
          ok = SSL_write(ssl_.get(), rest.data(), kRecordBytes) ==
               static_cast<int>(kRecordBytes);
          rest.remove_prefix(kRecordBytes);
        } else {
          size_t n = std::min(rest.size(), kRecordBytes - have);
          std::memcpy(gathered + have, rest.data(), n);
          have += n;
          rest.remove_prefix(n);
          if (have == kRecordBytes) ok = flush();
        }
        if (!ok) return absl::UnavailableError("TLS write: " + LastError());
      }
    }
    if (!flush()) return absl::UnavailableError("TLS write: " + LastError());
    return absl::OkStatus();
  }

  // Hands what BoringSSL wrote to the layer below.
  void SendOut(DoneFn done, absl::Status status) {
    write_done_ = std::move(done);
    write_status_ = std::move(status);
    if (raw_writing_) return;  // goes out, or ends, behind that
    if (!write_status_.ok() || wire_->out.empty()) {
      loop_->Post(scope_.Wrap([this] { FinishWrite(); }));
      return;
    }
    WriteRaw();
  }

  void WriteRaw() {
    raw_writing_ = true;
    wire_->out_bytes = 0;
    raw_->Write(std::exchange(wire_->out, {}), [this](absl::Status written) {
      raw_writing_ = false;
      if (written.ok() && !wire_->out.empty()) return WriteRaw();
      write_status_.Update(written);
      FinishWrite();
    });
  }

  // Nobody waits for what only TryRead sent.
  void FinishWrite() {
    if (!write_done_) return;
    DoneFn done = std::move(write_done_);
    done(std::exchange(write_status_, absl::OkStatus()));
  }

  void TryRead() {
    if (!read_done_) return;
    if (Available() == 0 && SSL_pending(ssl_.get()) == 0 && !wire_->in_ended) {
      return ReadRaw();
    }
    Buffer plain = Buffer::Uninitialized(
        std::min(read_max_, std::max(Available(), kRecordBytes)));
    size_t have = 0;
    int n = 0;
    while (have < plain.size()) {
      n = SSL_read(ssl_.get(), plain.data_mutable() + have,
                   static_cast<int>(plain.size() - have));
      if (n <= 0) break;
      have += static_cast<size_t>(n);
    }
    // Key updates and alerts may have to go out.
    if (!wire_->out.empty() && !raw_writing_) WriteRaw();
    if (have > 0) {
      return FinishRead(Trim(std::move(plain), have));
    }
    switch (SSL_get_error(ssl_.get(), n)) {
      case SSL_ERROR_WANT_READ:
        return ReadRaw();
      case SSL_ERROR_ZERO_RETURN:
        return FinishRead(Buffer());
      default:
        return FinishRead(absl::UnavailableError(
            wire_->in_ended ? "the stream ended without a proper close"
                            : "TLS read: " + LastError()));
    }
  }

  // Doesn't pin much more memory than it needs.
  static Buffer Trim(Buffer bytes, size_t have) {
    if (have * 2 >= bytes.size()) return bytes.Slice(0, have);
    return Buffer::Copy(bytes.view().substr(0, have));
  }

  size_t Available() const { return wire_->in.size() - wire_->in_at; }

  void ReadRaw() {
    raw_->Read(kReadBytes, [this](absl::StatusOr<Buffer> bytes) {
      if (!bytes.ok()) return FinishRead(bytes.status());
      wire_->in_ended = bytes->empty();
      wire_->in = *std::move(bytes);
      wire_->in_at = 0;
      TryRead();
    });
  }

  void FinishRead(absl::StatusOr<Buffer> result) {
    ResultFn<Buffer> done = std::move(read_done_);
    done(std::move(result));
  }

  Loop* const loop_;
  std::unique_ptr<Wire> wire_;
  bssl::UniquePtr<SSL> ssl_;
  size_t read_max_ = 0;
  ResultFn<Buffer> read_done_;
  DoneFn write_done_;
  absl::Status write_status_;  // of the write that write_done_ waits for
  bool raw_writing_ = false;
  bool shut_down_ = false;
  std::unique_ptr<Connection> raw_;
  CallbackScope scope_;
};

// --- The handshake ---

class TlsHandshake final : public PendingOp {
 public:
  TlsHandshake(Loop* loop, SSL_CTX* context, std::unique_ptr<Connection> raw,
               bool client, Buffer preface, PeerIdentity self,
               std::string expected_server, SecureDone done)
      : loop_(loop),
        wire_(std::make_unique<Wire>()),
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
    } else if (error != SSL_ERROR_WANT_READ) {
      failure_ = Failure();
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
    if (finished_) return Prove();
    raw_->Read(kReadBytes, [this](absl::StatusOr<Buffer> bytes) {
      if (!bytes.ok()) return Finish(bytes.status());
      wire_->in_ended = bytes->empty();
      wire_->in = *std::move(bytes);
      wire_->in_at = 0;
      Advance();
    });
  }

  absl::Status Failure() {
    std::string reason = LastError();
    if (verified_ != X509_V_OK) {
      return absl::UnauthenticatedError(
          absl::StrCat("the peer's certificate isn't good here: ",
                       X509_verify_cert_error_string(verified_),
                       "; is it of this cluster's CA, and not expired?"));
    }
    if (wire_->in_ended) {
      return absl::UnauthenticatedError(
          "the peer ended the TLS handshake; it may not trust this side's "
          "certificate");
    }
    return absl::UnauthenticatedError(absl::StrCat("TLS handshake: ", reason));
  }

  void Prove() {
    bssl::UniquePtr<X509> certificate(SSL_get_peer_certificate(ssl_.get()));
    if (certificate == nullptr) {
      return Finish(absl::UnauthenticatedError("the peer has no certificate"));
    }
    absl::StatusOr<PeerIdentity> peer = IdentityOf(certificate.get());
    if (!peer.ok()) return Finish(peer.status());
    if (peer->cluster != self_.cluster) {
      return Finish(absl::UnauthenticatedError(
          absl::StrCat("expected a certificate of cluster \"", self_.cluster,
                       "\", found one of \"", peer->cluster, "\"")));
    }
    if (!SSL_is_server(ssl_.get()) &&
        (peer->kind != PeerIdentity::Kind::kServer ||
         (!expected_server_.empty() && peer->name != expected_server_))) {
      return Finish(absl::UnauthenticatedError(
          absl::StrCat("expected the certificate of server ",
                       expected_server_.empty() ? "any" : expected_server_,
                       ", found ", FormatIdentityUri(*peer))));
    }
    SecuredConnection secured;
    secured.peer = *std::move(peer);
    SSL_set_app_data(ssl_.get(), nullptr);
    secured.connection = std::make_unique<TlsConnection>(
        loop_, std::move(raw_), std::move(wire_), std::move(ssl_));
    Finish(std::move(secured));
  }

  void Finish(absl::StatusOr<SecuredConnection> result) {
    SecureDone done = std::move(done_);
    done(std::move(result));  // may destroy this
  }

  Loop* const loop_;
  std::unique_ptr<Wire> wire_;
  bssl::UniquePtr<SSL> ssl_;
  const PeerIdentity self_;
  const std::string expected_server_;
  SecureDone done_;
  int verified_ = X509_V_OK;
  bool finished_ = false;
  absl::Status failure_;
  std::unique_ptr<Connection> raw_;
  CallbackScope scope_;
};

absl::Status Configure(SSL_CTX* context, Loop* loop,
                       const TlsCredentials& credentials) {
  auto bad = [](absl::string_view what) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, " can't be used: ", LastError()));
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

TlsSecurity::TlsSecurity(Loop* loop, ssl_ctx_st* context, PeerIdentity self)
    : loop_(loop), context_(context), self_(std::move(self)) {}

TlsSecurity::~TlsSecurity() { SSL_CTX_free(context_); }

absl::StatusOr<std::unique_ptr<TlsSecurity>> TlsSecurity::Create(
    Loop* loop, const TlsCredentials& credentials) {
  bssl::UniquePtr<SSL_CTX> context(SSL_CTX_new(TLS_method()));
  if (absl::Status configured = Configure(context.get(), loop, credentials);
      !configured.ok()) {
    return configured;
  }
  absl::StatusOr<PeerIdentity> self =
      IdentityOf(SSL_CTX_get0_certificate(context.get()));
  if (!self.ok()) return self.status();
  return std::unique_ptr<TlsSecurity>(
      new TlsSecurity(loop, context.release(), *std::move(self)));
}

std::unique_ptr<PendingOp> TlsSecurity::Connect(
    std::unique_ptr<Connection> raw, Buffer preface,
    const std::string& expected_server, SecureDone done) {
  return std::make_unique<TlsHandshake>(loop_, context_, std::move(raw), true,
                                        std::move(preface), self_,
                                        expected_server, std::move(done));
}

std::unique_ptr<PendingOp> TlsSecurity::Accept(std::unique_ptr<Connection> raw,
                                               SecureDone done) {
  return std::make_unique<TlsHandshake>(loop_, context_, std::move(raw), false,
                                        Buffer(), self_, "", std::move(done));
}

}  // namespace holdfast
