#ifndef HOLDFAST_SIM_REPORT_STREAMS_H_
#define HOLDFAST_SIM_REPORT_STREAMS_H_

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/string_view.h"
#include "engine/peer/message.h"
#include "sim/observer.h"
#include "sim/report/tls_records.h"
#include "sim/report/wire_text.h"

namespace holdfast {

// Finds the messages in the bytes of a run's streams, and follows each until
// its last byte has come to the other end. Under TLS, where messages can't be
// read, its records take their place.
class Streams {
 public:
  // A message is written as a whole; returns the caller's number for it.
  using WrittenFn = std::function<uint32_t(const StreamDirection&,
                                           WireText message, uint64_t bytes)>;
  using ReachedFn = std::function<void(uint32_t number)>;

  Streams(bool tls, WrittenFn written)
      : tls_(tls), written_(std::move(written)) {}

  void Write(const StreamDirection& where, absl::string_view bytes);
  // Calls `reached` for each message whose last byte is among the next n that
  // have arrived, or were taken.
  void Arrive(const StreamDirection& where, uint64_t n,
              const ReachedFn& reached);
  void Read(const StreamDirection& where, uint64_t n, const ReachedFn& reached);

 private:
  // How far along the bytes are, and where messages end that are not there yet.
  struct Front {
    uint64_t at = 0;
    std::deque<std::pair<uint64_t, uint32_t>> ends;
    void Advance(uint64_t n, const ReachedFn& reached);
  };
  struct Direction {
    MessageDecoder decoder;   // of plaintext
    TlsRecordReader records;  // of ciphertext
    bool broken = false;      // not messages
    bool started = false;     // the first byte, which isn't one, is past
    uint64_t written = 0;
    Front arrived;
    Front read;
  };
  Direction& Of(const StreamDirection& where);
  void Push(Direction* d, absl::string_view bytes);
  std::optional<WireText> Next(Direction* d);
  size_t BytesLeft(const Direction& d) const {
    return tls_ ? d.records.bytes_left() : d.decoder.bytes_left();
  }

  const bool tls_;
  const WrittenFn written_;
  std::map<std::pair<uint64_t, int>, Direction> directions_;
};

}  // namespace holdfast

#endif  // HOLDFAST_SIM_REPORT_STREAMS_H_
