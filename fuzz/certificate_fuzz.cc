// What comes out of certificates and their PEM files. Arbitrary texts as a
// name; as the files of a CA or of a server, in place of one or more of its
// own; as a certificate's inside; and as the names that one is issued for. A
// name is taken only as it is written by Holdfast itself, and a certificate
// says just what it was issued for, or isn't issued.
//
// The input: which of these, then the bytes; several texts end in zeroes. The
// certificates among the seeds were issued by `holdfast certs`, and have long
// expired; der_* is what is in such a file.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "engine/peer/testing/manual_loop.h"
#include "transport/tls.h"
#include "transport/tls_authority.h"

namespace holdfast {
namespace {

TlsValidity Valid() {
  return {.from = WallTime(Duration(0)), .until = WallTime(24h)};
}

// This process's own, the same for all inputs.
const TlsAuthority& Authority() {
  static const TlsAuthority* const kAuthority =
      new TlsAuthority(*TlsAuthority::Create("prod", Valid()));
  return *kAuthority;
}

const TlsCredentials& Own() {
  static const TlsCredentials* const kOwn = [] {
    PeerIdentity name;
    name.kind = PeerIdentity::Kind::kServer;
    name.cluster = "prod";
    name.name = "1";
    return new TlsCredentials(*Authority().Issue(name, {}, Valid()));
  }();
  return *kOwn;
}

void CheckCanonical(const PeerIdentity& identity) {
  absl::StatusOr<PeerIdentity> again =
      ParseIdentityUri(FormatIdentityUri(identity));
  CHECK(again.ok());
  CHECK_EQ(FormatIdentityUri(*again), FormatIdentityUri(identity));
}

void TryUri(absl::string_view text) {
  absl::StatusOr<PeerIdentity> identity = ParseIdentityUri(text);
  if (!identity.ok()) return CHECK(!identity.status().message().empty());
  CHECK_EQ(FormatIdentityUri(*identity), text);
}

void UseCredentials(const TlsCredentials& credentials) {
  ManualLoop loop;
  auto security = TlsSecurity::Create(&loop, credentials);
  if (!security.ok()) return CHECK(!security.status().message().empty());
  CheckCanonical((*security)->self());
}

void LoadAuthority(const std::string& certificate, const std::string& key) {
  absl::StatusOr<TlsAuthority> loaded = TlsAuthority::Load(certificate, key);
  if (!loaded.ok()) return CHECK(!loaded.status().message().empty());
  PeerIdentity probe;
  probe.kind = PeerIdentity::Kind::kServer;
  probe.cluster = loaded->cluster();
  probe.name = "1";
  CheckCanonical(probe);
}

// CA, certificate and key; in place of an empty one, a good one.
void TryPem(absl::string_view input) {
  const std::vector<std::string> texts = absl::StrSplit(input, '\0');
  TlsCredentials credentials = Own();
  if (!texts[0].empty()) credentials.ca_certificate = texts[0];
  if (texts.size() > 1 && !texts[1].empty()) credentials.certificate = texts[1];
  if (texts.size() > 2 && !texts[2].empty()) credentials.private_key = texts[2];
  UseCredentials(credentials);
  LoadAuthority(texts[0].empty() ? Authority().certificate() : texts[0],
                texts.size() > 2 && !texts[2].empty()
                    ? texts[2]
                    : Authority().private_key());
}

std::string AsPem(absl::string_view der, absl::string_view what) {
  const std::string base64 = absl::Base64Escape(der);
  std::string pem = absl::StrCat("-----BEGIN ", what, "-----\n");
  for (size_t at = 0; at < base64.size(); at += 64) {
    absl::StrAppend(&pem, absl::string_view(base64).substr(at, 64), "\n");
  }
  return absl::StrCat(pem, "-----END ", what, "-----\n");
}

void TryCertificate(absl::string_view der) {
  const std::string pem = AsPem(der, "CERTIFICATE");
  TlsCredentials credentials = Own();
  credentials.certificate = pem;
  UseCredentials(credentials);
  credentials = Own();
  credentials.ca_certificate = pem;
  UseCredentials(credentials);
  LoadAuthority(pem, Authority().private_key());
}

void TryKey(absl::string_view der) {
  const std::string pem = AsPem(der, "PRIVATE KEY");
  TlsCredentials credentials = Own();
  credentials.private_key = pem;
  UseCredentials(credentials);
  LoadAuthority(Authority().certificate(), pem);
}

// The cluster, the name, and hosts.
void TryIssue(absl::string_view input) {
  if (input.empty()) return;
  const int kind = input[0] % 4;
  std::vector<std::string> texts = absl::StrSplit(input.substr(1), '\0');
  if (texts.size() < 2) return;
  PeerIdentity name;
  name.kind =
      kind == 0 ? PeerIdentity::Kind::kServer : PeerIdentity::Kind::kClient;
  name.role = kind == 1   ? ClientRole::kAdmin
              : kind == 2 ? ClientRole::kWrite
                          : ClientRole::kRead;
  name.cluster = texts[0];
  name.name = texts[1];
  texts.erase(texts.begin(), texts.begin() + 2);
  absl::StatusOr<TlsCredentials> issued =
      Authority().Issue(name, texts, Valid());
  if (!issued.ok()) return CHECK(!issued.status().message().empty());
  ManualLoop loop;
  auto security = TlsSecurity::Create(&loop, *issued);
  CHECK(security.ok());
  CHECK_EQ(FormatIdentityUri((*security)->self()), FormatIdentityUri(name));
}

}  // namespace
}  // namespace holdfast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace holdfast;
  if (size == 0) return 0;
  const absl::string_view rest(reinterpret_cast<const char*>(data) + 1,
                               size - 1);
  switch (data[0] % 5) {
    case 0:
      TryUri(rest);
      break;
    case 1:
      TryPem(rest);
      break;
    case 2:
      TryCertificate(rest);
      break;
    case 3:
      TryKey(rest);
      break;
    default:
      TryIssue(rest);
  }
  return 0;
}
