#ifndef HOLDFAST_SIM_REPORT_TLS_RECORDS_H_
#define HOLDFAST_SIM_REPORT_TLS_RECORDS_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "sim/report/wire_text.h"

namespace holdfast {

// A record's header: all that a stranger can read of it (RFC 8446, section
// 5.1).
struct TlsRecord {
  uint8_t type = 0;
  size_t bytes = 0;  // without the header
};

// "TlsRecord", and how long it is: what it says nobody can read.
WireText Describe(const TlsRecord& record);

// Finds the records in the bytes of one direction of a stream.
class TlsRecordReader {
 public:
  void Push(absl::string_view bytes) {
    pending_.append(bytes.data(), bytes.size());
  }
  // The next one that is there as a whole.
  std::optional<TlsRecord> Next();
  // Pushed, and of no record that Next returned.
  size_t bytes_left() const { return pending_.size(); }

 private:
  std::string pending_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_REPORT_TLS_RECORDS_H_
