// SPDX-License-Identifier: Apache-2.0
#include "connection.hpp"

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <fmt/format.h>

namespace sluice::wire {
namespace {

constexpr std::size_t keep_bytes = 64 * 1024;  // of an empty queue's memory

void set(int socket, int level, int name, int value) noexcept {
    // A socket that refuses one of these still works.
    (void)::setsockopt(socket, level, name, &value, sizeof value);
}

void tune(int socket) noexcept {
    set(socket, IPPROTO_TCP, TCP_NODELAY, 1);
    set(socket, SOL_SOCKET, SO_KEEPALIVE, 1);
    set(socket, IPPROTO_TCP, TCP_KEEPIDLE, 10);
    set(socket, IPPROTO_TCP, TCP_KEEPINTVL, 3);
    set(socket, IPPROTO_TCP, TCP_KEEPCNT, 3);
    set(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, 15'000);
}

bool would_block(int error) noexcept { return error == EAGAIN || error == EWOULDBLOCK; }

}  // namespace

connection::watch::watch(connection& c, std::uint32_t events) noexcept
    : fd_watch(
          c.socket_, events,
          [](fd_watch& w, std::uint32_t now) noexcept { static_cast<watch&>(w).self->ready(now); }),
      self(&c) {}

connection::alarm::alarm(connection& c) noexcept
    : timer([](timer& t) noexcept { static_cast<alarm&>(t).self->timed(); }), self(&c) {}

connection::connection(loop& on, int socket, owner& who, state first)
    : loop_(on), owner_(&who), state_(first), socket_(socket), alarm_(*this) {}

connection::~connection() {
    if (gone_ != nullptr) {
        *gone_ = true;
    }
    loop_.disarm(alarm_);
    drop_socket();
}

absl::StatusOr<std::unique_ptr<connection>> connection::connect(loop& on, const address& to,
                                                                owner& who) {
    absl::StatusOr<std::vector<socket_address>> found = resolve(to);
    if (!found.ok()) {
        return found.status();
    }
    std::unique_ptr<connection> made(new connection(on, -1, who, state::connecting));
    made->peer_ = to.text().substr(6);  // behind tcp://
    made->addresses_ = *std::move(found);
    made->try_next_address();
    return made;
}

absl::StatusOr<std::unique_ptr<connection>> connection::adopt(loop& on, int socket, owner& who) {
    std::unique_ptr<connection> made(new connection(on, socket, who, state::open));
    socket_address other;
    if (::getpeername(socket, other.get(), &other.size) != 0) {
        return absl::InvalidArgumentError("connection: the socket is not connected");
    }
    made->peer_ = other.text();
    const int flags = ::fcntl(socket, F_GETFL);
    if (::fcntl(socket, F_SETFL, flags | O_NONBLOCK) != 0 ||
        ::fcntl(socket, F_SETFD, FD_CLOEXEC) != 0) {
        return absl::InvalidArgumentError("connection: the descriptor is no socket");
    }
    tune(socket);
    if (!made->watch_for(EPOLLIN)) {
        return made->why_;
    }
    return made;
}

void connection::close_when_sent() {
    if (state_ == state::open) {
        finish(absl::OkStatus());
    } else if (state_ == state::connecting || state_ == state::broken) {
        fail_soon(state::failing, absl::OkStatus());
    }
}

// Tries the addresses in turn until one is under way.
void connection::try_next_address() {
    loop_.disarm(alarm_);
    while (next_address_ < addresses_.size()) {
        const socket_address& to = addresses_[next_address_++];
        socket_ =
            ::socket(to.storage.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_TCP);
        if (socket_ >= 0) {
            tune(socket_);
            const int done = ::connect(socket_, to.get(), to.size);
            if (done != 0 && errno != EINPROGRESS) {
                why_ = unavailable("connect to", errno);
            } else if (watch_for(EPOLLOUT)) {
                if (next_address_ < addresses_.size()) {
                    loop_.arm(alarm_, loop_.now() + next_address_after);
                }
                return;
            }
            drop_socket();
        } else {
            why_ = unavailable("make a socket for", errno);
        }
    }
    fail_soon(state::failing, std::move(why_));
}

void connection::connected() {
    int error = 0;
    socklen_t size = sizeof error;
    if (::getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size) != 0) {
        error = errno;
    }
    if (error != 0) {
        why_ = unavailable("connect to", error);
        drop_socket();
        try_next_address();
        return;
    }
    loop_.disarm(alarm_);
    addresses_.clear();
    state_ = state::open;
    if (!watch_for(EPOLLIN)) {
        fail_soon(state::failing, std::move(why_));
        return;
    }
    bool gone = false;
    gone_ = &gone;
    owner_->on_connected(*this);
    if (!gone) {
        gone_ = nullptr;
        flush();
    }
}

// Calls back, and may find itself destroyed: the last that is done wherever it is called.
void connection::ready(std::uint32_t events) {
    if (state_ == state::connecting) {
        connected();
        return;
    }
    if ((events & EPOLLOUT) != 0) {
        write();
    }
    if ((events & ~static_cast<std::uint32_t>(EPOLLOUT)) != 0 && socket_ >= 0) {
        read();
    }
}

void connection::timed() {
    switch (state_) {
    case state::connecting:
        why_ = unavailable("connect to", ETIMEDOUT);
        drop_socket();
        try_next_address();
        return;
    case state::broken: {
        // What the other end said last may tell why it went.
        bool gone = false;
        gone_ = &gone;
        read();
        if (gone) {
            return;
        }
        gone_ = nullptr;
        if (state_ != state::closed) {
            close(std::move(why_));
        }
        return;
    }
    case state::finishing:
    case state::failing: close(std::move(why_)); return;
    case state::open:
    case state::closed: return;
    }
}

// GCC 12 takes `gone_` for dangling where it is not reset: there the connection itself is gone.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdangling-pointer"
#endif
void connection::read() {
    bool gone = false;
    bool* const outer = std::exchange(gone_, &gone);
    const auto leave = [&] {
        if (gone) {
            if (outer != nullptr) {
                *outer = true;
            }
        } else {
            gone_ = outer;
        }
    };
    std::size_t budget = read_budget_bytes;
    while (budget > 0) {
        const std::span<std::byte> room = reader_.room();
        const ssize_t n = ::recv(socket_, room.data(), std::min(room.size(), budget), 0);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0 && would_block(errno)) {
            break;
        }
        if (n <= 0) {
            // Who ends by himself has a reason already.
            close(state_ != state::open ? std::move(why_)
                  : n < 0               ? unavailable("read from", errno)
                                        : absl::UnavailableError(peer_ + " has closed"));
            break;
        }
        const auto got = static_cast<std::size_t>(n);
        budget -= got;
        if (state_ == state::open || state_ == state::broken) {
            reader_.wrote(got);
            deliver();
        }
        if (gone || socket_ < 0 || got < room.size()) {
            break;
        }
    }
    leave();
}
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif

