#ifndef HOLDFAST_TRANSPORT_OWNED_FD_H_
#define HOLDFAST_TRANSPORT_OWNED_FD_H_

#include <unistd.h>

#include <utility>

namespace holdfast {

// A file descriptor, closed with this.
class OwnedFd {
 public:
  OwnedFd() = default;
  explicit OwnedFd(int fd) : fd_(fd) {}
  OwnedFd(OwnedFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnedFd& operator=(OwnedFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~OwnedFd() {
    if (fd_ >= 0) close(fd_);
  }

  int get() const { return fd_; }

 private:
  int fd_ = -1;
};

}  // namespace holdfast

#endif  // HOLDFAST_TRANSPORT_OWNED_FD_H_
