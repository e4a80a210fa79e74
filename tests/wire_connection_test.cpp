// SPDX-License-Identifier: Apache-2.0
#include "wire/connection.hpp"

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include <sys/socket.h>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <sluice/coro/thread_loop.hpp>
#include <sluice/coro/virtual_loop.hpp>

#include "fuzz/wire_samples.hpp"
#include "support/wire_ends.hpp"

namespace {

using absl::StatusCode;
using sluice::thread_loop;
using namespace sluice_test;
using namespace sluice::wire;

struct two_loops {
    two_loops() {
        REQUIRE(here.start().ok());
        REQUIRE(there.start().ok());
    }
    thread_loop here{"here"};
    thread_loop there{"there"};
};

// One end on a loop, its peer a bare socket.
struct rig {
    rig() : rig(sockets()) {}
    explicit rig(std::pair<int, int> s) : peer(s.second) {
        REQUIRE(loop.start().ok());
        adopt(ours, s.first);
    }
    thread_loop loop;
    raw_peer peer;
    end ours{loop};
};

TEST_CASE("connection: many random messages come back in order, both ways at once") {
    const std::uint64_t seed = std::random_device()();
    INFO("seed " << seed);
    two_loops loops;
    end client(loops.here);
    end node(loops.there);
    const auto [a, b] = sockets();
    adopt(client, a);
    adopt(node, b);
    // The node sends every frame back as it is, and asks something of its own now and then.
    node.at_frame = [](connection& c, const frame& f) {
        for_each_message([&](auto& m) {
            using type = std::remove_cvref_t<decltype(m)>;
            if (m.type == f.type && f.id % 10 != 0) {
                if (const auto got = decode<type>(f.body); got.ok()) {
                    c.send(*got, f.id);
                }
            }
        });
    };
    samples draw(seed);
    std::vector<bytes> sent;
    std::uint64_t id = 0;
    for (int burst = 0; burst < 40; ++burst) {
        on(loops.here, [&] {
            for_each_message([&](auto& m) {
                draw.fill(m);
                if (++id % 10 != 0) {
                    const bytes whole = framed(m, id);
                    sent.emplace_back(whole.begin() + frame_header_bytes, whole.end());
                }
                client.link->send(m, id);
            });
        });
    }
    client.wait([&] { return client.bodies.size() >= sent.size(); });
    node.wait([&] { return node.bodies.size() >= id; });  // the last are not sent back
    CHECK(client.bodies == sent);
    CHECK(node.bodies.size() == id);
    CHECK(client.closed == 0);
    CHECK(node.closed == 0);
}

TEST_CASE("connection: the node answers what is no frame, then ends") {
    rig r;
    r.ours.at_malformed = [](connection& c) {
        c.send(failure_of(absl::InvalidArgumentError("no frame")), 0);
    };
    bytes stream = framed(ping{}, 1);
    stream.resize(stream.size() + 100, std::byte{0xff});
    r.peer.write(stream);
    const bytes answer = r.peer.read_to_end();
    CHECK(answer == framed(failure_of(absl::InvalidArgumentError("no frame")), 0));
    r.peer.close();
    r.ours.wait_closed();
    CHECK(r.ours.types == std::vector{message_type::ping});
    CHECK(r.ours.malformed.code() == StatusCode::kInvalidArgument);
    CHECK(r.ours.reason == r.ours.malformed);
    CHECK(r.ours.closed == 1);
}

TEST_CASE("connection: a body over the limit ends it before the body has come") {
    rig r;
    on(r.loop, [&] { r.ours.link->limit_body(64); });
    lookup big;
    big.keys.assign(max_batch, sluice::block_key::from_u64(1));
    const bytes whole = framed(big, 1);
    r.peer.write(std::span(whole).first(frame_header_bytes));
    r.ours.wait([&] { return !r.ours.malformed.ok(); });
    r.peer.close();
    r.ours.wait_closed();
    CHECK(r.ours.reason.code() == StatusCode::kInvalidArgument);
}

TEST_CASE("connection: a peer that does not read is dropped, outside of send") {
    rig r;
    found big;
    big.blocks.assign(max_batch, placement{1, 1, 1, 1});
    // More than the sockets' buffers and the queue take together.
    for (int i = 0; i < 400; ++i) {
        on(r.loop, [&] {
            r.ours.inside_call = true;
            for (int k = 0; k < 10; ++k) {
                r.ours.link->send(big, 1);
            }
            r.ours.inside_call = false;
        });
    }
    r.ours.wait_closed();
    CHECK(r.ours.reason.code() == StatusCode::kResourceExhausted);
    CHECK_FALSE(r.ours.closed_inside_call);
    CHECK(r.ours.closed == 1);
}

TEST_CASE("connection: a peer that vanishes is told once, after what it said last") {
    rig r;
    const bool abruptly = GENERATE_COPY(false, true);
    const failure last = failure_of(absl::UnavailableError("good bye"));
    r.peer.write(framed(last, 3));
    r.ours.wait([&] { return r.ours.ids.size() == 1; });
    abruptly ? r.peer.reset() : r.peer.close();
    r.ours.wait_closed();
    CHECK(r.ours.ids == std::vector<std::uint64_t>{3});
    CHECK(r.ours.reason.code() == StatusCode::kUnavailable);
    on(r.loop, [&] { r.ours.link->send(ping{}, 1); });  // does nothing
    CHECK(r.ours.closed == 1);
}

TEST_CASE("connection: what the peer said last is heard, though sending to it fails first") {
    rig r;
    on(r.loop, [&] {
        r.peer.write(framed(failure_of(absl::UnavailableError("good bye")), 3));
        r.peer.close();
        // The loop cannot read meanwhile. The first gets a reset for an answer.
        for (int i = 0; i < 100; ++i) {
            r.ours.link->send(ping{}, 1);
        }
    });
    r.ours.wait_closed();
    CHECK(r.ours.types == std::vector{message_type::failure});
    CHECK(r.ours.reason.code() == StatusCode::kUnavailable);
    CHECK(r.ours.closed == 1);
}

TEST_CASE("connection: close_when_sent sends all that is queued, and hears no more") {
    rig r;
    found big;
    big.blocks.assign(max_batch, placement{1, 1, 1, 1});
    bytes expected;
    for (std::uint64_t i = 0; i < 100; ++i) {
        encode(big, i, expected);
    }
    on(r.loop, [&] {
        for (std::uint64_t i = 0; i < 100; ++i) {
            r.ours.link->send(big, i);
        }
        r.ours.link->close_when_sent();
        r.ours.link->send(ping{}, 1);  // too late
    });
    r.peer.write(framed(ping{}, 9));
    CHECK(r.peer.read_to_end() == expected);
    r.peer.close();
    r.ours.wait_closed();
    CHECK(r.ours.reason.ok());
    CHECK(r.ours.types.empty());
    CHECK(r.ours.closed == 1);
}

TEST_CASE("connection: a peer that does not close gets its time, no more") {
    struct : connection::owner {
        void on_frame(connection&, const frame&) override {}
        void on_closed(connection&, absl::Status why) override {
            ++closed;
            reason = std::move(why);
        }
        int closed = 0;
        absl::Status reason = absl::UnknownError("");
    } owner;
    sluice::virtual_loop loop;
    const auto [ours, theirs] = sockets();
    const raw_peer peer(theirs);
    const auto link = *connection::adopt(loop, ours, owner);
    link->close_when_sent();
    loop.advance(connection::close_after - sluice::duration(1));
    CHECK(owner.closed == 0);
    loop.advance(sluice::duration(1));
    CHECK(owner.closed == 1);
    CHECK(owner.reason.ok());
}

TEST_CASE("connection: it may be destroyed in every callback") {
    rig r;
    const auto destroy = [&](connection&) {
        r.ours.link.reset();
        r.ours.note([&] { r.ours.connected = true; });
    };
    const auto gone = [&] {
        r.ours.wait([&] { return r.ours.connected; });
        CHECK(r.ours.link == nullptr);
        CHECK(r.peer.read_to_end().empty());
    };
    const bytes three = [] {
        bytes out;
        for (std::uint64_t i = 0; i < 3; ++i) {
            encode(ping{}, i, out);
        }
        return out;
    }();
    SECTION("on_frame, with more frames behind it") {
        r.ours.at_frame = [&](connection& c, const frame&) { destroy(c); };
        r.peer.write(three);
        gone();
        CHECK(r.ours.types.size() == 1);
        CHECK(r.ours.closed == 0);
    }
    SECTION("on_malformed") {
        r.ours.at_malformed = destroy;
        r.peer.write(bytes(16, std::byte{0xff}));
        gone();
        CHECK(r.ours.closed == 0);
    }
    SECTION("on_closed") {
        r.ours.at_closed = destroy;
        ::shutdown(r.peer.socket, SHUT_WR);
        gone();
        CHECK(r.ours.closed == 1);
    }
    SECTION("on_closed, when sending has failed") {
        r.ours.at_closed = destroy;
        on(r.loop, [&] {
            r.peer.reset();
            r.ours.link->send(ping{}, 1);
            r.ours.link->send(ping{}, 2);
        });
        r.ours.wait_closed();
        CHECK(r.ours.closed == 1);
    }
    SECTION("on_frame, after a send that was one too many") {
        found big;
        big.blocks.assign(max_batch, placement{1, 1, 1, 1});
        r.ours.at_frame = [&](connection& c, const frame&) {
            for (int i = 0; i < 1000; ++i) {
                c.send(big, 1);
            }
            destroy(c);
        };
        r.peer.write(three);
        r.ours.wait([&] { return r.ours.connected; });
        CHECK(r.ours.types.size() == 1);
        CHECK(r.ours.closed == 0);
    }
}

TEST_CASE("connection: a descriptor that is no connected socket is refused") {
    thread_loop loop;
    REQUIRE(loop.start().ok());
    end e(loop);
    const int lonely = ::socket(AF_INET, SOCK_STREAM, 0);
    on(loop, [&] {
        const auto made = connection::adopt(loop, lonely, e);
        e.reason = made.status();
    });
    CHECK(e.reason.code() == StatusCode::kInvalidArgument);
}

}  // namespace
