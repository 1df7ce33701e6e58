#include "sim/report/streams.h"

#include "absl/status/statusor.h"
#include "engine/base/buffer.h"

namespace holdfast {

void Streams::Front::Advance(uint64_t n, const ReachedFn& reached) {
  at += n;
  while (!ends.empty() && ends.front().first <= at) {
    reached(ends.front().second);
    ends.pop_front();
  }
}

Streams::Direction& Streams::Of(const StreamDirection& where) {
  return directions_[{where.stream, where.side}];
}

void Streams::Write(const StreamDirection& where, absl::string_view bytes) {
  Direction& d = Of(where);
  d.written += bytes.size();
  // Only who dialled says what the stream is for.
  if (!d.started && where.side == 0 && !bytes.empty()) bytes.remove_prefix(1);
  d.started = true;
  if (d.broken || bytes.empty()) return;
  d.decoder.Push(Buffer::Copy(bytes));
  uint64_t begun = d.written - bytes.size();
  for (;;) {
    MessageView message;
    const absl::StatusOr<bool> got = d.decoder.Next(&message);
    d.broken = !got.ok();
    if (d.broken || !*got) return;
    const uint64_t end = d.written - d.decoder.bytes_left();
    const uint32_t number = written_(where, message, end - begun);
    begun = end;
    d.arrived.ends.emplace_back(end, number);
    d.read.ends.emplace_back(end, number);
  }
}

void Streams::Arrive(const StreamDirection& where, uint64_t n,
                     const ReachedFn& reached) {
  Of(where).arrived.Advance(n, reached);
}

void Streams::Read(const StreamDirection& where, uint64_t n,
                   const ReachedFn& reached) {
  Of(where).read.Advance(n, reached);
}

}  // namespace holdfast
