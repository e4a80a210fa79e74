// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/task.hpp>
#include <sluice/coro/thread_loop.hpp>

#include "wire/connection.hpp"

namespace sluice_test {

using bytes = std::vector<std::byte>;
namespace wire = sluice::wire;

// Runs `f` on the loop and waits for it.
inline void on(sluice::loop& l, const std::function<void()>& f) {
    const auto body = [](const std::function<void()>& g) -> sluice::task<void> {
        g();
        co_return;
    };
    sluice::sync_wait(l, body(f));
}

// One end of a connection that remembers what it is told.
struct end : wire::connection::owner {
    explicit end(sluice::thread_loop& l) : loop(l) {}
    ~end() {
        on(loop, [this] { link.reset(); });
    }

    void on_connected(wire::connection& c) override {
        note([&] { connected = true; });
        if (at_connected) {
            at_connected(c);
        }
    }
    void on_frame(wire::connection& c, const wire::frame& f) override {
        note([&] {
            types.push_back(f.type);
            ids.push_back(f.id);
            bodies.emplace_back(f.body.begin(), f.body.end());
        });
        if (at_frame) {
            at_frame(c, f);
        }
    }
    void on_malformed(wire::connection& c, const absl::Status& why) override {
        note([&] { malformed = why; });
        if (at_malformed) {
            at_malformed(c);
        }
    }
    void on_closed(wire::connection& c, absl::Status why) override {
        closed_inside_call |= inside_call;
        note([&] {
            ++closed;
            reason = std::move(why);
        });
        if (at_closed) {
            at_closed(c);
        }
    }

    void note(const std::function<void()>& f) {
        const std::lock_guard lock(mutex);
        f();
        changed.notify_all();
    }
    void wait(const std::function<bool()>& until) {
        std::unique_lock lock(mutex);
        changed.wait(lock, until);
    }
    void wait_closed() {
        wait([this] { return closed > 0; });
    }

    sluice::thread_loop& loop;
    std::unique_ptr<wire::connection> link;
    std::function<void(wire::connection&)> at_connected, at_malformed, at_closed;
    std::function<void(wire::connection&, const wire::frame&)> at_frame;
    bool inside_call = false;
    bool closed_inside_call = false;

    std::mutex mutex;
    std::condition_variable changed;
    bool connected = false;
    std::vector<wire::message_type> types;
    std::vector<std::uint64_t> ids;
    std::vector<bytes> bodies;
    absl::Status malformed;
    int closed = 0;
    absl::Status reason;
};

// A socket without a loop behind it: a peer that does what it likes.
struct raw_peer {
    explicit raw_peer(int s = -1) : socket(s) {}
    raw_peer(const raw_peer&) = delete;
    raw_peer& operator=(const raw_peer&) = delete;
    ~raw_peer() { close(); }
    void close() {
        if (socket >= 0) {
            ::close(std::exchange(socket, -1));
        }
    }
    void reset() {
        const linger now{1, 0};
        ::setsockopt(socket, SOL_SOCKET, SO_LINGER, &now, sizeof now);
        close();
    }
    void write(std::span<const std::byte> what) const {
        while (!what.empty()) {
            const ssize_t n = ::send(socket, what.data(), what.size(), MSG_NOSIGNAL);
            REQUIRE(n > 0);
            what = what.subspan(static_cast<std::size_t>(n));
        }
    }
    [[nodiscard]] bytes read_to_end() const {
        bytes all;
        std::array<std::byte, 4096> part;
        for (ssize_t n = 0; (n = ::recv(socket, part.data(), part.size(), 0)) > 0;) {
            all.insert(all.end(), part.begin(), part.begin() + n);
        }
        return all;
    }
    int socket;
};

// Two connected sockets.
inline std::pair<int, int> sockets() {
    const int door = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    auto* const name = reinterpret_cast<sockaddr*>(&at);
    REQUIRE(::bind(door, name, sizeof at) == 0);
    REQUIRE(::listen(door, 1) == 0);
    REQUIRE(::getsockname(door, name, &size) == 0);
    const int first = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    REQUIRE(::connect(first, name, sizeof at) == 0);
    const int second = ::accept(door, nullptr, nullptr);
    REQUIRE(second >= 0);
    ::close(door);
    return {first, second};
}

inline void adopt(end& e, int socket) {
    on(e.loop, [&] {
        auto made = wire::connection::adopt(e.loop, socket, e);
        if (made.ok()) {
            e.link = *std::move(made);
        }
    });
    REQUIRE(e.link != nullptr);
}

template <class Message>
bytes framed(const Message& m, std::uint64_t id) {
    bytes out;
    wire::encode(m, id, out);
    return out;
}

}  // namespace sluice_test
