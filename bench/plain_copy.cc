// A plain copy of a log's bytes to another process, over the connection that
// servers have between them (TLS over TCP) and the same files: nothing but
// reading, sending, writing and syncing. For catch_up.sh, to compare with.
//
//   plain_copy receive DIR CERTS SERVER-ID HOST:PORT
//   plain_copy send DIR CERTS SERVER-ID HOST:PORT MIB
//
// `send` prints the seconds from the dial until the receiver has synced it all.
// Both then print "cpu" and the seconds of it that they took.

#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "engine/base/check.h"
#include "transport/certs.h"
#include "transport/posix_disk.h"
#include "transport/tcp.h"
#include "transport/tls.h"

namespace holdfast {
namespace {

constexpr uint64_t kFileBytes = 64 << 20;  // as a segment
// Of one read of a file, and of one write.
constexpr uint64_t kPieceBytes = 1 << 20;
// That are read ahead, or being written.
constexpr size_t kPiecesMax = 4;

void Check(const absl::Status& status) {
  if (status.ok()) return;
  std::fprintf(stderr, "plain_copy: %s\n", status.ToString().c_str());
  std::exit(1);
}

void PrintCpu() {
  rusage used;
  CHECK(getrusage(RUSAGE_SELF, &used) == 0);
  auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  std::printf("cpu %.3f\n", seconds(used.ru_utime) + seconds(used.ru_stime));
}

struct World {
  World(const std::string& certs, uint64_t id) {
    absl::StatusOr<TlsCredentials> credentials =
        LoadServer(certs, ServerId(id));
    Check(credentials.status());
    absl::StatusOr<std::unique_ptr<TlsSecurity>> made =
        TlsSecurity::Create(&loop, *credentials);
    Check(made.status());
    security = *std::move(made);
  }

  EpollLoop loop;
  TcpNetwork network{&loop};
  std::unique_ptr<TlsSecurity> security;
};

// Reads the files of a directory, one behind the other, and sends them.
class Sender {
 public:
  Sender(World* world, const std::string& directory, uint64_t bytes)
      : world_(world), left_(bytes) {
    absl::StatusOr<std::unique_ptr<PosixDisk>> disk =
        PosixDisk::Open(&world_->loop, directory);
    Check(disk.status());
    disk_ = *std::move(disk);
  }

  void Run(const Address& to) {
    disk_->List([this](absl::StatusOr<std::vector<FileInfo>> files) {
      Check(files.status());
      for (const FileInfo& file : *files) {
        if (!absl::EndsWith(file.name, ".segment")) continue;
        disk_->Open(file.name, OpenMode::kExisting,
                    [this](absl::StatusOr<std::unique_ptr<File>> opened) {
                      Check(opened.status());
                      files_.push_back(*std::move(opened));
                    });
      }
      disk_->SyncDir([this](absl::Status) { world_->loop.Stop(); });
    });
    world_->loop.Run();
    started_ = std::chrono::steady_clock::now();
    dial_ = world_->network.Dial(
        to, [this](absl::StatusOr<std::unique_ptr<Connection>> raw) {
          Check(raw.status());
          handshake_ = world_->security->Connect(
              *std::move(raw), Buffer(), "",
              [this](absl::StatusOr<SecuredConnection> secured) {
                Check(secured.status());
                connection_ = std::move(secured->connection);
                ReadAhead();
              });
        });
    world_->loop.Run();
  }

 private:
  void ReadAhead() {
    if (left_ == 0 || pieces_.size() + (reading_ ? 1 : 0) >= kPiecesMax ||
        reading_) {
      return;
    }
    if (at_ == files_.front()->size()) {
      files_.pop_front();
      at_ = 0;
      CHECK(!files_.empty());
    }
    reading_ = true;
    const uint64_t n =
        std::min({left_, kPieceBytes, uint64_t{files_.front()->size()} - at_});
    files_.front()->Read(at_, n, [this, n](absl::StatusOr<Buffer> piece) {
      Check(piece.status());
      CHECK_EQ(piece->size(), n);
      reading_ = false;
      at_ += n;
      left_ -= n;
      pieces_.push_back(*std::move(piece));
      Send();
      ReadAhead();
    });
  }

  void Send() {
    if (sending_ || pieces_.empty()) return;
    sending_ = true;
    Buffers data{std::move(pieces_.front())};
    pieces_.pop_front();
    connection_->Write(std::move(data), [this](absl::Status sent) {
      Check(sent);
      sending_ = false;
      if (left_ == 0 && pieces_.empty()) return Finish();
      Send();
      ReadAhead();
    });
  }

  void Finish() {
    connection_->Shutdown([](absl::Status status) { Check(status); });
    connection_->Read(1, [this](absl::StatusOr<Buffer> end) {
      Check(end.status());
      CHECK(end->empty());
      const std::chrono::duration<double> took =
          std::chrono::steady_clock::now() - started_;
      std::printf("%.3f\n", took.count());
      world_->loop.Stop();
    });
  }

