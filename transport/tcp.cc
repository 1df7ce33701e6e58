#include "transport/tcp.h"

#include <arpa/inet.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/types/span.h"
#include "engine/base/callback_scope.h"
#include "engine/base/check.h"
#include "engine/env/loop.h"

namespace holdfast {
namespace {

constexpr int kBacklog = 512;
constexpr Duration kAcceptPause = 100ms;
// Parts of one writev.
constexpr size_t kPartsMax = 256;
// A dead peer is noticed after 10 s + 3 * 5 s even on an idle stream.
constexpr int kKeepAliveIdle_s = 10;
constexpr int kKeepAliveInterval_s = 5;
constexpr int kKeepAliveProbes = 3;

absl::Status SocketError(int error, absl::string_view what) {
  return absl::UnavailableError(absl::StrCat(what, ": ", strerror(error)));
}

void Configure(int fd) {
  int one = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
  setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &kKeepAliveIdle_s, sizeof(int));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &kKeepAliveInterval_s,
             sizeof(int));
  setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &kKeepAliveProbes, sizeof(int));
}

std::string DescribeAddress(const sockaddr* address, socklen_t length) {
  char host[NI_MAXHOST];
  char port[NI_MAXSERV];
  if (getnameinfo(address, length, host, sizeof(host), port, sizeof(port),
                  NI_NUMERICHOST | NI_NUMERICSERV) != 0) {
    return "?";
  }
  bool v6 = address->sa_family == AF_INET6;
  return absl::StrCat(v6 ? "[" : "", host, v6 ? "]:" : ":", port);
}

std::string DescribePeer(int fd) {
  sockaddr_storage storage;
  socklen_t length = sizeof(storage);
  auto* address = reinterpret_cast<sockaddr*>(&storage);
  if (getpeername(fd, address, &length) != 0) return "?";
  return DescribeAddress(address, length);
}

class TcpConnection final : public Connection, public EventHandler {
 public:
  TcpConnection(EpollLoop* loop, int fd) : loop_(loop), fd_(fd) {
    Configure(fd_);
    peer_ = DescribePeer(fd_);
    loop_->Add(fd_, this);
  }
  ~TcpConnection() override {
    loop_->Remove(fd_, this);
    close(fd_);
  }

  void Read(size_t max, ResultFn<Buffer> done) override {
    CHECK(!read_done_);
    CHECK_GT(max, size_t{0});
    read_max_ = max;
    read_done_ = std::move(done);
    loop_->Post(scope_.Wrap([this] { TryRead(); }));
  }

  void Write(Buffers data, DoneFn done) override {
    CHECK(!write_done_);
    CHECK(!shut_down_);
    pending_ = std::move(data);
    write_done_ = std::move(done);
    // The bytes go at once, the completion later.
    absl::Status status = WriteSome();
    if (!status.ok() || pending_.empty()) FinishWriteLater(std::move(status));
  }

  void Shutdown(DoneFn done) override {
    CHECK(!write_done_);
    shut_down_ = true;
    absl::Status status;
    if (shutdown(fd_, SHUT_WR) != 0 && !aborted_) {
      status = SocketError(errno, "shutdown");
    }
    loop_->Post(scope_.Wrap(
        [done = std::move(done), status]() mutable { done(status); }));
  }

  void Abort() override {
    aborted_ = true;
    // The peer gets a reset, at once: a shutdown would look like a proper end.
    sockaddr nowhere{};
    nowhere.sa_family = AF_UNSPEC;
    connect(fd_, &nowhere, sizeof(nowhere));
    loop_->Post(scope_.Wrap([this] { OnEvents(EPOLLERR); }));
  }

  std::string Describe() const override { return peer_; }

