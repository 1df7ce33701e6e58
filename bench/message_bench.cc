// What a message costs: batches, frames, streams, and a client's append with
// everything between its call and its outcome but a real server and network.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "benchmark/benchmark.h"
#include "engine/base/batch.h"
#include "engine/base/buffer.h"
#include "engine/base/check.h"
#include "engine/base/crc32c.h"
#include "engine/client/client.h"
#include "engine/client/fake_server.h"
#include "engine/peer/client.pb.h"
#include "engine/peer/message.h"
#include "engine/peer/message_stream.h"
#include "engine/peer/plaintext.h"
#include "engine/peer/testing/manual_loop.h"
#include "engine/peer/testing/memory_network.h"

namespace holdfast {
namespace {

constexpr size_t kReadBytes = 256 << 10;

void SetRates(benchmark::State& state, size_t bytes) {
  const auto n = static_cast<int64_t>(state.iterations());
  state.SetItemsProcessed(n);
  state.SetBytesProcessed(n * static_cast<int64_t>(bytes));
}

// One message as it lies in a stream.
std::string Encoded(size_t payload_bytes) {
  ManualLoop loop;
  MemoryNetwork network(&loop);
  auto [left, right] = network.Pair();
  MessageStream stream(&loop, std::move(left), {});
  const Buffer payload = Buffer::Zeroes(payload_bytes);
  OutMessage message;
  message.type = WireType::kAppend;
  message.header = "12345678";
  message.payload = absl::MakeConstSpan(&payload, 1);
  CHECK(stream.Send(message));
  std::string bytes;
  bool waiting = false;
  while (true) {
    if (!std::exchange(waiting, true)) {
      right->Read(kReadBytes, [&](absl::StatusOr<Buffer> got) {
        bytes.append(got->data(), got->size());
        waiting = false;
      });
    }
    loop.RunDue();
    if (waiting) return bytes;
  }
}

void BM_Crc32c(benchmark::State& state) {
  const std::string bytes(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) benchmark::DoNotOptimize(Crc32c(bytes));
  SetRates(state, bytes.size());
}
BENCHMARK(BM_Crc32c)->Arg(64)->Arg(1 << 10)->Arg(64 << 10)->Arg(1 << 20);

void BM_BatchBuild(benchmark::State& state) {
  const std::string value(static_cast<size_t>(state.range(0)), 'x');
  for (auto _ : state) {
    BatchBuilder builder(value.size() + kRecordHeaderBytes);
    CHECK(builder.Add(value).ok());
    benchmark::DoNotOptimize(builder.Finish(SessionId(1), Sequence(1)));
  }
  SetRates(state, value.size());
}
BENCHMARK(BM_BatchBuild)->Arg(128)->Arg(1 << 10)->Arg(64 << 10);

void BM_BatchParse(benchmark::State& state) {
  const std::string value(static_cast<size_t>(state.range(0)), 'x');
  BatchBuilder builder;
  CHECK(builder.Add(value).ok());
  const Buffer batch = builder.Finish(SessionId(1), Sequence(1));
  for (auto _ : state) {
    absl::StatusOr<BatchView> view = BatchView::Parse(batch);
    CHECK(view.ok());
    benchmark::DoNotOptimize(view);
  }
  SetRates(state, value.size());
}
BENCHMARK(BM_BatchParse)->Arg(128)->Arg(1 << 10)->Arg(64 << 10);

// Messages out of reads of up to 256 KiB.
void BM_Decode(benchmark::State& state) {
  const std::string one = Encoded(static_cast<size_t>(state.range(0)));
  std::string stream;
  do {
    stream += one;
  } while (stream.size() + one.size() <= kReadBytes);
  const Buffer bytes = Buffer::Copy(stream);
  MessageDecoder decoder;
  MessageView message;
  int64_t messages = 0;
  for (auto _ : state) {
    for (size_t at = 0; at < bytes.size(); at += kReadBytes) {
      decoder.Push(bytes.Slice(at, std::min(kReadBytes, bytes.size() - at)));
      while (*decoder.Next(&message)) ++messages;
    }
  }
  state.SetItemsProcessed(messages);
  state.SetBytesProcessed(messages * state.range(0));
}
BENCHMARK(BM_Decode)->Arg(0)->Arg(1 << 10)->Arg(64 << 10)->Arg(4 << 20);

// From Send to on_message over a connection in memory, 256 at a time.
void BM_Stream(benchmark::State& state) {
  ManualLoop loop;
  MemoryNetwork network(&loop);
  auto [left, right] = network.Pair();
  MessageStream from(&loop, std::move(left), {});
  MessageStream to(&loop, std::move(right), {});
  int64_t got = 0;
  MessageStream::Callbacks callbacks;
  callbacks.on_message = [&](const MessageView&) { ++got; };
  to.Start(std::move(callbacks));
  const Buffer payload = Buffer::Zeroes(static_cast<size_t>(state.range(0)));
  wire::Append header;
  const int burst = state.range(0) > (64 << 10) ? 4 : 256;
  for (auto _ : state) {
    for (int i = 0; i < burst; ++i) {
      header.set_request_id(static_cast<uint64_t>(got + i));
      CHECK(from.Send(WireType::kAppend, header,
                      absl::MakeConstSpan(&payload, 1),
                      MessagePriority::kBulk));
    }
    loop.RunDue();
  }
  state.SetItemsProcessed(got);
  state.SetBytesProcessed(got * state.range(0));
}
BENCHMARK(BM_Stream)->Arg(0)->Arg(1 << 10)->Arg(64 << 10)->Arg(1 << 20);

// Client and a scripted server together, 256 appends outstanding.
void BM_ClientAppend(benchmark::State& state) {
  ManualLoop loop;
  MemoryNetwork network(&loop);
  Plaintext security(&loop);
  Env env;
  env.loop = &loop;
  env.network = &network;
  env.security = &security;
  FakeLog log;
  log.leader = "s:1";
  FakeServer server(&loop, &network, &security, &log, "s:1");
  ClientOptions options;
  options.servers = {"s:1"};
  Client client(env, options);
  const std::string value(static_cast<size_t>(state.range(0)), 'x');
  int64_t done = 0;
  for (auto _ : state) {
    for (int i = 0; i < 256; ++i) {
      BatchBuilder batch(value.size() + kRecordHeaderBytes);
      CHECK(batch.Add(value).ok());
      CHECK(client
                .Append(std::move(batch), {},
                        [&done](const ClientOutcome& outcome) {
                          CHECK(outcome.kind ==
                                ClientOutcome::Kind::kCommitted);
                          ++done;
                        })
                .ok());
    }
    loop.RunDue();
    log.batches.clear();
  }
  state.SetItemsProcessed(done);
  state.SetBytesProcessed(done * state.range(0));
}
BENCHMARK(BM_ClientAppend)->Arg(128)->Arg(1 << 10)->Arg(64 << 10);

}  // namespace
}  // namespace holdfast

BENCHMARK_MAIN();
