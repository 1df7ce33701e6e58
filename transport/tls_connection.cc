#include "transport/tls_connection.h"

#include <openssl/bio.h>
#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/callback_scope.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

// The most plaintext in one TLS record (RFC 8446, section 5.1).
constexpr size_t kRecordBytes = 16 << 10;
// Ciphertext that one read from below may bring.
constexpr size_t kReadBytes = 256 << 10;
// What a record costs its key, beside its plaintext, at most: a block that is
// not full, and one for the tag.
constexpr uint64_t kRecordCostBytes = 32;

// What the peer says of this side's certificate; null if it speaks of
// something else.
const char* Complaint(int alert) {
  switch (alert) {
    case SSL_AD_BAD_CERTIFICATE:
    case SSL_AD_UNSUPPORTED_CERTIFICATE:
    case SSL_AD_CERTIFICATE_UNKNOWN:
      return "it isn't good there";
    case SSL_AD_CERTIFICATE_EXPIRED:
      return "it has expired, or isn't good yet, by the peer's clock";
    case SSL_AD_UNKNOWN_CA:
    case SSL_AD_DECRYPT_ERROR:
      return "it isn't of the CA that is trusted there";
    case SSL_AD_ACCESS_DENIED:
      return "it isn't in the name that was expected";
    default:
      return nullptr;
  }
}

std::string DescribeAlert(int alert) {
  if (const char* complaint = Complaint(alert)) {
    return absl::StrCat("the peer refuses this side's certificate: ",
                        complaint);
  }
  return absl::StrCat("the peer gave up: alert ", alert, ", ",
                      SSL_alert_desc_string_long(alert));
}

int WireWrite(BIO* bio, const char* data, int n) {
  auto* wire = static_cast<TlsWire*>(BIO_get_data(bio));
  wire->out.push_back(
      Buffer::Copy(absl::string_view(data, static_cast<size_t>(n))));
  return n;
}

