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
  Push(&d, bytes);
  uint64_t begun = d.written - bytes.size();
  while (std::optional<WireText> message = Next(&d)) {
    const uint64_t end = d.written - BytesLeft(d);
    const uint32_t number = written_(where, *std::move(message), end - begun);
    begun = end;
    d.arrived.ends.emplace_back(end, number);
    d.read.ends.emplace_back(end, number);
  }
}

void Streams::Push(Direction* d, absl::string_view bytes) {
  if (tls_) {
    d->records.Push(bytes);
  } else {
    d->decoder.Push(Buffer::Copy(bytes));
  }
}

std::optional<WireText> Streams::Next(Direction* d) {
  if (tls_) {
    const std::optional<TlsRecord> record = d->records.Next();
    if (!record.has_value()) return std::nullopt;
    return Describe(*record);
  }
  MessageView message;
  const absl::StatusOr<bool> got = d->decoder.Next(&message);
  d->broken = !got.ok();
  if (d->broken || !*got) return std::nullopt;
  return Describe(message);
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
