#include "transport/tls_authority.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/curve25519.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/check.h"
#include "transport/tls_pem.h"

namespace holdfast {
namespace {

using Key = bssl::UniquePtr<EVP_PKEY>;
using Certificate = bssl::UniquePtr<X509>;

// Of a common name (RFC 5280, ub-common-name). It is for people: the URI name
// is what counts.
constexpr size_t kCommonNameBytesMax = 64;

Key MakeKey() {
  uint8_t public_key[ED25519_PUBLIC_KEY_LEN];
  uint8_t private_key[ED25519_PRIVATE_KEY_LEN];
  ED25519_keypair(public_key, private_key);
  // The first half of the private key is the seed, which stands for it.
  Key key(
      EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, nullptr, private_key, 32));
  OPENSSL_cleanse(private_key, sizeof(private_key));
  CHECK(key != nullptr);
  return key;
}

std::string Take(BIO* bio) {
  const uint8_t* data;
  size_t size;
  CHECK(BIO_mem_contents(bio, &data, &size));
  return std::string(reinterpret_cast<const char*>(data), size);
}

std::string ToPem(X509* certificate) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_X509(bio.get(), certificate));
  return Take(bio.get());
}

std::string ToPem(EVP_PKEY* key) {
  bssl::UniquePtr<BIO> bio(BIO_new(BIO_s_mem()));
  CHECK(PEM_write_bio_PKCS8PrivateKey(bio.get(), key, nullptr, nullptr, 0,
                                      nullptr, nullptr));
  return Take(bio.get());
}

bool AddExtension(X509* certificate, int nid, const std::string& value) {
  bssl::UniquePtr<X509_EXTENSION> extension(
      X509V3_EXT_nconf_nid(nullptr, nullptr, nid, value.c_str()));
  return extension != nullptr &&
         X509_add_ext(certificate, extension.get(), -1) == 1;
}

// 127 random bits that always take 16 bytes: a number's encoding leaves out
// leading zeros, and has another byte before a leading one.
void SetSerial(X509* certificate) {
  uint8_t serial[16];
  RAND_bytes(serial, sizeof(serial));
  serial[0] = static_cast<uint8_t>((serial[0] & 0x3f) | 0x40);
  bssl::UniquePtr<BIGNUM> number(BN_bin2bn(serial, sizeof(serial), nullptr));
  CHECK(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(certificate)) !=
        nullptr);
}

bool SetTime(ASN1_TIME* to, WallTime time) {
  const auto since_epoch =
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch());
  return ASN1_TIME_set(to, since_epoch.count()) != nullptr;
}

// Everything but the issuer, the extensions and the signature.
Certificate MakeCertificate(EVP_PKEY* key, const std::string& common_name,
                            TlsValidity validity) {
  Certificate c(X509_new());
  CHECK(X509_set_version(c.get(), X509_VERSION_3));
  SetSerial(c.get());
  const std::string text = common_name.substr(0, kCommonNameBytesMax);
  CHECK(X509_NAME_add_entry_by_txt(
      X509_get_subject_name(c.get()), "CN", MBSTRING_UTF8,
      reinterpret_cast<const uint8_t*>(text.data()),
      static_cast<int>(text.size()), -1, 0));
  CHECK(SetTime(X509_getm_notBefore(c.get()), validity.from));
  CHECK(SetTime(X509_getm_notAfter(c.get()), validity.until));
  CHECK(X509_set_pubkey(c.get(), key));
  return c;
}

// The cluster that a CA's certificate names; empty: none.
std::string ClusterOf(X509* certificate) {
  char name[256];
  const int length = X509_NAME_get_text_by_NID(
      X509_get_subject_name(certificate), NID_commonName, name, sizeof(name));
  return length <= 0 ? "" : std::string(name, static_cast<size_t>(length));
}

std::string CommonName(const PeerIdentity& name) {
  const bool server = name.kind == PeerIdentity::Kind::kServer;
  return absl::StrCat(server ? "server-" : "client-", name.name);
}

// The subject's other names, as BoringSSL's configuration has them.
// Anything else could bring further names along, since the list is a text.
bool IsHost(const std::string& host) {
  return !host.empty() && std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' ||
           c == '-' || c == '_' || c == ':' || c == '*';
  });
}

