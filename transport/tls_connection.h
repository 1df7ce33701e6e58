#ifndef HOLDFAST_TRANSPORT_TLS_CONNECTION_H_
#define HOLDFAST_TRANSPORT_TLS_CONNECTION_H_

#include <openssl/ssl.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/buffer.h"
#include "engine/env/loop.h"
#include "engine/env/network.h"

// What transport/tls.cc makes its handshakes and connections of.

namespace holdfast {

// What BoringSSL reads from and writes to: bytes that came, bytes to go.
struct TlsWire {
  // Empty bytes are the stream's end.
  void Received(Buffer bytes) {
    in_ended = bytes.empty();
    in = std::move(bytes);
    in_at = 0;
  }
  size_t available() const { return in.size() - in_at; }

  Buffer in;
  size_t in_at = 0;
  bool in_ended = false;
  Buffers out;
};

// Over that wire, which outlives it.
bssl::UniquePtr<SSL> MakeSsl(SSL_CTX* context, TlsWire* wire);

// Of the last call of BoringSSL: what failed, or what the peer said in an
// alert.
std::string LastTlsError();

// A stream whose handshake is done. A key of its own that has encrypted
// `key_bytes_max` is replaced.
std::unique_ptr<Connection> MakeTlsConnection(Loop* loop,
                                              std::unique_ptr<Connection> raw,
                                              std::unique_ptr<TlsWire> wire,
                                              bssl::UniquePtr<SSL> ssl,
                                              uint64_t key_bytes_max);

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_TLS_CONNECTION_H_
