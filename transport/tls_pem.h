#ifndef HOLDFAST_TRANSPORT_TLS_PEM_H_
#define HOLDFAST_TRANSPORT_TLS_PEM_H_

#include <openssl/base.h>
#include <openssl/bio.h>

#include <string>

namespace holdfast {

// What a PEM text holds, by BoringSSL's reader of that type
// (PEM_read_bio_X509, ...); null if it can't be read.
template <typename T, typename ReadFn>
bssl::UniquePtr<T> ReadPem(const std::string& pem, ReadFn read) {
  bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return bssl::UniquePtr<T>(read(bio.get(), nullptr, nullptr, nullptr));
}

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_TLS_PEM_H_