std::string AlternativeNames(const std::string& uri,
                             const std::vector<std::string>& hosts) {
  std::vector<std::string> names = {absl::StrCat("URI:", uri)};
  for (const std::string& host : hosts) {
    const bool is_ip =
        host.find_first_not_of("0123456789.") == std::string::npos ||
        host.find(':') != std::string::npos;
    names.push_back(absl::StrCat(is_ip ? "IP:" : "DNS:", host));
  }
  return absl::StrJoin(names, ",");
}

absl::Status CheckCluster(const std::string& cluster) {
  PeerIdentity probe;
  probe.kind = PeerIdentity::Kind::kServer;
  probe.cluster = cluster;
  probe.name = "1";
  if (ParseIdentityUri(FormatIdentityUri(probe)).ok()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(
      "expected a cluster name of letters, digits, '-', '_' and '.', found \"",
      cluster, "\""));
}

}  // namespace

TlsAuthority::TlsAuthority(std::string cluster, std::string certificate,
                           std::string private_key)
    : cluster_(std::move(cluster)),
      certificate_(std::move(certificate)),
      private_key_(std::move(private_key)) {}

absl::StatusOr<TlsAuthority> TlsAuthority::Create(const std::string& cluster,
                                                  TlsValidity validity) {
  if (absl::Status good = CheckCluster(cluster); !good.ok()) return good;
  Key key = MakeKey();
  Certificate c = MakeCertificate(key.get(), cluster, validity);
  X509_set_issuer_name(c.get(), X509_get_subject_name(c.get()));
  CHECK(AddExtension(c.get(), NID_basic_constraints, "critical,CA:TRUE"));
  CHECK(AddExtension(c.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  // Ed25519 hashes by itself: no digest is named.
  CHECK(X509_sign(c.get(), key.get(), nullptr));
  return TlsAuthority(cluster, ToPem(c.get()), ToPem(key.get()));
}

absl::StatusOr<TlsAuthority> TlsAuthority::Load(std::string certificate,
                                                std::string private_key) {
  const auto ca = ReadPem<X509>(certificate, PEM_read_bio_X509);
  const auto key = ReadPem<EVP_PKEY>(private_key, PEM_read_bio_PrivateKey);
  if (ca == nullptr || key == nullptr ||
      X509_check_private_key(ca.get(), key.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("they aren't a certificate and its key");
  }
  if (EVP_PKEY_id(key.get()) != EVP_PKEY_ED25519) {
    return absl::InvalidArgumentError(
        "expected an Ed25519 key, found one of another kind; issue its "
        "certificates with what made this CA");
  }
  std::string cluster = ClusterOf(ca.get());
  if (absl::Status good = CheckCluster(cluster); !good.ok()) return good;
  return TlsAuthority(std::move(cluster), std::move(certificate),
                      std::move(private_key));
}

absl::StatusOr<TlsCredentials> TlsAuthority::Issue(
    const PeerIdentity& name, const std::vector<std::string>& hosts,
    TlsValidity validity) const {
  const std::string uri = FormatIdentityUri(name);
  if (!ParseIdentityUri(uri).ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected a name of letters, digits, '-', '_' and '.', found \"",
        name.name, "\""));
  }
  const auto ca = ReadPem<X509>(certificate_, PEM_read_bio_X509);
  const auto ca_key = ReadPem<EVP_PKEY>(private_key_, PEM_read_bio_PrivateKey);
  Key key = MakeKey();
  Certificate c = MakeCertificate(key.get(), CommonName(name), validity);
  X509_set_issuer_name(c.get(), X509_get_subject_name(ca.get()));
  if (!std::all_of(hosts.begin(), hosts.end(), IsHost) ||
      !AddExtension(c.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !AddExtension(c.get(), NID_key_usage, "critical,digitalSignature") ||
      !AddExtension(c.get(), NID_ext_key_usage, "serverAuth,clientAuth") ||
      !AddExtension(c.get(), NID_subject_alt_name,
                    AlternativeNames(uri, hosts))) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat("expected host names and IP addresses, found \"",
                     absl::StrJoin(hosts, ","), "\""));
  }
  CHECK(X509_sign(c.get(), ca_key.get(), nullptr));
  return TlsCredentials{.ca_certificate = certificate_,
                        .certificate = ToPem(c.get()),
                        .private_key = ToPem(key.get())};
}

}  // namespace holdfast
