// SPDX-License-Identifier: Apache-2.0
#include "wire/listener.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <netdb.h>
#include <sys/resource.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include <sluice/base/status.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/coro/virtual_loop.hpp>

#include "support/wire_ends.hpp"
#include "wire/handshake.hpp"

namespace {

using absl::StatusCode;
using sluice::thread_loop;
using namespace sluice_test;
using namespace sluice::wire;

// A listener on a loop of its own, and a client on another.
struct rig {
    explicit rig(const char* at = "tcp://127.0.0.1:0") {
        REQUIRE(loop.start().ok());
        REQUIRE(client_loop.start().ok());
        on(loop, [&] {
            auto made = listener::listen(loop, *address::parse(at), [this](int s) {
                auto link = connection::adopt(loop, s, node);
                if (link.ok()) {
                    node.link = *std::move(link);
                }
            });
            status = made.status();
            if (made.ok()) {
                door = *std::move(made);
            }
        });
    }
    ~rig() {
        on(loop, [&] { door.reset(); });
    }
    void connect(const address& to) {
        on(client_loop, [&] {
            client.inside_call = true;
            auto made = connection::connect(client_loop, to, client);
            client.inside_call = false;
            REQUIRE(made.ok());
            client.link = *std::move(made);
        });
    }

    thread_loop loop{"node"};
    thread_loop client_loop{"client"};
    end node{loop};
    end client{client_loop};
    std::unique_ptr<listener> door;
    absl::Status status;
};

// One question, sent before there is a connection, and its answer.
void ask(rig& r, const address& to) {
    r.node.at_frame = [](connection& c, const frame& f) { c.send(pong{}, f.id); };
    r.connect(to);
    on(r.client_loop, [&] { r.client.link->send(ping{}, 42); });
    r.client.wait([&] { return !r.client.ids.empty(); });
    CHECK(r.client.connected);
    CHECK(r.client.types == std::vector{message_type::pong});
    CHECK(r.client.ids == std::vector<std::uint64_t>{42});
}

TEST_CASE("listener: a client connects by number and by name") {
    rig r;
    REQUIRE(r.status.ok());
    REQUIRE(r.door->bound().port != 0);
    CHECK(r.door->bound().host == "127.0.0.1");
    address to = r.door->bound();
    // The name may have an IPv6 address too, where nobody listens.
    SECTION("number") {}
    SECTION("name") {
        addrinfo* found = nullptr;
        if (::getaddrinfo("localhost", nullptr, nullptr, &found) != 0) {
            SKIP("this machine does not know the name localhost");
        }
        ::freeaddrinfo(found);
        to.host = "localhost";
    }
    ask(r, to);
    CHECK(r.client.link->peer() == to.text().substr(6));
}

TEST_CASE("listener: IPv6") {
    rig r("tcp://[::1]:0");
    if (!r.status.ok()) {
        SKIP("no IPv6 here");
    }
    ask(r, r.door->bound());
    CHECK(r.node.link->peer().starts_with("[::1]:"));
}

TEST_CASE("listener: a client and a node shake hands over a socket") {
    const auto secret =
        *shared_secret::from_bytes(std::as_bytes(std::span("sixteen bytes or more")));
    rig r;
    node_handshake theirs(secret, welcome{});
    client_handshake ours(secret);
    r.node.at_frame = [&](connection& c, const frame& f) {
        if (f.type == message_type::hello) {
            c.send(*theirs.begin(*decode<hello>(f.body)), f.id);
        } else {
            c.send(*theirs.finish(*decode<proof>(f.body)), f.id);
        }
    };
    r.client.at_connected = [&](connection& c) { c.send(ours.begin(), 0); };
    r.client.at_frame = [&](connection& c, const frame& f) {
        if (f.type == message_type::challenge) {
            c.send(*ours.answer(*decode<challenge>(f.body)), f.id);
        } else {
            const absl::Status done = ours.finish(*decode<welcome>(f.body));
            r.client.note([&] { r.client.malformed = done; });
        }
    };
    r.connect(r.door->bound());
    r.client.wait([&] { return r.client.types.size() == 2; });
    on(r.client_loop, [] {});
    CHECK(r.client.malformed.ok());
    CHECK(ours.done());
}

TEST_CASE("connection: nobody listens there") {
    rig r;
    const address gone = r.door->bound();
    on(r.loop, [&] { r.door.reset(); });
    r.connect(gone);
    r.client.wait_closed();
    CHECK(r.client.reason.code() == StatusCode::kUnavailable);
    CHECK(sluice::message_of(r.client.reason).find(gone.text().substr(6)) != std::string::npos);
    CHECK_FALSE(r.client.closed_inside_call);
    CHECK_FALSE(r.client.connected);
    CHECK(r.client.closed == 1);
}

TEST_CASE("connection: it may be destroyed in on_connected, and before") {
    rig r;
    SECTION("in the callback") {
        r.client.at_connected = [&](connection&) { r.client.link.reset(); };
        r.connect(r.door->bound());
        r.client.wait([&] { return r.client.connected; });
    }
    SECTION("in on_closed, when nobody listens") {
        const address gone = r.door->bound();
        on(r.loop, [&] { r.door.reset(); });
        r.client.at_closed = [&](connection&) { r.client.link.reset(); };
        r.connect(gone);
        r.client.wait_closed();
    }
    SECTION("before") {
        r.connect(r.door->bound());
        on(r.client_loop, [&] { r.client.link.reset(); });
    }
    SECTION("closed before") {
        on(r.client_loop, [&] {
            r.client.link = *connection::connect(r.client_loop, r.door->bound(), r.client);
            r.client.link->close_when_sent();
        });
        r.client.wait_closed();
        CHECK(r.client.reason.ok());
        CHECK_FALSE(r.client.connected);
    }
    on(r.client_loop, [&] { CHECK((r.client.link == nullptr || r.client.link->socket() < 0)); });
}

TEST_CASE("listener: places that cannot be listened at") {
    rig r;
    const auto error_at = [&](const address& at) {
        absl::Status got;
        on(r.loop, [&] { got = listener::listen(r.loop, at, [](int) {}).status(); });
        return got;
    };
    const absl::Status taken = error_at(r.door->bound());
    CHECK(taken.code() == StatusCode::kAlreadyExists);
    CHECK(sluice::message_of(taken).find(r.door->bound().text()) != std::string::npos);
    // An address for documents: nobody has it.
    CHECK(error_at({"192.0.2.1", 0}).code() == StatusCode::kInvalidArgument);
}

TEST_CASE("listener: the acceptor may destroy it") {
    thread_loop loop;
    REQUIRE(loop.start().ok());
    std::unique_ptr<listener> door;
    end client(loop);
    on(loop, [&] {
        const std::string kept = "a text that is longer than the small ones are";
        door = *listener::listen(loop, {"127.0.0.1", 0}, [&door, &client, kept](int s) {
            door.reset();
            ::close(s);
            client.note([&] { client.connected = kept.ends_with("are"); });
        });
        client.link = *connection::connect(loop, door->bound(), client);
    });
    client.wait_closed();
    CHECK(client.connected);
    CHECK(door == nullptr);
}

// Lets no descriptor be made but for as many as are wanted.
struct few_descriptors {
    explicit few_descriptors(rlim_t more) {
        ::getrlimit(RLIMIT_NOFILE, &before);
        const int next = ::dup(0);
        ::close(next);
        rlimit now = before;
        now.rlim_cur = static_cast<rlim_t>(next) + more;
        REQUIRE(::setrlimit(RLIMIT_NOFILE, &now) == 0);
    }
    ~few_descriptors() { ::setrlimit(RLIMIT_NOFILE, &before); }
    rlimit before{};
};

TEST_CASE("listener: without descriptors it rests instead of spinning, then goes on") {
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
    // Its companion, UBSan, tries by a pipe whether an object's memory can be read.
    SKIP("the sanitizer needs descriptors of its own");
#endif
#endif
    sluice::virtual_loop loop;
    int accepted = 0;
    const auto door = *listener::listen(loop, {"127.0.0.1", 0}, [&](int s) {
        ++accepted;
        ::close(s);
    });
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    at.sin_port = htons(door->bound().port);
    raw_peer client;
    {
        const few_descriptors limit(1);
        client.socket = ::socket(AF_INET, SOCK_STREAM, 0);
        REQUIRE(::connect(client.socket, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
        // A watch that is ready runs at every instant: one that spins would never end here.
        CHECK(loop.advance(std::chrono::milliseconds(99)) == 1);
        CHECK(accepted == 0);
    }
    loop.advance(std::chrono::milliseconds(2));
    CHECK(accepted == 1);
}

}  // namespace
