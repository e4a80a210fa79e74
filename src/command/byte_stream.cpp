// SPDX-License-Identifier: Apache-2.0
#include "byte_stream.hpp"

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fmt/format.h>

#include <sluice/coro/event.hpp>

namespace sluice::command {
namespace {

absl::Status file_error(const std::string& name, int error) {
    const auto code = error == ENOENT || error == ENOTDIR ? absl::StatusCode::kNotFound
                      : error == EACCES || error == EPERM ? absl::StatusCode::kPermissionDenied
                      : error == EISDIR                   ? absl::StatusCode::kInvalidArgument
                                                          : absl::StatusCode::kUnavailable;
    return absl::Status(code, fmt::format("{}: {}", name, std::system_category().message(error)));
}

/// Wakes a coroutine when a descriptor is ready.
class ready_watch : fd_watch {
 public:
    ready_watch(loop& home, int fd, std::uint32_t events) noexcept
        : fd_watch(fd, events,
                   [](fd_watch& w, std::uint32_t) noexcept {
                       static_cast<ready_watch&>(w).ready_.set();
                   }),
          home_(home),
          ready_(home) {}

    task<void> wait() {
        // What cannot be watched is a file: it is always ready.
        if (home_.watch(*this).ok()) {
            co_await ready_;
            home_.unwatch(*this);
        }
    }

 private:
    loop& home_;
    event ready_;
};

bool is_ready_now(int fd, short events) noexcept {
    pollfd p{fd, events, 0};
    return ::poll(&p, 1, 0) != 0;  // on an error too: the call itself will say it
}

}  // namespace

owned_fd& owned_fd::operator=(owned_fd&& other) noexcept {
    owned_fd old(std::exchange(fd_, other.release()));
    return *this;
}

owned_fd::~owned_fd() {
    if (fd_ > STDERR_FILENO) {
        ::close(fd_);
    }
}

int owned_fd::release() noexcept { return std::exchange(fd_, -1); }

absl::StatusOr<byte_source> byte_source::open(const std::string& path) {
    const bool standard = path == "-";
    owned_fd fd(standard ? STDIN_FILENO : ::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    const std::string name = standard ? "standard input" : path;
    struct stat about {};
    if (fd.get() < 0 || ::fstat(fd.get(), &about) != 0) {
        return file_error(name, errno);
    }
    if (S_ISDIR(about.st_mode)) {
        return file_error(name, EISDIR);
    }
    byte_source out(std::move(fd), name);
    if (S_ISREG(about.st_mode) && !standard) {
        out.size_ = static_cast<std::uint64_t>(about.st_size);
    }
    return out;
}

absl::Status byte_source::rewind() {
    return ::lseek(fd_.get(), 0, SEEK_SET) == 0 ? absl::OkStatus() : failed(errno);
}

absl::Status byte_source::failed(int error) const { return file_error(name_, error); }

task<absl::StatusOr<std::size_t>> byte_source::read(loop& home, std::span<std::byte> into) {
    std::size_t got = 0;
    while (got < into.size()) {
        if (!size_.has_value() && !is_ready_now(fd_.get(), POLLIN)) {
            ready_watch watch(home, fd_.get(), EPOLLIN);
            co_await watch.wait();
        }
        const ssize_t n = ::read(fd_.get(), into.data() + got, into.size() - got);
        if (n < 0 && errno != EINTR) {
            co_return failed(errno);
        }
        if (n == 0) {
            break;
        }
        got += n > 0 ? static_cast<std::size_t>(n) : 0;
    }
    co_return got;
}

absl::StatusOr<std::size_t> byte_source::read_blocking(std::span<std::byte> into) {
    std::size_t got = 0;
    while (got < into.size()) {
        const ssize_t n = ::read(fd_.get(), into.data() + got, into.size() - got);
        if (n < 0 && errno != EINTR) {
            return failed(errno);
        }
        if (n == 0) {
            break;
        }
        got += n > 0 ? static_cast<std::size_t>(n) : 0;
    }
    return got;
}

absl::StatusOr<byte_sink> byte_sink::open(const std::string& path) {
    if (path.empty()) {
        return byte_sink(owned_fd(), path);
    }
    struct stat about {};
    const bool standard = path == "-";
    const int known = standard ? ::fstat(STDOUT_FILENO, &about) : ::stat(path.c_str(), &about);
    if (known == 0 && S_ISDIR(about.st_mode)) {
        return file_error(path, EISDIR);
    }
    const bool as_it_is = standard || (known == 0 && !S_ISREG(about.st_mode));
    byte_sink out(owned_fd(), standard ? "standard output" : path);
    if (standard) {
        out.fd_ = owned_fd(STDOUT_FILENO);
    } else if (as_it_is) {
        out.fd_ = owned_fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
    } else {
        const std::string part = path + ".part";
        out.fd_ = owned_fd(::open(part.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));
        if (out.fd_.get() >= 0) {
            out.part_ = part;
        }
    }
    if (out.fd_.get() < 0) {
        return file_error(path, errno);
    }
    out.is_pipe_ = as_it_is && known == 0 &&
                   (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode) || S_ISCHR(about.st_mode));
    return out;
}

byte_sink::byte_sink(byte_sink&& other) noexcept
    : fd_(std::move(other.fd_)),
      path_(std::move(other.path_)),
      part_(std::exchange(other.part_, {})),
      is_pipe_(other.is_pipe_) {}

byte_sink::~byte_sink() {
    if (!part_.empty()) {
        ::unlink(part_.c_str());
    }
}

absl::Status byte_sink::failed(int error) const { return file_error(path_, error); }

task<absl::Status> byte_sink::write(loop& home, std::span<const std::byte> bytes) {
    while (fd_.get() >= 0 && !bytes.empty()) {
        std::size_t piece = bytes.size();
        if (is_pipe_) {
            if (!is_ready_now(fd_.get(), POLLOUT)) {
                ready_watch watch(home, fd_.get(), EPOLLOUT);
                co_await watch.wait();
            }
            piece = std::min<std::size_t>(piece, PIPE_BUF);  // so much never blocks then
        }
        const ssize_t n = ::write(fd_.get(), bytes.data(), piece);
        if (n < 0 && errno != EINTR) {
            co_return failed(errno);
        }
        bytes = bytes.subspan(n > 0 ? static_cast<std::size_t>(n) : 0);
    }
    co_return absl::OkStatus();
}

absl::Status byte_sink::commit() {
    if (part_.empty()) {
        return absl::OkStatus();
    }
    // Closing is where a full disk is noticed.
    if (::close(fd_.release()) != 0 || std::rename(part_.c_str(), path_.c_str()) != 0) {
        return failed(errno);
    }
    part_.clear();
    return absl::OkStatus();
}

}  // namespace sluice::command
