// What a PosixDisk does about a directory that the kernel can't sync.

#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <memory>
#include <string>
#include <system_error>
#include <utility>

#include "absl/status/status.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "transport/epoll_loop.h"
#include "transport/posix_disk.h"

namespace holdfast {
namespace {

using testing::HasSubstr;

class PosixDirectoryTest : public testing::Test {
 protected:
  PosixDirectoryTest() {
    std::string pattern = testing::TempDir() + "/holdfast-directory.XXXXXX";
    directory_ = mkdtemp(pattern.data());
    OpenDisk();
  }
  ~PosixDirectoryTest() override {
    disk_ = nullptr;
    std::filesystem::remove_all(directory_);
  }
  void OpenDisk() {
    disk_ = nullptr;
    auto disk = PosixDisk::Open(&loop_, directory_, DiskBackend::kThreads);
    ASSERT_TRUE(disk.ok()) << disk.status();
    disk_ = *std::move(disk);
  }
  absl::Status SyncDir() {
    absl::Status result = absl::UnknownError("it never ended");
    disk_->SyncDir([&](absl::Status synced) {
      result = std::move(synced);
      loop_.Stop();
    });
    loop_.Run();
    return result;
  }
  // Of the directory, in this process; -1: there is none.
  int DescriptorOfDirectory() const {
    for (const auto& each :
         std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;  // the iterator's own, perhaps
      if (std::filesystem::read_symlink(each.path(), gone) == directory_) {
        return std::stoi(each.path().filename());
      }
    }
    return -1;
  }

  EpollLoop loop_;
  std::string directory_;
  std::unique_ptr<PosixDisk> disk_;
};

// The kernel says it once, whoever asks; the names that it couldn't write may
// be another one's.
TEST_F(PosixDirectoryTest, AFailedSyncIsFinal) {
  ASSERT_TRUE(SyncDir().ok());
  const int fd = DescriptorOfDirectory();
  ASSERT_GE(fd, 0);
  // In its place a pipe, which can't be synced.
  const int directory = dup(fd);
  int pipe_fds[2];
  ASSERT_EQ(pipe(pipe_fds), 0);
  ASSERT_EQ(dup2(pipe_fds[0], fd), fd);
  const absl::Status failed = SyncDir();
  EXPECT_THAT(std::string(failed.message()), HasSubstr("fsync directory"));
  ASSERT_EQ(dup2(directory, fd), fd);
  EXPECT_EQ(SyncDir(), failed);
  for (const int each : {directory, pipe_fds[0], pipe_fds[1]}) close(each);
  // But not for the next process.
  OpenDisk();
  EXPECT_TRUE(SyncDir().ok());
}

}  // namespace
}  // namespace holdfast
