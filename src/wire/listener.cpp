// SPDX-License-Identifier: Apache-2.0
#include "listener.hpp"

#include <cerrno>
#include <system_error>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

#include "resolve.hpp"

namespace sluice::wire {
namespace {

absl::Status cannot_listen(const address& at, int error) {
    absl::StatusCode code = absl::StatusCode::kInvalidArgument;
    switch (error) {
    case EADDRINUSE: code = absl::StatusCode::kAlreadyExists; break;
    case EACCES:
    case EPERM: code = absl::StatusCode::kPermissionDenied; break;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM: code = absl::StatusCode::kResourceExhausted; break;
    default: break;
    }
    return absl::Status(code, fmt::format("cannot listen at {}: {}", at.text(),
                                          std::system_category().message(error)));
}

// \return a socket, or -1 with errno
int listen_at(const socket_address& to) noexcept {
    const int s =
        ::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
    if (s < 0) {
        return s;
    }
    const int yes = 1;
    (void)::setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (::bind(s, to.get(), to.size) != 0 || ::listen(s, SOMAXCONN) != 0) {
        const int error = errno;
        ::close(s);
        errno = error;
        return -1;
    }
    return s;
}

}  // namespace

listener::watch::watch(listener& l) noexcept
    : fd_watch(
          l.socket_, EPOLLIN,
          [](fd_watch& w, std::uint32_t) noexcept { static_cast<watch&>(w).self->accept_some(); }),
      self(&l) {}

listener::alarm::alarm(listener& l) noexcept
    : timer([](timer& t) noexcept {
          listener& self = *static_cast<alarm&>(t).self;
          if (!self.watch_again().ok()) {
              self.loop_.arm(t, self.loop_.now() + rest);
          }
      }),
      self(&l) {}

listener::listener(loop& on, int socket, address bound, acceptor accept)
    : loop_(on),
      socket_(socket),
      bound_(std::move(bound)),
      accept_(std::make_shared<acceptor>(std::move(accept))),
      watch_(*this),
      alarm_(*this) {}

listener::~listener() {
    if (gone_ != nullptr) {
        *gone_ = true;
    }
    loop_.disarm(alarm_);
    if (watching_) {
        loop_.unwatch(watch_);
    }
    ::close(socket_);
}

absl::StatusOr<std::unique_ptr<listener>> listener::listen(loop& on, const address& at,
                                                           acceptor accept) {
    absl::StatusOr<std::vector<socket_address>> found = resolve(at);
    if (!found.ok()) {
        return found.status();
    }
    int s = -1;
    for (std::size_t i = 0; i < found->size() && s < 0; ++i) {
        s = listen_at((*found)[i]);
    }
    if (s < 0) {
        return cannot_listen(at, errno);
    }
    address bound = at;
    socket_address got;
    if (::getsockname(s, got.get(), &got.size) == 0) {
        bound.port = got.port();
    }
    std::unique_ptr<listener> made(new listener(on, s, std::move(bound), std::move(accept)));
    if (absl::Status status = made->watch_again(); !status.ok()) {
        return status;
    }
    return made;
}

absl::Status listener::watch_again() {
    absl::Status status = loop_.watch(watch_);
    watching_ = status.ok();
    return status;
}

void listener::accept_some() {
    const std::shared_ptr<acceptor> accept = accept_;
    bool gone = false;
    gone_ = &gone;
    for (int i = 0; i < accept_budget; ++i) {
        const int s = ::accept4(socket_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (s >= 0) {
            (*accept)(s);
            if (gone) {
                return;
            }
        } else if (errno == EAGAIN || errno == EWOULDBLOCK) {
            break;
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM ||
                   errno == EBADF || errno == EINVAL) {
            // The peer stays in the backlog, so the socket stays readable: not to spin, look away.
            loop_.unwatch(watch_);
            watching_ = false;
            loop_.arm(alarm_, loop_.now() + rest);
            break;
        }
        // Else it is this one peer's error, or a signal.
    }
    gone_ = nullptr;
}

}  // namespace sluice::wire
