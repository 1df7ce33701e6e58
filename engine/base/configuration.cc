#include "engine/base/configuration.h"

#include <algorithm>
#include <cstdint>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "engine/base/bytes.h"

namespace holdfast {
namespace {

size_t EncodedSize(const std::vector<Member>& members) {
  size_t size = 4;
  for (const Member& m : members) size += 8 + 8 + 4 + m.address.size();
  return size;
}

void Encode(const std::vector<Member>& members, ByteWriter* w) {
  w->Int<uint32_t>(static_cast<uint32_t>(members.size()));
  for (const Member& m : members) {
    w->Int<uint64_t>(m.id.value());
    w->Int<uint64_t>(m.incarnation.value());
    w->Int<uint32_t>(static_cast<uint32_t>(m.address.size()));
    w->Bytes(m.address);
  }
}

absl::StatusOr<std::vector<Member>> DecodeMembers(ByteReader* r) {
  uint32_t count = r->Int<uint32_t>();
  if (count > Configuration::kMembersMax) {
    return absl::InvalidArgumentError(
        absl::StrCat("configuration: expected at most ",
                     Configuration::kMembersMax, " members, found ", count));
  }
  std::vector<Member> members;
  for (uint32_t i = 0; i < count && r->ok(); ++i) {
    Member m;
    m.id = ServerId(r->Int<uint64_t>());
    m.incarnation = Incarnation(r->Int<uint64_t>());
    uint32_t length = r->Int<uint32_t>();
    m.address = std::string(r->Bytes(length));
    if (m.id.value() == 0 || (!members.empty() && m.id <= members.back().id)) {
      return absl::InvalidArgumentError(
          "configuration: expected rising ids above 0 in each list");
    }
    members.push_back(std::move(m));
  }
  return members;
}

}  // namespace

const Member* Configuration::Find(ServerId id) const {
  for (const auto* list : {&voters, &old_voters, &learners, &joining}) {
    for (const Member& m : *list) {
      if (m.id == id) return &m;
    }
  }
  return nullptr;
}

std::vector<Member> Configuration::Everyone() const {
  std::vector<Member> all;
  for (const auto* list : {&voters, &old_voters, &learners, &joining}) {
    all.insert(all.end(), list->begin(), list->end());
  }
  std::stable_sort(
      all.begin(), all.end(),
      [](const Member& a, const Member& b) { return a.id < b.id; });
  all.erase(std::unique(
                all.begin(), all.end(),
                [](const Member& a, const Member& b) { return a.id == b.id; }),
            all.end());
  return all;
}

Buffer EncodeConfiguration(const Configuration& configuration) {
  Buffer bytes = Buffer::Uninitialized(4 + EncodedSize(configuration.voters) +
                                       EncodedSize(configuration.old_voters) +
                                       EncodedSize(configuration.learners) +
                                       EncodedSize(configuration.joining));
  ByteWriter w(bytes.data_mutable(), bytes.size());
  w.Int<uint32_t>(configuration.feature_level);
  Encode(configuration.voters, &w);
  Encode(configuration.old_voters, &w);
  Encode(configuration.learners, &w);
  Encode(configuration.joining, &w);
  CHECK_EQ(w.room(), size_t{0});
  return bytes;
}

absl::StatusOr<Configuration> DecodeConfiguration(absl::string_view bytes) {
  ByteReader r(bytes);
  Configuration c;
  c.feature_level = r.Int<uint32_t>();
  for (auto* list : {&c.voters, &c.old_voters, &c.learners, &c.joining}) {
    absl::StatusOr<std::vector<Member>> members = DecodeMembers(&r);
    if (!members.ok()) return members.status();
    *list = *std::move(members);
  }
  if (!r.ok() || !r.rest().empty()) {
    return absl::InvalidArgumentError("configuration: its length is wrong");
  }
  if (c.voters.empty()) {
    return absl::InvalidArgumentError("configuration: it has no voter");
  }
  if (c.feature_level < kFeatureLevelMin) {
    return absl::InvalidArgumentError("configuration: it has no feature level");
  }
  return c;
}

}  // namespace holdfast