int WireRead(BIO* bio, char* to, int n) {
  auto* wire = static_cast<TlsWire*>(BIO_get_data(bio));
  BIO_clear_retry_flags(bio);
  if (wire->available() == 0) {
    if (wire->in_ended) return 0;
    BIO_set_retry_read(bio);
    return -1;
  }
  size_t taken = std::min(wire->available(), static_cast<size_t>(n));
  std::memcpy(to, wire->in.data() + wire->in_at, taken);
  wire->in_at += taken;
  // An idle connection keeps none of what it had.
  if (wire->available() == 0) {
    wire->in = Buffer();
    wire->in_at = 0;
  }
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

class TlsConnection final : public Connection {
 public:
  TlsConnection(Loop* loop, std::unique_ptr<Connection> raw,
                std::unique_ptr<TlsWire> wire, bssl::UniquePtr<SSL> ssl,
                uint64_t key_bytes_max)
      : loop_(loop),
        key_bytes_max_(key_bytes_max),
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
    for (const Buffer& b : data) {
      absl::string_view rest = b.view();
      while (!rest.empty()) {
        absl::string_view record = rest.substr(0, kRecordBytes - have);
        rest.remove_prefix(record.size());
        if (have > 0 || record.size() < kRecordBytes) {
          std::memcpy(gathered + have, record.data(), record.size());
          have += record.size();
          record = absl::string_view(gathered, have);
        }
        if (record.size() < kRecordBytes) continue;
        if (!EncryptRecord(record)) return WriteError();
        have = 0;
      }
    }
    if (have > 0 && !EncryptRecord(absl::string_view(gathered, have))) {
      return WriteError();
    }
    return absl::OkStatus();
  }

  bool EncryptRecord(absl::string_view plain) {
    if (bytes_with_key_ >= key_bytes_max_) {
      if (!SSL_key_update(ssl_.get(), SSL_KEY_UPDATE_NOT_REQUESTED)) {
        return false;
      }
      bytes_with_key_ = 0;
    }
    bytes_with_key_ += plain.size() + kRecordCostBytes;
    const int size = static_cast<int>(plain.size());
    return SSL_write(ssl_.get(), plain.data(), size) == size;
  }
  static absl::Status WriteError() {
    return absl::UnavailableError(absl::StrCat("TLS write: ", LastTlsError()));
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
    if (wants_bytes_ && wire_->available() == 0 && !wire_->in_ended) {
      return ReadRaw();
    }
    Buffer plain = Buffer::Uninitialized(
        std::min(read_max_, std::max(wire_->available(), kRecordBytes)));
    size_t have = 0;
    int n = 0;
    while (have < plain.size()) {
      n = SSL_read(ssl_.get(), plain.data_mutable() + have,
                   static_cast<int>(plain.size() - have));
      if (n <= 0) break;
      have += static_cast<size_t>(n);
    }
    const int error = n > 0 ? SSL_ERROR_NONE : SSL_get_error(ssl_.get(), n);
    // An end or an error that came behind bytes is found again by the next
    // read.
    wants_bytes_ = error == SSL_ERROR_WANT_READ;
    // An alert may have to go out.
    if (!wire_->out.empty() && !raw_writing_) WriteRaw();
    if (have > 0) {
      return FinishRead(Trim(std::move(plain), have));
    }
    switch (error) {
      case SSL_ERROR_WANT_READ:
        return ReadRaw();
      case SSL_ERROR_ZERO_RETURN:
        return FinishRead(Buffer());
      default:
        return FinishRead(absl::UnavailableError(
            wire_->in_ended ? "the stream ended without a proper close"
                            : "TLS read: " + LastTlsError()));
    }
  }

  // Doesn't pin much more memory than it needs.
  static Buffer Trim(Buffer bytes, size_t have) {
    if (have * 2 >= bytes.size()) return bytes.Slice(0, have);
    return Buffer::Copy(bytes.view().substr(0, have));
  }

  void ReadRaw() {
    raw_->Read(kReadBytes, [this](absl::StatusOr<Buffer> bytes) {
      if (!bytes.ok()) return FinishRead(bytes.status());
      wire_->Received(*std::move(bytes));
      TryRead();
    });
  }

  void FinishRead(absl::StatusOr<Buffer> result) {
    ResultFn<Buffer> done = std::move(read_done_);
    done(std::move(result));
  }

  Loop* const loop_;
  const uint64_t key_bytes_max_;
  uint64_t bytes_with_key_ = 0;
  std::unique_ptr<TlsWire> wire_;
  bssl::UniquePtr<SSL> ssl_;
  bool wants_bytes_ = false;  // of the stream below, before it can go on
  size_t read_max_ = 0;
  ResultFn<Buffer> read_done_;
  DoneFn write_done_;
  absl::Status write_status_;  // of the write that write_done_ waits for
  bool raw_writing_ = false;
  bool shut_down_ = false;
  std::unique_ptr<Connection> raw_;
  CallbackScope scope_;
};

}  // namespace

bssl::UniquePtr<SSL> MakeSsl(SSL_CTX* context, TlsWire* wire) {
  bssl::UniquePtr<SSL> ssl(SSL_new(context));
  BIO* bio = BIO_new(WireMethod());
  BIO_set_data(bio, wire);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl.get(), bio, bio);  // takes the one reference for both
  return ssl;
}

std::string LastTlsError() {
  const uint32_t code = ERR_get_error();
  ERR_clear_error();
  const int number = ERR_GET_REASON(code);
  if (ERR_GET_LIB(code) == ERR_LIB_SSL && number >= SSL_AD_REASON_OFFSET) {
    return DescribeAlert(number - SSL_AD_REASON_OFFSET);
  }
  const char* reason = code == 0 ? nullptr : ERR_reason_error_string(code);
  return reason == nullptr ? "unknown error" : reason;
}

std::unique_ptr<Connection> MakeTlsConnection(Loop* loop,
                                              std::unique_ptr<Connection> raw,
                                              std::unique_ptr<TlsWire> wire,
                                              bssl::UniquePtr<SSL> ssl,
                                              uint64_t key_bytes_max) {
  return std::make_unique<TlsConnection>(loop, std::move(raw), std::move(wire),
                                         std::move(ssl), key_bytes_max);
}

}  // namespace holdfast
