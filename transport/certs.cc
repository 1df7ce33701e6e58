#include "transport/certs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "transport/tls_authority.h"

namespace holdfast {
namespace {

constexpr Duration kCaValidity = 24h * 3650;
// Clocks of servers may differ a little.
constexpr Duration kBackdate = 300s;

// From about now on.
TlsValidity ValidFor(Duration validity) {
  const WallTime now(std::chrono::seconds(time(nullptr)));
  return {.from = now - kBackdate, .until = now + validity};
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

absl::StatusOr<TlsAuthority> LoadCa(const std::string& directory) {
  const char* advice = "make the CA first: holdfast certs init";
  absl::StatusOr<std::string> pem = ReadFile(directory + "/ca.crt", advice);
  if (!pem.ok()) return pem.status();
  absl::StatusOr<std::string> key = ReadFile(directory + "/ca.key", advice);
  if (!key.ok()) return key.status();
  absl::StatusOr<TlsAuthority> ca =
      TlsAuthority::Load(*std::move(pem), *std::move(key));
  if (ca.ok()) return ca;
  return absl::InvalidArgumentError(
      absl::StrCat(directory, "/ca.crt and ca.key: ", ca.status().message()));
}

// `identity`: without its cluster, which is the CA's.
absl::Status Issue(const std::string& directory, PeerIdentity identity,
                   const std::string& file_name,
                   const std::vector<std::string>& hosts, Duration validity) {
  absl::StatusOr<TlsAuthority> ca = LoadCa(directory);
  if (!ca.ok()) return ca.status();
  identity.cluster = ca->cluster();
  absl::StatusOr<TlsCredentials> issued =
      ca->Issue(identity, hosts, ValidFor(validity));
  if (!issued.ok()) return issued.status();
  std::string base = absl::StrCat(directory, "/", file_name);
  if (absl::Status s = WriteFile(base + ".key", issued->private_key, 0600);
      !s.ok()) {
    return s;
  }
  return WriteFile(base + ".crt", issued->certificate, 0644);
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
  absl::StatusOr<TlsAuthority> ca =
      TlsAuthority::Create(cluster, ValidFor(kCaValidity));
  if (!ca.ok()) return ca.status();
  if (mkdir(directory.c_str(), 0700) != 0 && errno != EEXIST) {
    return absl::PermissionDeniedError(absl::StrCat(
        "can't make directory ", directory, ": ", strerror(errno)));
  }
  if (absl::Status s =
          WriteFile(directory + "/ca.key", ca->private_key(), 0600);
      !s.ok()) {
    return s;
  }
  return WriteFile(directory + "/ca.crt", ca->certificate(), 0644);
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
