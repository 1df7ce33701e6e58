// Recovery over arbitrary bytes as files, and over a valid log with
// mutations: it ends, it yields one well-formed log or refuses, and a valid
// log's mutations never yield anything but a prefix of it, with all that stands
// before the first one. What it yields can be written to and recovered again.
// The same behind a checkpoint.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "engine/base/bytes.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/wal/testing/wal_run.h"
#include "engine/wal/wal.h"

namespace holdfast {
namespace {

void CheckWellFormed(LogPoint point, const std::vector<Entry>& log) {
  for (const Entry& entry : log) {
    CHECK(Continues(point, entry.header));
    CHECK_EQ(Crc32c(entry.payload.view()), entry.header.payload_crc);
    point = PointAfter(entry.header);
  }
}

// Appends, restarts, and expects both what was there and what came.
void UseFurther(WalRun* run) {
  std::vector<Entry> recovered = run->recovered();
  HardState state = run->wal().hard_state();
  if (state.term.value() > 1000) return;  // no room for a next one, perhaps
  run->SetHardStateAndAppend({state.term + 1, ServerId(1)}, {100, 0});
  run->RunUntilIdle();
  CHECK(run->all_persisted());
  std::vector<Entry> expected = run->log();
  WalRun after(*run, Everything);
  CHECK(after.Open().ok());
  CHECK(SameEntries(after.recovered(), expected));
  if (!expected.empty()) {
    auto first = after.Read(after.base().index + 1, 1);
    CHECK(first.ok());
  }
}

// Makes an intact frame of each place for one that begins with an even byte,
// each with the body that others of its bytes say.
void MakeFrames(const SegmentHeader& header, std::string* bytes) {
  uint32_t seed = FirstSeed(header);
  size_t at = 0;
  while (at + kLogFrameHeaderBytes <= bytes->size()) {
    char* const place = bytes->data() + at;
    if (static_cast<uint8_t>(place[0]) % 2 != 0) {
      at += kFrameAlignment;
      continue;
    }
    LogFrameHeader frame;
    frame.segment = header.id;
    frame.index = Index(static_cast<uint8_t>(place[16]));
    frame.synced_to = static_cast<uint8_t>(place[48]) * uint32_t{64};
    frame.body_size = static_cast<uint8_t>(place[52]);
    const absl::string_view body = absl::string_view(*bytes).substr(
        at + kLogFrameHeaderBytes, frame.body_size);
    // A frame that a log wrote says of its entry what that says itself.
    const absl::StatusOr<EntryHeader> entry = DecodeEntryHeader(body);
    if (entry.ok() && entry->index <= Index(UINT8_MAX)) {
      frame.index = entry->index;
      frame.term = entry->term;
    }
    frame.body_crc = ExtendCrc32c(seed, body);
    EncodeLogFrameHeader(frame, kSegmentHeaderBytes + at, place);
    seed = frame.body_crc;
    at += FrameBytes(frame.body_size);
  }
}

// The input: chunks of (file, length, bytes), as they are, but for segments'
// headers and those of their frames.
void ArbitraryFiles(uint64_t checkpoint, ByteReader r) {
  WalRun run;
  if (checkpoint > 0) {
    CHECK(run.Open().ok());  // makes the hard state that it needs
    run.SetCheckpoint(LogPoint{.index = Index(checkpoint)});
  }
  for (int file = 0; file < 4 && r.ok() && !r.rest().empty(); ++file) {
    uint8_t which = r.Int<uint8_t>();
    uint16_t length = r.Int<uint16_t>();
    std::string bytes(r.Bytes(std::min<size_t>(length, r.rest().size())));
    switch (which % 4) {
      case 0:
        run.disk().SetContents("hardstate-0", bytes);
        break;
      case 1:
        run.disk().SetContents("hardstate-1", bytes);
        break;
      default: {
        // With a header that is right, mostly, or it would end at once.
        SegmentHeader header;
        header.owner = Incarnation(WalRun::kOwner);
        header.id = which % 8;
        header.previous.index = Index(which / 64);
        std::string all(EncodeSegmentHeader(header).view());
        if (which % 3 == 0) all.assign(kSegmentHeaderBytes, '\0');
        MakeFrames(header, &bytes);
        run.disk().SetContents(SegmentName(header.id), all + bytes);
      }
    }
  }
  if (!run.Reopen().ok()) return;
  CheckWellFormed(run.checkpoint(), run.recovered());
  UseFurther(&run);
}

// The input: mutations (kind, file, position, value).
void MutatedLog(uint64_t checkpoint, ByteReader r) {
  WalRun run;
  CHECK(run.Open().ok());
  run.SetHardStateAndAppend({Term(1), ServerId(1)}, {0, 100, 3000});
  run.RunUntilIdle();
  run.Append(Term(1), {2000, 2000, 6000, 4000, 900});
  run.RunUntilIdle();
  run.SetHardState({Term(2), ServerId(3)});
  run.CutAndAppend(Index(6), Term(2), {10, 700});
  run.RunUntilIdle();
  run.Append(Term(2), {300, 500});
  while (!run.all_persisted()) run.RunTasks(1);
  std::vector<Entry> written = run.log();

  if (checkpoint > 0) {
    checkpoint = std::min<uint64_t>(checkpoint, written.size());
    run.SetCheckpoint(run.PointAt(Index(checkpoint)));
    written.erase(written.begin(),
                  written.begin() + static_cast<ptrdiff_t>(checkpoint));
  }
  WalRun after(run, Everything);
  std::vector<std::string> names = after.disk().Names();
  int mutations = 0;
  for (; mutations < 8 && r.ok() && !r.rest().empty(); ++mutations) {
    uint8_t kind = r.Int<uint8_t>();
    const std::string& name = names[r.Int<uint8_t>() % names.size()];
    uint32_t at = r.Int<uint16_t>();
    uint8_t value = r.Int<uint8_t>();
    std::string bytes = after.disk().Contents(name);
    if (bytes.empty()) continue;
    at %= bytes.size();
    size_t block = at / 512 * 512;
    switch (kind % 6) {
      case 0:
        bytes[at] = static_cast<char>(value);
        break;
      case 1:
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << value % 8));
        break;
      case 2:
        bytes.replace(block, 512, 512, '\0');
        break;
      case 3:
        bytes.replace(block, 512, bytes, value * size_t{512} % bytes.size(),
                      512);
        break;
      case 4:
        bytes.resize(at);
        break;
      default:
        bytes.append(at % 4096, static_cast<char>(value));
    }
    after.disk().SetContents(name, bytes);
  }
  const Index intact_to =
      IntactTo(run.disk(), after.disk(), run.checkpoint().index);
  absl::Status opened = after.Open();
  if (!opened.ok()) {
    CHECK(mutations > 0);
    CHECK(!opened.message().empty());
    return;
  }
  const std::vector<Entry>& found = after.recovered();
  // Of what was written in its whole life, or its last state.
  bool prefix = found.size() <= written.size();
  if (prefix) {
    std::vector<Entry> front(
        written.begin(),
        written.begin() + static_cast<ptrdiff_t>(found.size()));
    prefix = SameEntries(found, front);
  }
  CheckWellFormed(after.checkpoint(), found);
  CHECK_LE(intact_to, after.checkpoint().index + found.size());
  // Enough damage can bring back the suffix that was cut.
  CHECK(prefix || (checkpoint + found.size() <= 8 &&
                   found.back().header.term == Term(1)));
  UseFurther(&after);
}

}  // namespace
}  // namespace holdfast

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > (64 << 10)) return 0;
  holdfast::ByteReader r(
      absl::string_view(reinterpret_cast<const char*>(data), size));
  uint8_t how = r.Int<uint8_t>();
  uint64_t checkpoint = how / 2 % 16;
  if (how % 2 == 0) {
    holdfast::MutatedLog(checkpoint, r);
  } else {
    holdfast::ArbitraryFiles(checkpoint, r);
  }
  return 0;
}
