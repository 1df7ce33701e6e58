#include "transport/certs.h"

#include <fcntl.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/curve25519.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "engine/base/check.h"

namespace holdfast {
namespace {

constexpr Duration kCaValidity = 24h * 3650;
// Clocks of servers may differ a little.
constexpr int kBackdate_s = 300;

using Key = bssl::UniquePtr<EVP_PKEY>;
using Certificate = bssl::UniquePtr<X509>;

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

absl::Status WriteFile(const std::string& path, absl::string_view text,
                       mode_t mode) {
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
  if (fd < 0 && errno == EEXIST) {
    return absl::FailedPreconditionError(absl::StrCat(
        path, " is there already; remove it to have it made anew"));
  }
  if (fd < 0) {
    return absl::PermissionDeniedError(
        absl::StrCat("can't write ", path, ": ", strerror(errno)));
  }
  ssize_t written = write(fd, text.data(), text.size());
  int error = errno;
  if (close(fd) != 0 || written != static_cast<ssize_t>(text.size())) {
    return absl::UnknownError(
        absl::StrCat("can't write ", path, ": ", strerror(error)));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& path,
                                     absl::string_view advice) {
  int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return absl::NotFoundError(
        absl::StrCat("can't read ", path, ": ", strerror(errno), "; ", advice));
  }
  std::string text;
  char block[4096];
  ssize_t n;
  while ((n = read(fd, block, sizeof(block))) > 0) {
    text.append(block, static_cast<size_t>(n));
  }
  close(fd);
  return text;
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

// Everything but the extensions and the signature.
Certificate MakeCertificate(EVP_PKEY* key, const std::string& common_name,
                            Duration validity) {
  Certificate c(X509_new());
  CHECK(X509_set_version(c.get(), X509_VERSION_3));
  uint8_t serial[16];
  RAND_bytes(serial, sizeof(serial));
  serial[0] &= 0x7f;
  bssl::UniquePtr<BIGNUM> number(BN_bin2bn(serial, sizeof(serial), nullptr));
  CHECK(BN_to_ASN1_INTEGER(number.get(), X509_get_serialNumber(c.get())) !=
        nullptr);
  X509_NAME* name = X509_get_subject_name(c.get());
  CHECK(X509_NAME_add_entry_by_txt(
      name, "CN", MBSTRING_UTF8,
      reinterpret_cast<const uint8_t*>(common_name.data()),
      static_cast<int>(common_name.size()), -1, 0));
  time_t now = time(nullptr);
  auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(validity).count();
  CHECK(ASN1_TIME_adj(X509_getm_notBefore(c.get()), now, 0, -kBackdate_s));
  CHECK(ASN1_TIME_adj(X509_getm_notAfter(c.get()), now,
                      static_cast<int>(seconds / 86400),
                      static_cast<long>(seconds % 86400)));  // NOLINT
  CHECK(X509_set_pubkey(c.get(), key));
  return c;
}

template <typename T, typename ReadFn>
bssl::UniquePtr<T> ReadPem(const std::string& pem, ReadFn read) {
  bssl::UniquePtr<BIO> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  return bssl::UniquePtr<T>(read(bio.get(), nullptr, nullptr, nullptr));
}

struct Ca {
  Certificate certificate;
  Key key;
  std::string cluster;
};

absl::StatusOr<Ca> LoadCa(const std::string& directory) {
  const char* advice = "make the CA first: holdfast certs init";
  absl::StatusOr<std::string> pem = ReadFile(directory + "/ca.crt", advice);
  if (!pem.ok()) return pem.status();
  absl::StatusOr<std::string> key = ReadFile(directory + "/ca.key", advice);
  if (!key.ok()) return key.status();
  Ca ca;
  ca.certificate = ReadPem<X509>(*pem, PEM_read_bio_X509);
  ca.key = ReadPem<EVP_PKEY>(*key, PEM_read_bio_PrivateKey);
  if (ca.certificate == nullptr || ca.key == nullptr) {
    return absl::InvalidArgumentError(absl::StrCat(
        directory, "/ca.crt and ca.key aren't a certificate and its key"));
  }
  char name[256];
  int length =
      X509_NAME_get_text_by_NID(X509_get_subject_name(ca.certificate.get()),
                                NID_commonName, name, sizeof(name));
  if (length <= 0) {
    return absl::InvalidArgumentError(
        absl::StrCat(directory, "/ca.crt names no cluster"));
  }
  ca.cluster.assign(name, static_cast<size_t>(length));
  return ca;
}

// `identity`: without its cluster, which is the CA's.
absl::Status Issue(const std::string& directory, PeerIdentity identity,
                   const std::string& file_name,
                   const std::vector<std::string>& hosts, Duration validity) {
  absl::StatusOr<Ca> ca = LoadCa(directory);
  if (!ca.ok()) return ca.status();
  identity.cluster = ca->cluster;
  std::string uri = FormatIdentityUri(identity);
  if (absl::StatusOr<PeerIdentity> back = ParseIdentityUri(uri); !back.ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected a name of letters, digits, '-', '_' and '.', found \"",
        identity.name, "\""));
  }
  Key key = MakeKey();
  Certificate c = MakeCertificate(key.get(), file_name, validity);
  std::vector<std::string> names = {absl::StrCat("URI:", uri)};
  for (const std::string& host : hosts) {
    bool is_ip = host.find_first_not_of("0123456789.") == std::string::npos ||
                 host.find(':') != std::string::npos;
    names.push_back(absl::StrCat(is_ip ? "IP:" : "DNS:", host));
  }
  X509_set_issuer_name(c.get(), X509_get_subject_name(ca->certificate.get()));
  if (!AddExtension(c.get(), NID_basic_constraints, "critical,CA:FALSE") ||
      !AddExtension(c.get(), NID_key_usage, "critical,digitalSignature") ||
      !AddExtension(c.get(), NID_ext_key_usage, "serverAuth,clientAuth") ||
      !AddExtension(c.get(), NID_subject_alt_name, absl::StrJoin(names, ","))) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat("expected host names and IP addresses, found \"",
                     absl::StrJoin(hosts, ","), "\""));
  }
  // Ed25519 hashes by itself: no digest is named.
  CHECK(X509_sign(c.get(), ca->key.get(), nullptr));
  std::string base = absl::StrCat(directory, "/", file_name);
  if (absl::Status s = WriteFile(base + ".key", ToPem(key.get()), 0600);
      !s.ok()) {
    return s;
  }
  return WriteFile(base + ".crt", ToPem(c.get()), 0644);
}