// Only from `read`, which has a flag for being destroyed.
void connection::deliver() {
    bool* const gone = gone_;
    corked_ = true;
    while (state_ == state::open || state_ == state::broken) {
        absl::StatusOr<std::optional<frame>> next = reader_.next();
        if (!next.ok()) {
            finish(next.status());
            in_malformed_ = true;
            owner_->on_malformed(*this, next.status());
            if (*gone) {
                return;
            }
            in_malformed_ = false;
            break;
        }
        if (!next->has_value()) {
            break;
        }
        owner_->on_frame(*this, **next);
        if (*gone) {
            return;
        }
    }
    corked_ = false;
    flush();
}

void connection::flush() {
    const bool waits = watch_ && (watch_->events() & EPOLLOUT) != 0;
    if ((state_ == state::open || state_ == state::finishing) && !corked_ && !waits) {
        write();
    }
    if (out_.size() - sent_ > max_queued_bytes) {
        fail_soon(state::failing,
                  absl::ResourceExhaustedError(fmt::format(
                      "{} does not read: more than {} bytes are queued", peer_, max_queued_bytes)));
    }
}

// Sends what the socket takes; asks to be told when it takes more.
void connection::write() {
    while (sent_ < out_.size()) {
        const ssize_t n = ::send(socket_, out_.data() + sent_, out_.size() - sent_, MSG_NOSIGNAL);
        if (n >= 0) {
            sent_ += static_cast<std::size_t>(n);
            continue;
        }
        if (errno == EINTR) {
            continue;
        }
        if (!would_block(errno) && errno != ENOBUFS && errno != ENOMEM) {
            const state next = state_ == state::finishing ? state::failing : state::broken;
            fail_soon(next,
                      next == state::failing ? std::move(why_) : unavailable("write to", errno));
            return;
        }
        // Sent bytes go when they are the greater part, so that moving the rest costs no more.
        if (sent_ > out_.size() / 2) {
            out_.erase(out_.begin(), out_.begin() + static_cast<std::ptrdiff_t>(sent_));
            sent_ = 0;
        }
        if (!watch_for(EPOLLIN | EPOLLOUT)) {
            fail_soon(state::failing, std::move(why_));
        }
        return;
    }
    sent_ = 0;
    out_.clear();
    if (out_.capacity() > keep_bytes) {
        out_ = {};
    }
    if (!watch_for(EPOLLIN)) {
        fail_soon(state::failing, std::move(why_));
    } else if (state_ == state::finishing) {
        // Closing with bytes unread would make the other end lose what it has not read yet.
        ::shutdown(socket_, SHUT_WR);
    }
}

void connection::finish(absl::Status why) {
    why_ = std::move(why);
    state_ = state::finishing;
    loop_.arm(alarm_, loop_.now() + close_after);
    flush();
}

void connection::fail_soon(state next, absl::Status why) {
    why_ = std::move(why);
    state_ = next;
    out_.clear();
    sent_ = 0;
    loop_.arm(alarm_, loop_.now());
}

// Nothing may be touched behind it.
void connection::close(absl::Status why) {
    loop_.disarm(alarm_);
    drop_socket();
    state_ = state::closed;
    out_ = {};
    sent_ = 0;
    owner_->on_closed(*this, std::move(why));
}

bool connection::watch_for(std::uint32_t events) {
    if (watch_ && watch_->events() == events) {
        return true;
    }
    if (watch_) {
        loop_.unwatch(*watch_);
    }
    watch_.emplace(*this, events);
    if (absl::Status status = loop_.watch(*watch_); !status.ok()) {
        watch_.reset();
        why_ = std::move(status);
        return false;
    }
    return true;
}

void connection::drop_socket() noexcept {
    if (watch_) {
        loop_.unwatch(*watch_);
        watch_.reset();
    }
    if (socket_ >= 0) {
        ::close(std::exchange(socket_, -1));
    }
}

absl::Status connection::unavailable(std::string_view what, int error) const {
    return absl::UnavailableError(
        fmt::format("cannot {} {}: {}", what, peer_, std::system_category().message(error)));
}

}  // namespace sluice::wire