  World* const world_;
  std::unique_ptr<PosixDisk> disk_;
  std::deque<std::unique_ptr<File>> files_;
  uint64_t at_ = 0;  // of the first file
  uint64_t left_;
  bool reading_ = false;
  bool sending_ = false;
  std::deque<Buffer> pieces_;
  std::chrono::steady_clock::time_point started_;
  std::unique_ptr<PendingOp> dial_;
  std::unique_ptr<PendingOp> handshake_;
  std::unique_ptr<Connection> connection_;
};

// Writes what comes from one connection to files, and syncs each at its end.
class Receiver {
 public:
  Receiver(World* world, const std::string& directory) : world_(world) {
    absl::StatusOr<std::unique_ptr<PosixDisk>> disk =
        PosixDisk::Open(&world_->loop, directory);
    Check(disk.status());
    disk_ = *std::move(disk);
  }

  void Run(const Address& listen) {
    absl::StatusOr<std::unique_ptr<Listener>> listener =
        world_->network.Listen(listen, [this](std::unique_ptr<Connection> raw) {
          handshake_ = world_->security->Accept(
              std::move(raw),
              [this](absl::StatusOr<SecuredConnection> secured) {
                Check(secured.status());
                connection_ = std::move(secured->connection);
                NextFile();
              });
        });
    Check(listener.status());
    std::printf("listening\n");
    std::fflush(stdout);
    world_->loop.Run();
  }

 private:
  void NextFile() {
    disk_->Open(absl::StrCat("part", files_.size()), OpenMode::kCreateNew,
                [this](absl::StatusOr<std::unique_ptr<File>> opened) {
                  Check(opened.status());
                  files_.push_back(*std::move(opened));
                  at_ = 0;
                  Read();
                });
  }

  void Read() {
    if (reading_ || finishing_ || writing_ >= kPiecesMax) return;
    reading_ = true;
    connection_->Read(std::min(kPieceBytes - gathered_bytes_,
                               kFileBytes - at_ - gathered_bytes_),
                      [this](absl::StatusOr<Buffer> bytes) {
                        Check(bytes.status());
                        reading_ = false;
                        finishing_ = bytes->empty();
                        gathered_bytes_ += bytes->size();
                        gathered_.push_back(*std::move(bytes));
                        if (finishing_ || gathered_bytes_ == kPieceBytes)
                          Write();
                        if (at_ < kFileBytes) Read();
                      });
  }

  void Write() {
    ++writing_;
    files_.back()->Write(at_, std::exchange(gathered_, {}),
                         [this](absl::Status written) {
                           Check(written);
                           --writing_;
                           if (at_ < kFileBytes) Read();
                         });
    at_ += std::exchange(gathered_bytes_, 0);
    if (finishing_ || at_ == kFileBytes) Sync();
    if (at_ == kFileBytes && !finishing_) NextFile();
  }

  void Sync() {
    ++syncing_;
    files_.back()->Sync([this](absl::Status synced) {
      Check(synced);
      if (--syncing_ == 0 && finishing_) Answer();
    });
  }

  void Answer() {
    disk_->SyncDir([this](absl::Status synced) {
      Check(synced);
      connection_->Shutdown([this](absl::Status) { world_->loop.Stop(); });
    });
  }

  World* const world_;
  std::unique_ptr<PosixDisk> disk_;
  std::vector<std::unique_ptr<File>> files_;
  uint64_t at_ = 0;  // of the last file
  Buffers gathered_;
  uint64_t gathered_bytes_ = 0;
  bool reading_ = false;
  bool finishing_ = false;
  size_t writing_ = 0;
  size_t syncing_ = 0;
  std::unique_ptr<PendingOp> handshake_;
  std::unique_ptr<Connection> connection_;
};

}  // namespace
}  // namespace holdfast

int main(int argc, char** argv) {
  const absl::string_view what = argc > 1 ? argv[1] : "";
  if (what == "receive" && argc == 6) {
    holdfast::World world(argv[3], std::strtoull(argv[4], nullptr, 10));
    holdfast::Receiver(&world, argv[2]).Run(argv[5]);
    holdfast::PrintCpu();
    return 0;
  }
  if (what == "send" && argc == 7) {
    holdfast::World world(argv[3], std::strtoull(argv[4], nullptr, 10));
    holdfast::Sender(&world, argv[2], std::strtoull(argv[6], nullptr, 10) << 20)
        .Run(argv[5]);
    holdfast::PrintCpu();
    return 0;
  }
  std::fprintf(stderr,
               "usage: plain_copy receive DIR CERTS SERVER-ID HOST:PORT\n"
               "       plain_copy send DIR CERTS SERVER-ID HOST:PORT MIB\n");
  return 2;
}
