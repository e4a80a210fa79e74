// SPDX-License-Identifier: Apache-2.0
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/fabric/fabric_store.hpp>

#include "support/fabric_rig.hpp"
#include "support/wire_ends.hpp"
#include "wire/connection.hpp"
#include "wire/handshake.hpp"
#include "wire/listener.hpp"

// A store and a node that knows the secret but does not keep to the protocol.

namespace {

using namespace std::chrono_literals;
namespace wire = sluice::wire;
using absl::StatusCode;
using sluice::node_state;
using sluice::test::test_client;

enum class lie {
    place_beyond_the_pool,
    length_beyond_the_pool,
    too_few_places,
    another_answer,
    malformed_answer,
    garbage,
    silence,
    no_lane,
    lane_to_nowhere,
    lease_too_short,
};

// Answers lookups with a lie, or data connections.
class liar : wire::connection::owner {
 public:
    explicit liar(lie what) : what_(what) {
        auto secret = wire::shared_secret::from_options("", sluice::test::test_secret);
        REQUIRE(secret.ok());
        secret_ = std::make_unique<wire::shared_secret>(*std::move(secret));
        const auto at = wire::address::parse("tcp://127.0.0.1:0");
        REQUIRE(at.ok());
        auto made = wire::listener::listen(loop_, *at, [this](int socket) { accept(socket); });
        REQUIRE(made.ok());
        listener_ = *std::move(made);
        REQUIRE(loop_.start().ok());
    }
    ~liar() {
        loop_.stop();
        loop_.join();
    }
    [[nodiscard]] std::string address() const { return listener_->bound().text(); }

 private:
    void accept(int socket) {
        auto c = wire::connection::adopt(loop_, socket, *this);
        if (c.ok()) {
            wire::welcome facts;
            facts.pool_bytes = 1 << 20;
            facts.max_block_bytes = 1 << 20;
            facts.staging_bytes = 1 << 20;
            facts.lease_ms = what_ == lie::lease_too_short ? 1 : 10'000;
            handshake_ = std::make_unique<wire::node_handshake>(*secret_, facts);
            ended_ = std::exchange(control_, *std::move(c));
        }
    }
    void on_frame(wire::connection& c, const wire::frame& f) override {
        if (&c != control_.get()) {
            return;
        }
        if (f.type == wire::message_type::hello) {
            c.send(*handshake_->begin(*wire::decode<wire::hello>(f.body)), 0);
        } else if (f.type == wire::message_type::proof) {
            c.send(*handshake_->finish(*wire::decode<wire::proof>(f.body)), 0);
        } else if (f.type == wire::message_type::open_lane) {
            answer_lane(c, f.id);
        } else if (f.type == wire::message_type::lookup) {
            answer_lookup(c, f);
        }
    }
    void answer_lane(wire::connection& c, std::uint64_t id) {
        if (what_ == lie::no_lane) {
            c.send(wire::failure{static_cast<std::uint16_t>(StatusCode::kUnimplemented), "no"}, id);
        } else if (what_ == lie::lane_to_nowhere) {
            wire::lane l;
            l.endpoint.assign(100, std::byte{0x77});
            c.send(l, id);
        }
    }
    void answer_lookup(wire::connection& c, const wire::frame& f) {
        const auto asked = wire::decode<wire::lookup>(f.body);
        if (!asked.ok()) {
            return;  // the test waits in vain
        }
        wire::found answer;
        wire::placement at{4096, 4096, 1, 1};
        switch (what_) {
        case lie::place_beyond_the_pool: at.offset = std::uint64_t{1} << 40; break;
        case lie::length_beyond_the_pool: at.length = (1 << 20) + 1; break;
        case lie::too_few_places: break;
        case lie::another_answer: c.send(wire::pong{}, f.id); return;
        case lie::malformed_answer: {
            std::vector<std::byte> whole(wire::frame_header_bytes + 1);
            whole[0] = std::byte{1};
            whole[4] = static_cast<std::byte>(wire::message_type::found);
            std::memcpy(&whole[8], &f.id, sizeof f.id);
            c.send_frames(whole);
            return;
        }
        case lie::garbage: {
            const std::vector<std::byte> junk(64, std::byte{0xff});
            c.send_frames(junk);
            return;
        }
        case lie::silence: return;
        default: break;
        }
        answer.blocks.assign(what_ == lie::too_few_places ? 1 : asked->keys.size(), at);
        c.send(answer, f.id);
    }
    void on_closed(wire::connection&, absl::Status) override {}

    const lie what_;
    std::unique_ptr<wire::shared_secret> secret_;
    sluice::thread_loop loop_;
    std::unique_ptr<wire::listener> listener_;
    std::unique_ptr<wire::node_handshake> handshake_;
    std::unique_ptr<wire::connection> control_;
    std::unique_ptr<wire::connection> ended_;
};

sluice::fabric_store_options options_for(const liar& l) {
    auto o = test_client::of({});
    o.nodes = {l.address()};
    return o;
}

TEST_CASE("fabric_store: a node that breaks the protocol is left, and its blocks are missed") {
    for (const lie what :
         {lie::place_beyond_the_pool, lie::length_beyond_the_pool, lie::too_few_places,
          lie::another_answer, lie::malformed_answer, lie::garbage}) {
        CAPTURE(static_cast<int>(what));
        liar node(what);
        test_client client(options_for(node));
        CHECK(client.lookup({1, 2, 3}) == std::vector<std::uint8_t>{0, 0, 0});
        CHECK(client->health()[0].state == node_state::down);
        CHECK_FALSE(client->health()[0].error.ok());
        std::vector<std::byte> into(4096);
        CHECK(client.get(1, into) == StatusCode::kUnavailable);
    }
}

TEST_CASE("fabric_store: a node without data connections is down, and says why") {
    for (const lie what : {lie::no_lane, lie::lane_to_nowhere}) {
        CAPTURE(static_cast<int>(what));
        liar node(what);
        test_client client(options_for(node));
        std::vector<std::byte> into(4096);
        CHECK(client.get(1, into) == StatusCode::kUnavailable);
        CHECK(client->health()[0].state == node_state::down);
        CHECK_FALSE(client->health()[0].error.ok());
    }
}

TEST_CASE("fabric_store: a node that says nothing costs the soft timeout") {
    liar node(lie::silence);
    auto o = options_for(node);
    o.soft_timeout = 20ms;
    o.connect_timeout = 100ms;
    test_client client(o);
    CHECK(client.lookup({1}) == std::vector<std::uint8_t>{0});
    std::vector<std::byte> into(4096);
    const StatusCode how = client.get(1, into);
    CHECK((how == StatusCode::kDeadlineExceeded || how == StatusCode::kUnavailable));
}

TEST_CASE("fabric_store: leases too short to be used make nobody go round for ever") {
    liar node(lie::lease_too_short);
    auto o = options_for(node);
    o.soft_timeout = 100ms;
    o.connect_timeout = 200ms;
    test_client client(o);
    std::vector<std::byte> into(4096);
    const StatusCode how = client.get(1, into);
    CHECK((how == StatusCode::kDeadlineExceeded || how == StatusCode::kUnavailable));
}

}  // namespace