  void OnEvents(uint32_t events) override {
    std::weak_ptr<int> alive = alive_;
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) != 0 && write_done_ &&
        !finishing_) {
      absl::Status status = WriteSome();
      if (!status.ok() || pending_.empty()) FinishWrite(std::move(status));
    }
    if (alive.expired()) return;
    if ((events & (EPOLLIN | EPOLLRDHUP | EPOLLERR | EPOLLHUP)) != 0) {
      TryRead();
    }
  }

 private:
  void TryRead() {
    if (!read_done_) return;
    absl::StatusOr<Buffer> got = ReadSome();
    if (absl::IsNotFound(got.status())) return;  // nothing there yet
    ResultFn<Buffer> done = std::move(read_done_);
    done(std::move(got));
  }

  // NOT_FOUND: would block.
  absl::StatusOr<Buffer> ReadSome() {
    if (aborted_) return absl::CancelledError("the connection was aborted");
    absl::Span<char> scratch = loop_->scratch();
    while (true) {
      ssize_t n =
          recv(fd_, scratch.data(), std::min(read_max_, scratch.size()), 0);
      if (n >= 0) {
        return Buffer::Copy(
            absl::string_view(scratch.data(), static_cast<size_t>(n)));
      }
      if (errno == EINTR) continue;
      if (errno == EAGAIN) return absl::NotFoundError("");
      return SocketError(errno, "receive");
    }
  }

  absl::Status WriteSome() {
    if (aborted_) return absl::CancelledError("the connection was aborted");
    while (!pending_.empty()) {
      iovec parts[kPartsMax];
      size_t count = 0;
      for (const Buffer& b : pending_) {
        if (count == kPartsMax) break;
        if (b.empty()) continue;
        parts[count++] = iovec{const_cast<char*>(b.data()), b.size()};
      }
      if (count == 0) {
        pending_.clear();
        break;
      }
      msghdr message{};
      message.msg_iov = parts;
      message.msg_iovlen = count;
      ssize_t n = sendmsg(fd_, &message, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && errno == EAGAIN) return absl::OkStatus();
      if (n < 0) return SocketError(errno, "send");
      DropFront(&pending_, static_cast<size_t>(n));
    }
    return absl::OkStatus();
  }

  void FinishWriteLater(absl::Status status) {
    finishing_ = true;
    loop_->Post(scope_.Wrap([this, status]() {
      finishing_ = false;
      FinishWrite(status);
    }));
  }

  void FinishWrite(absl::Status status) {
    pending_.clear();
    DoneFn done = std::move(write_done_);
    done(std::move(status));
  }

  EpollLoop* const loop_;
  const int fd_;
  std::string peer_;
  size_t read_max_ = 0;
  ResultFn<Buffer> read_done_;
  Buffers pending_;
  DoneFn write_done_;
  bool finishing_ = false;
  bool shut_down_ = false;
  bool aborted_ = false;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
  CallbackScope scope_;
};

class TcpListener final : public Listener, public EventHandler {
 public:
  TcpListener(EpollLoop* loop, int fd, AcceptFn accept)
      : loop_(loop), fd_(fd), accept_(std::move(accept)) {
    sockaddr_storage storage;
    socklen_t length = sizeof(storage);
    auto* address = reinterpret_cast<sockaddr*>(&storage);
    CHECK_EQ(getsockname(fd_, address, &length), 0);
    address_ = DescribeAddress(address, length);
    loop_->Add(fd_, this);
  }
  ~TcpListener() override {
    loop_->Remove(fd_, this);
    close(fd_);
  }

  Address address() const override { return address_; }

  void OnEvents(uint32_t) override {
    std::weak_ptr<int> alive = alive_;
    while (!alive.expired()) {
      int fd = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
      if (fd >= 0) {
        accept_(std::make_unique<TcpConnection>(loop_, fd));
        continue;
      }
      if (errno == EINTR || errno == ECONNABORTED) continue;
      if (errno == EAGAIN) return;
      // Out of descriptors or memory: the backlog waits.
      retry_ = loop_->After(kAcceptPause, [this] { OnEvents(EPOLLIN); });
      return;
    }
  }

 private:
  EpollLoop* const loop_;
  const int fd_;
  AcceptFn accept_;
  Address address_;
  Timer retry_;
  std::shared_ptr<int> alive_ = std::make_shared<int>(0);
};

struct Resolved {
  int error = 0;
  std::vector<sockaddr_storage> addresses;
};

// `flags` of getaddrinfo(3).
Resolved Resolve(const HostPort& target, int flags = 0) {
  Resolved resolved;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* list = nullptr;
  resolved.error = getaddrinfo(
      target.host.c_str(), absl::StrCat(target.port).c_str(), &hints, &list);
  for (addrinfo* a = list; resolved.error == 0 && a != nullptr;
       a = a->ai_next) {
    sockaddr_storage& storage = resolved.addresses.emplace_back();
    std::memcpy(&storage, a->ai_addr, a->ai_addrlen);
  }
  if (list != nullptr) freeaddrinfo(list);
  return resolved;
}

socklen_t LengthOf(const sockaddr_storage& address) {
  return address.ss_family == AF_INET6 ? sizeof(sockaddr_in6)
                                       : sizeof(sockaddr_in);
}

// One dial: resolves, then tries each address until one answers.
class TcpDial final : public PendingOp, public EventHandler {
 public:
  TcpDial(EpollLoop* loop, Worker* resolver, const Address& address,
          ConnectDone done)
      : loop_(loop), address_(address), done_(std::move(done)) {
    absl::StatusOr<HostPort> target = ParseAddress(address);
    if (!target.ok()) {
      FinishLater(target.status());
      return;
    }
    // An address needs no name server, and mustn't wait for one.
    if (Resolved here = Resolve(*target, AI_NUMERICHOST); here.error == 0) {
      loop_->Post(scope_.Wrap([this, here = std::move(here)]() mutable {
        OnResolved(std::move(here));
      }));
      return;
    }
    resolver->Run([inbox = loop_->inbox(), target = *target,
                   wanted = std::weak_ptr<int>(wanted_),
                   then = Then(scope_.Wrap([this](Resolved r) {
                     OnResolved(std::move(r));
                   }))]() mutable {
      // Others wait behind it, while a name server doesn't answer.
      if (wanted.expired()) return;
      inbox->Run(
          [resolved = Resolve(target), then = std::move(then)]() mutable {
            then(std::move(resolved));
          });
    });
  }
  ~TcpDial() override { CloseSocket(); }

