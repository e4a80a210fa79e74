// SPDX-License-Identifier: Apache-2.0
#include <sluice/fabric/memory_node.hpp>

#include <chrono>
#include <deque>
#include <future>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/thread_loop.hpp>

#include "support/node_client.hpp"

using namespace sluice_test;

namespace {

absl::StatusCode code_of(const sluice::memory_node_options& o) {
    return sluice::memory_node::create(o).status().code();
}

template <class Message>
bytes body_cut_short(const Message& m) {
    bytes frame = framed(m, 7);
    frame.pop_back();
    frame[0] = static_cast<std::byte>(frame.size() - wire::frame_header_bytes);
    return frame;
}

// The failure that a node answers before it closes.
absl::StatusCode last_words(node_client& c) {
    const auto answer = c.receive<wire::pong>();
    CHECK(c.closed());
    return answer.status().code();
}

std::deque<node_client> many_clients(const sluice::memory_node& node, std::size_t n) {
    std::deque<node_client> out;
    for (std::size_t i = 0; i < n; ++i) {
        out.emplace_back(node.address());
    }
    return out;
}

}  // namespace

TEST_CASE("memory_node: options out of range are refused", "[memory_node]") {
    const auto refused = [](auto change) {
        sluice::memory_node_options o = small_node();
        change(o);
        const auto made = sluice::memory_node::create(o);
        INFO(made.status());
        return made.status().code() == absl::StatusCode::kInvalidArgument;
    };
    using options = sluice::memory_node_options;
    CHECK(refused([](options& o) { o.memory = 1000; }));
    CHECK(refused([](options& o) { o.lease = std::chrono::milliseconds(99); }));
    CHECK(refused([](options& o) { o.lease = std::chrono::hours(2); }));
    CHECK(refused([](options& o) { o.staging = 100; }));
    CHECK(refused([](options& o) { o.max_connections = 0; }));
    CHECK(refused([](options& o) { o.max_connections = 65'537; }));
    CHECK(refused([](options& o) { o.drain_timeout = std::chrono::seconds(-1); }));
    CHECK(refused([](options& o) { o.providers.clear(); }));
    CHECK(refused([](options& o) { o.providers = {"tcp", "tcp"}; }));
    CHECK(refused([](options& o) { o.listen = "127.0.0.1:0"; }));
    CHECK(refused([](options& o) { o.metrics = "nonsense"; }));
    CHECK(refused([](options& o) { o.secret = "short"; }));
    CHECK(refused([](options& o) { o.secret.clear(); }));
    CHECK(refused([](options& o) { o.secret_file = "/also/a/file"; }));
}

TEST_CASE("memory_node: what the machine has not is said", "[memory_node]") {
    sluice::memory_node_options o = small_node();
    o.providers = {"no such"};
    CHECK(code_of(o) == absl::StatusCode::kUnimplemented);

    o = small_node();
    o.memory = std::uint64_t{1} << 48;
    CHECK(code_of(o) == absl::StatusCode::kResourceExhausted);

    o = small_node();
    o.memory = std::uint64_t{1} << 46;  // the system may promise that much
    o.touch = true;
    CHECK(code_of(o) == absl::StatusCode::kResourceExhausted);

    o = small_node();
    o.secret.clear();
    o.secret_file = "/no/such/file";
    CHECK(code_of(o) == absl::StatusCode::kNotFound);

    const auto first = start(small_node());
    o = small_node();
    o.listen = first->address();
    CHECK(code_of(o) == absl::StatusCode::kAlreadyExists);
}

TEST_CASE("memory_node: all memory can be touched before it serves", "[memory_node]") {
    sluice::memory_node_options o = small_node();
    o.touch = true;
    const auto node = start(o);
    node_client c(node->address());
    CHECK(c.shake_hands().ok());
}

TEST_CASE("memory_node: who knows the secret is welcome", "[memory_node]") {
    sluice::memory_node_options o = small_node();
    o.lease = std::chrono::milliseconds(1500);
    const auto node = start(o);
    node_client c(node->address());
    const auto welcome = c.shake_hands();
    REQUIRE(welcome.ok());
    CHECK(welcome->pool_bytes == o.memory);
    CHECK(welcome->max_block_bytes == o.staging);
    CHECK(welcome->staging_bytes == o.staging);
    CHECK(welcome->lease_ms == 1500);

    const wire::pong pong = c.ping();
    CHECK(pong.connections == 1);
    CHECK(pong.capacity == o.memory);
    CHECK(pong.blocks == 0);
    CHECK_FALSE(pong.draining);
    CHECK_FALSE(pong.version.empty());

    node_client other(node->address());
    CHECK(other.shake_hands()->node == welcome->node);
    CHECK(other.ping().connections == 2);
    const auto another = start(o);
    node_client stranger(another->address());
    CHECK(stranger.shake_hands()->node != welcome->node);
}

TEST_CASE("memory_node: who does not know the secret is told and closed", "[memory_node]") {
    const auto node = start(small_node());
    node_client c(node->address());
    CHECK(c.shake_hands("another secret for the tests").status().code() ==
          absl::StatusCode::kUnauthenticated);
    CHECK(c.closed());
    CHECK(node->stats().rejected == 1);
    CHECK(node->stats().malformed == 0);

    node_client good(node->address());
    CHECK(good.shake_hands().ok());
}

TEST_CASE("memory_node: nothing is asked before the handshake", "[memory_node]") {
    const auto node = start(small_node());
    node_client c(node->address());
    c.send(wire::ping{});
    CHECK(last_words(c) == absl::StatusCode::kInvalidArgument);

    node_client proves_at_once(node->address());
    proves_at_once.send(wire::proof{});
    CHECK(last_words(proves_at_once) == absl::StatusCode::kInvalidArgument);

    node_client greets_twice(node->address());
    CHECK(greets_twice.ask<wire::challenge>(wire::hello{}).ok());
    greets_twice.send(wire::hello{});
    CHECK(last_words(greets_twice) == absl::StatusCode::kInvalidArgument);

    node_client newer(node->address());
    wire::hello later;
    later.oldest_version = 100;
    later.newest_version = 101;
    newer.send(later);
    CHECK(last_words(newer) == absl::StatusCode::kFailedPrecondition);

    // Bodies are short before it, so that a stranger cannot make the node hold much.
    node_client talks(node->address());
    wire::lookup r;
    r.keys.assign(100, key_of(1));
    talks.send(r);
    CHECK(last_words(talks) == absl::StatusCode::kInvalidArgument);
    CHECK(node->stats().malformed == 5);
}

TEST_CASE("memory_node: what is malformed ends the connection", "[memory_node]") {
    const auto node = start(small_node());
    std::vector<bytes> lies;
    wire::lookup lookup;
    lookup.keys = {key_of(1)};
    lies.push_back(body_cut_short(lookup));
    lies.push_back(framed(wire::welcome{.lease_ms = 1}, 7));  // not for nodes
    lies.push_back(framed(wire::hello{}, 7));                 // once only
    lies.push_back(bytes(64, std::byte{0xff}));               // no frame
    bytes longer = framed(wire::ping{}, 7);
    longer[0] = std::byte{1};
    longer.push_back(std::byte{0});
    lies.push_back(longer);
    std::uint64_t count = 0;
    for (const bytes& lie : lies) {
        node_client c(node->address());
        REQUIRE(c.shake_hands().ok());
        c.write(lie);
        CHECK(last_words(c) == absl::StatusCode::kInvalidArgument);
        CHECK(node->stats().malformed == ++count);
    }
    // The others are served on.
    node_client good(node->address());
    REQUIRE(good.shake_hands().ok());
    CHECK(good.ping().blocks == 0);
}

TEST_CASE("memory_node: there are as many clients as it has places", "[memory_node]") {
    sluice::memory_node_options o = small_node();
    o.max_connections = 2;
    const auto node = start(o);
    auto first = std::make_unique<node_client>(node->address());
    node_client second(node->address());
    // Who has not proven himself takes no place.
    const std::deque<node_client> strangers = many_clients(*node, 3);
    REQUIRE(first->shake_hands().ok());
    REQUIRE(second.shake_hands().ok());
    {
        node_client third(node->address());
        CHECK(third.shake_hands().status().code() == absl::StatusCode::kResourceExhausted);
        CHECK(third.closed());
    }
    first.reset();
    while (second.ping().connections > 1 + strangers.size()) {
    }
    node_client fourth(node->address());
    CHECK(fourth.shake_hands().ok());
}

TEST_CASE("memory_node: strangers do not keep clients out", "[memory_node]") {
    const auto node = start(small_node());
    node_client client(node->address());
    REQUIRE(client.shake_hands().ok());
    std::deque<node_client> strangers = many_clients(*node, 256);
    node_client newcomer(node->address());
    CHECK(newcomer.ask<wire::challenge>(wire::hello{}).ok());
    CHECK(strangers.front().closed());  // the oldest
    CHECK(strangers[1].ask<wire::challenge>(wire::hello{}).ok());
    CHECK(client.ping().connections == 257);
}

TEST_CASE("memory_node: what is not there is not found", "[memory_node]") {
    const auto node = start(small_node());
    node_client c(node->address());
    REQUIRE(c.shake_hands().ok());
    const auto found = c.lookup({key_of(1), key_of(2)});
    REQUIRE(found.size() == 2);
    CHECK(found[0] == wire::placement{});
    CHECK(found[1] == wire::placement{});
    wire::remove r;
    r.keys = {key_of(1)};
    CHECK(c.ask<wire::removed>(r)->blocks == 0);
    wire::report report;
    report.key = key_of(1);
    CHECK_FALSE(c.ask<wire::reported>(report)->dropped);
}

TEST_CASE("memory_node: a provider that it has not is named with those it has", "[memory_node]") {
    const auto node = start(small_node());
    node_client c(node->address());
    REQUIRE(c.shake_hands().ok());
    wire::open_lane r;
    r.provider = "verbs";
    const absl::Status status = c.ask<wire::lane>(r).status();
    CHECK(status.code() == absl::StatusCode::kUnimplemented);
    CHECK(std::string(status.message()).find("'tcp'") != std::string::npos);

    r.provider = "tcp";
    r.kind = wire::endpoint_kind::datagram;
    r.endpoint = pattern(16, 1);
    CHECK(c.ask<wire::lane>(r).status().code() == absl::StatusCode::kFailedPrecondition);
    CHECK(c.ping().connections == 1);  // the connection goes on
}

TEST_CASE("memory_node: a draining node tells its clients and waits for them", "[memory_node]") {
    sluice::memory_node_options o = small_node();
    o.drain_timeout = std::chrono::hours(1);
    const auto node = start(o);
    node_client c(node->address());
    node_client stranger(node->address());
    REQUIRE(c.shake_hands().ok());
    CHECK(c.ping().connections == 2);

    std::promise<void> done;
    node->drain([&done] { done.set_value(); });
    REQUIRE(c.next()->type == wire::message_type::draining);
    CHECK(last_words(stranger) == absl::StatusCode::kUnavailable);
    wire::reserve r;
    r.blocks = {{key_of(1), 100}};
    CHECK(c.ask<wire::reserved>(r).status().code() == absl::StatusCode::kUnavailable);
    CHECK_FALSE(c.lookup({key_of(1)})[0].there());
    CHECK(c.ping().draining);
    c.leave();
    stranger.leave();
    done.get_future().wait();
    CHECK(node->stats().connections == 0);
}

TEST_CASE("memory_node: a drain ends by its timeout, or at once without clients", "[memory_node]") {
    sluice::memory_node_options o = small_node();
    o.drain_timeout = std::chrono::milliseconds(1);
    const auto node = start(o);
    node_client c(node->address());
    REQUIRE(c.shake_hands().ok());
    std::promise<void> done;
    node->drain([&done] { done.set_value(); });
    done.get_future().wait();
    CHECK(node->stats().connections == 1);
    std::promise<void> late;  // its time has passed already
    node->drain([&late] { late.set_value(); });
    CHECK(late.get_future().wait_for(std::chrono::seconds(20)) == std::future_status::ready);

    o.drain_timeout = std::chrono::hours(1);
    const auto idle = start(o);
    std::promise<void> first;
    std::promise<void> again;
    idle->drain([&first] { first.set_value(); });
    idle->drain([&again] { again.set_value(); });
    first.get_future().wait();
    again.get_future().wait();
}

TEST_CASE("memory_node: it works on a loop that it is given", "[memory_node]") {
    sluice::thread_loop loop("test");
    auto made = sluice::memory_node::create(small_node(), &loop);
    REQUIRE(made.ok());
    std::unique_ptr<sluice::memory_node> node = *std::move(made);
    REQUIRE(loop.start().ok());
    {
        node_client c(node->address());
        REQUIRE(c.shake_hands().ok());
        CHECK(c.ping().connections == 1);
    }
    // Destroyed on the loop, inside its own call.
    std::promise<void> done;
    on(loop, [&] {
        node->drain([&] {
            node.reset();
            done.set_value();
        });
    });
    done.get_future().wait();
    CHECK(node == nullptr);
}

TEST_CASE("memory_node: its end closes its connections", "[memory_node]") {
    auto node = start(small_node());
    node_client c(node->address());
    REQUIRE(c.shake_hands().ok());
    node->drain(nullptr);
    node.reset();
    CHECK(c.closed());
}
