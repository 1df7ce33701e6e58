#ifndef HOLDFAST_ENGINE_BASE_BYTES_H_
#define HOLDFAST_ENGINE_BASE_BYTES_H_

// Little-endian integers in byte strings: all of Holdfast's own formats, on
// disk and on the wire, are little-endian.

#include <bit>
#include <cstdint>
#include <cstring>

#include "absl/strings/string_view.h"
#include "engine/base/check.h"

namespace holdfast {

static_assert(std::endian::native == std::endian::little,
              "Holdfast's formats are little-endian and are read in place; a "
              "big-endian port has to swap here");

template <typename T>
T LoadInt(const char* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <typename T>
void StoreInt(char* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}

// Takes integers and runs off the front of a byte string. After a read past
// the end, ok() is false, and everything reads as zero or empty.
class ByteReader {
 public:
  explicit ByteReader(absl::string_view bytes) : rest_(bytes) {}

  template <typename T>
  T Int() {
    if (rest_.size() < sizeof(T)) return Fail<T>();
    T value = LoadInt<T>(rest_.data());
    rest_.remove_prefix(sizeof(T));
    return value;
  }
  absl::string_view Bytes(size_t n) {
    if (rest_.size() < n) return Fail<absl::string_view>();
    absl::string_view bytes = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return bytes;
  }
  absl::string_view rest() const { return rest_; }
  bool ok() const { return ok_; }

 private:
  template <typename T>
  T Fail() {
    ok_ = false;
    rest_ = {};
    return T{};
  }
  absl::string_view rest_;
  bool ok_ = true;
};

// Writes integers and runs one behind the other into memory that the caller
// sized; running over its end is a CHECK failure.
class ByteWriter {
 public:
  ByteWriter(char* to, size_t size) : at_(to), end_(to + size) {}

  template <typename T>
  void Int(T value) {
    CHECK(static_cast<size_t>(end_ - at_) >= sizeof(T));
    StoreInt<T>(at_, value);
    at_ += sizeof(T);
  }
  void Bytes(absl::string_view bytes) {
    CHECK(static_cast<size_t>(end_ - at_) >= bytes.size());
    if (!bytes.empty()) std::memcpy(at_, bytes.data(), bytes.size());
    at_ += bytes.size();
  }
  char* at() const { return at_; }
  size_t room() const { return static_cast<size_t>(end_ - at_); }

 private:
  char* at_;
  char* end_;
};

}  // namespace holdfast

#endif  // HOLDFAST_ENGINE_BASE_BYTES_H_
