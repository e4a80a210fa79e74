// SPDX-License-Identifier: Apache-2.0
#include "http_server.hpp"

#include <array>
#include <cerrno>
#include <optional>
#include <utility>

#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fmt/format.h>

namespace sluice::node {
namespace {

std::string_view reason_of(int code) noexcept {
    switch (code) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 431: return "Request Header Fields Too Large";
    default: return "Service Unavailable";
    }
}

http_answer plain(int code) { return {code, "text/plain; charset=utf-8", {}}; }

std::string response(const http_answer& a, bool with_body) {
    std::string body = a.body;
    if (a.code != 200 && body.empty()) {
        body = fmt::format("{}\n", reason_of(a.code));
    }
    std::string out = fmt::format(
        "HTTP/1.1 {} {}\r\nContent-Type: {}\r\nContent-Length: {}\r\nConnection: close\r\n", a.code,
        reason_of(a.code), a.type, body.size());
    if (a.code == 405) {
        out += "Allow: GET, HEAD\r\n";
    }
    out += "\r\n";
    return with_body ? out + body : out;
}

}  // namespace

// One connection: reads a request, writes the answer, waits until the other end has it, closes.
class http_server::visit {
 public:
    visit(http_server& s, int socket) : server_(s), socket_(socket), alarm_(*this) {}
    visit(const visit&) = delete;
    visit& operator=(const visit&) = delete;
    ~visit() {
        server_.loop_.disarm(alarm_);
        if (watch_) {
            server_.loop_.unwatch(*watch_);
        }
        ::close(socket_);
    }

    [[nodiscard]] bool start() {
        server_.loop_.arm(alarm_, saturating_add(server_.loop_.now(), time_limit));
        return watch_for(EPOLLIN);
    }

 private:
    struct watch : fd_watch {
        watch(visit& v, std::uint32_t events) noexcept
            : fd_watch(v.socket_, events,
                       [](fd_watch& w, std::uint32_t) noexcept {
                           visit& self = *static_cast<watch&>(w).self;
                           if (!self.go_on()) {
                               self.end();
                           }
                       }),
              self(&v) {}
        visit* self;
    };
    struct alarm : timer {
        explicit alarm(visit& v) noexcept
            : timer([](timer& t) noexcept { static_cast<alarm&>(t).self->end(); }), self(&v) {}
        visit* self;
    };

    void end() {
        server_.visits_.remove_if([this](const visit& v) { return &v == this; });
    }

    [[nodiscard]] bool watch_for(std::uint32_t events) {
        if (watch_ && watch_->events() == events) {
            return true;
        }
        if (watch_) {
            server_.loop_.unwatch(*watch_);
        }
        watch_.emplace(*this, events);
        if (!server_.loop_.watch(*watch_).ok()) {
            watch_.reset();
            return false;
        }
        return true;
    }

    // \return false: it is over
    [[nodiscard]] bool go_on() {
        if (answer_.empty() && !read()) {
            return false;
        }
        if (answer_.empty()) {
            return true;
        }
        return sent_ < answer_.size() ? write() : wait_for_end();
    }

    [[nodiscard]] bool read() {
        std::array<char, 2048> part;
        const ssize_t n = ::recv(socket_, part.data(), part.size(), 0);
        if (n <= 0) {
            return n < 0 && (errno == EAGAIN || errno == EINTR);
        }
        request_.append(part.data(), static_cast<std::size_t>(n));
        if (request_.find("\r\n\r\n") != std::string::npos ||
            request_.find("\n\n") != std::string::npos) {
            answer_ = answer();
        } else if (request_.size() >= max_request_bytes) {
            answer_ = response(plain(431), true);
        }
        return true;
    }

    [[nodiscard]] std::string answer() const {
        const std::string_view line =
            std::string_view(request_).substr(0, request_.find_first_of("\r\n"));
        const std::size_t first = line.find(' ');
        const std::size_t last = line.rfind(' ');
        if (first == std::string_view::npos || last == first ||
            line.substr(last + 1, 7) != "HTTP/1.") {
            return response(plain(400), true);
        }
        const std::string_view method = line.substr(0, first);
        const std::string_view target = line.substr(first + 1, last - first - 1);
        if (method != "GET" && method != "HEAD") {
            return response(plain(405), true);
        }
        return response(server_.pages_(target.substr(0, target.find('?'))), method == "GET");
    }

    [[nodiscard]] bool write() {
        while (sent_ < answer_.size()) {
            const ssize_t n =
                ::send(socket_, answer_.data() + sent_, answer_.size() - sent_, MSG_NOSIGNAL);
            if (n < 0 && errno == EAGAIN) {
                return watch_for(EPOLLOUT);
            }
            if (n < 0 && errno != EINTR) {
                return false;
            }
            sent_ += n > 0 ? static_cast<std::size_t>(n) : 0;
        }
        // Closing with bytes unread would make the other end lose what it has not read yet.
        ::shutdown(socket_, SHUT_WR);
        return watch_for(EPOLLIN);
    }

    [[nodiscard]] bool wait_for_end() const {
        std::array<char, 2048> rest;
        const ssize_t n = ::recv(socket_, rest.data(), rest.size(), 0);
        return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
    }

    http_server& server_;
    const int socket_;
    alarm alarm_;
    std::optional<watch> watch_;
    std::string request_;
    std::string answer_;  // empty while the request is read
    std::size_t sent_ = 0;
};

http_server::http_server(loop& on, page pages) : loop_(on), pages_(std::move(pages)) {}

http_server::~http_server() = default;

absl::StatusOr<std::unique_ptr<http_server>> http_server::listen(loop& on, const wire::address& at,
                                                                 page pages) {
    std::unique_ptr<http_server> out(new http_server(on, std::move(pages)));
    absl::StatusOr<std::unique_ptr<wire::listener>> l =
        wire::listener::listen(on, at, [self = out.get()](int socket) { self->receive(socket); });
    if (!l.ok()) {
        return l.status();
    }
    out->listener_ = *std::move(l);
    return out;
}

void http_server::receive(int socket) {
    if (visits_.size() >= max_connections) {
        ::close(socket);
        return;
    }
    visits_.emplace_back(*this, socket);
    if (!visits_.back().start()) {
        visits_.pop_back();
    }
}

}  // namespace sluice::node