absl::StatusOr<TlsCredentials> Load(const std::string& directory,
                                    const std::string& file_name,
                                    absl::string_view advice) {
  TlsCredentials credentials;
  std::string base = absl::StrCat(directory, "/", file_name);
  const std::pair<std::string, std::string*> files[] = {
      {directory + "/ca.crt", &credentials.ca_certificate},
      {base + ".crt", &credentials.certificate},
      {base + ".key", &credentials.private_key}};
  for (const auto& [path, to] : files) {
    absl::StatusOr<std::string> text = ReadFile(path, advice);
    if (!text.ok()) return text.status();
    *to = *std::move(text);
  }
  return credentials;
}

std::string ServerFile(ServerId id) {
  return absl::StrCat("server-", id.value());
}
std::string ClientFile(const std::string& name) {
  return absl::StrCat("client-", name);
}

}  // namespace

absl::Status InitCa(const std::string& directory, const std::string& cluster) {
  PeerIdentity probe;
  probe.kind = PeerIdentity::Kind::kServer;
  probe.cluster = cluster;
  probe.name = "1";
  if (!ParseIdentityUri(FormatIdentityUri(probe)).ok()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "expected a cluster name of letters, digits, '-', '_' and '.', found "
        "\"",
        cluster, "\""));
  }
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::PermissionDeniedError(absl::StrCat(
        "can't make directory ", directory, ": ", strerror(errno)));
  }
  Key key = MakeKey();
  Certificate c = MakeCertificate(key.get(), cluster, kCaValidity);
  X509_set_issuer_name(c.get(), X509_get_subject_name(c.get()));
  CHECK(AddExtension(c.get(), NID_basic_constraints, "critical,CA:TRUE"));
  CHECK(AddExtension(c.get(), NID_key_usage, "critical,keyCertSign,cRLSign"));
  CHECK(X509_sign(c.get(), key.get(), nullptr));
  if (absl::Status s = WriteFile(directory + "/ca.key", ToPem(key.get()), 0600);
      !s.ok()) {
    return s;
  }
  return WriteFile(directory + "/ca.crt", ToPem(c.get()), 0644);
}

absl::Status IssueServer(const std::string& directory, ServerId id,
                         const std::vector<std::string>& hosts,
                         Duration validity) {
  PeerIdentity identity;
  identity.kind = PeerIdentity::Kind::kServer;
  identity.name = absl::StrCat(id.value());
  return Issue(directory, std::move(identity), ServerFile(id), hosts, validity);
}

absl::Status IssueClient(const std::string& directory, const std::string& name,
                         ClientRole role, Duration validity) {
  PeerIdentity identity;
  identity.kind = PeerIdentity::Kind::kClient;
  identity.name = name;
  identity.role = role;
  return Issue(directory, std::move(identity), ClientFile(name), {}, validity);
}

absl::StatusOr<TlsCredentials> LoadServer(const std::string& directory,
                                          ServerId id) {
  return Load(directory, ServerFile(id),
              absl::StrCat("make it: holdfast certs issue --dir=", directory,
                           " --node=", id.value(), " --hosts=HOST"));
}

absl::StatusOr<TlsCredentials> LoadClient(const std::string& directory,
                                          const std::string& name) {
  return Load(directory, ClientFile(name),
              absl::StrCat("make it: holdfast certs issue --dir=", directory,
                           " --client=", name));
}

}  // namespace holdfast