  void OnEvents(uint32_t events) override {
    if (fd_ < 0 || (events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    int error = 0;
    socklen_t length = sizeof(error);
    getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
    if (error == 0) {
      sockaddr_storage peer;
      socklen_t size = sizeof(peer);
      if (getpeername(fd_, reinterpret_cast<sockaddr*>(&peer), &size) != 0) {
        return;  // not yet
      }
      return Connected();
    }
    CloseSocket();
    TryNext(error);
  }

 private:
  using Then = InlineFunction<void(Resolved)>;

  void OnResolved(Resolved resolved) {
    if (resolved.error != 0) {
      return Finish(absl::UnavailableError(absl::StrCat(
          address_,
          ": can't resolve the name: ", gai_strerror(resolved.error))));
    }
    addresses_ = std::move(resolved.addresses);
    TryNext(EHOSTUNREACH);
  }

  void TryNext(int last_error) {
    while (next_ < addresses_.size()) {
      const sockaddr_storage& address = addresses_[next_++];
      fd_ = socket(address.ss_family,
                   SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      if (fd_ < 0) {
        last_error = errno;
        continue;
      }
      int result = connect(fd_, reinterpret_cast<const sockaddr*>(&address),
                           LengthOf(address));
      if (result == 0) return Connected();
      if (errno == EINPROGRESS) {
        loop_->Add(fd_, this);
        watched_ = true;
        return;
      }
      last_error = errno;
      CloseSocket();
    }
    Finish(absl::UnavailableError(
        absl::StrCat(address_, ": ", strerror(last_error))));
  }

  void Connected() {
    if (watched_) loop_->Remove(fd_, this);
    watched_ = false;
    Finish(std::make_unique<TcpConnection>(loop_, std::exchange(fd_, -1)));
  }

  void CloseSocket() {
    if (fd_ < 0) return;
    if (std::exchange(watched_, false)) loop_->Remove(fd_, this);
    close(fd_);
    fd_ = -1;
  }

  void FinishLater(absl::Status status) {
    loop_->Post(scope_.Wrap([this, status] { Finish(status); }));
  }

  void Finish(absl::StatusOr<std::unique_ptr<Connection>> result) {
    ConnectDone done = std::move(done_);
    done(std::move(result));  // may destroy this
  }

  EpollLoop* const loop_;
  const Address address_;
  ConnectDone done_;
  std::vector<sockaddr_storage> addresses_;
  size_t next_ = 0;
  int fd_ = -1;
  bool watched_ = false;
  // Gone when this is.
  const std::shared_ptr<int> wanted_ = std::make_shared<int>(0);
  CallbackScope scope_;
};

}  // namespace

TcpNetwork::TcpNetwork(EpollLoop* loop)
    : loop_(loop), resolver_(Worker::Start()) {}

TcpNetwork::~TcpNetwork() { resolver_->Stop(); }

absl::StatusOr<std::unique_ptr<Listener>> TcpNetwork::Listen(
    const Address& address, AcceptFn accept) {
  absl::StatusOr<HostPort> target = ParseAddress(address);
  if (!target.ok()) return target.status();
  // At start, before anything is served: a name may be looked up here.
  Resolved resolved = Resolve(*target);
  if (resolved.error != 0 || resolved.addresses.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "listen on ", address,
        ": can't resolve the name: ", gai_strerror(resolved.error)));
  }
  const sockaddr_storage& bound = resolved.addresses.front();
  int fd =
      socket(bound.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return SocketError(errno, "socket");
  int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
  if (bind(fd, reinterpret_cast<const sockaddr*>(&bound), LengthOf(bound)) !=
          0 ||
      listen(fd, kBacklog) != 0) {
    int error = errno;
    close(fd);
    if (error == EADDRINUSE) {
      return absl::AlreadyExistsError(absl::StrCat(
          "listen on ", address,
          ": the port is in use; stop what has it, or choose another"));
    }
    return absl::InvalidArgumentError(
        absl::StrCat("listen on ", address, ": ", strerror(error)));
  }
  return std::make_unique<TcpListener>(loop_, fd, std::move(accept));
}

std::unique_ptr<PendingOp> TcpNetwork::Dial(const Address& address,
                                            ConnectDone done) {
  return std::make_unique<TcpDial>(loop_, resolver_.get(), address,
                                   std::move(done));
}

}  // namespace holdfast
