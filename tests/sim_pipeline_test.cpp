// SPDX-License-Identifier: Apache-2.0
// The production pipeline over simulated seams, at times made by hand.
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/virtual_loop.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/sim/copy_engine.hpp>
#include <sluice/sim/link.hpp>
#include <sluice/sim/network.hpp>
#include <sluice/sim/prefill.hpp>

using namespace sluice;
using namespace std::chrono_literals;

namespace {

constexpr std::uint64_t block_bytes = 2 * mib;

// A block takes 1 ms of the link and 0.5 ms of the copy engine, a prefill 5 ms and 0.1 ms a token.
struct rig {
    explicit rig(const sim::node_options& node = {}, const sim::link_options& drift = {}) {
        sim::network_options n;
        n.nodes.push_back(node);
        network = *sim::network::create(n, time);
        sim::link_options l = drift;
        l.rate = block_bytes * 1e3;
        link = *sim::link::create(*network, l);
        copies = *sim::copy_engine::create({.rate = block_bytes * 2e3}, time);
        prefill = *sim::prefill::create({.c0_s = 0.005, .c1_s = 0.0001}, time);
        l1.emplace(*sim::simulated_layout(1000, block_bytes, 64));
        pipeline_options o;
        o.l1 = &*l1;
        o.device = copies.get();
        o.store = link.get();
        o.compute = prefill.get();
        o.l2_bytes = 100 * gib;
        o.control = o.io = &time;
        pipe = *pipeline::create(std::move(o));
    }
    ~rig() {
        pipe->begin_close();
        time.run_until_idle();
    }
    rig(const rig&) = delete;
    rig& operator=(const rig&) = delete;

    /// `blocks` of them cached, and `query` more tokens.
    request_handle submit(std::uint64_t first, std::uint64_t blocks, std::uint64_t query) {
        std::vector<block_key> keys;
        for (std::uint64_t id = first; id < first + blocks; ++id) {
            keys.push_back(block_key::from_u64(id));
            network->hold(keys.back(), block_bytes);
        }
        request_spec spec;
        spec.keys = keys;
        spec.prompt_tokens = 16 * blocks + query;
        return *pipe->submit(spec);
    }
    request_report run(request_handle h) {
        time.run_until_idle();
        return *pipe->report(h);
    }

    virtual_loop time;
    std::unique_ptr<sim::network> network;
    std::unique_ptr<sim::link> link;
    std::unique_ptr<sim::copy_engine> copies;
    std::unique_ptr<sim::prefill> prefill;
    std::optional<layout> l1;
    std::unique_ptr<pipeline> pipe;
};

}  // namespace

TEST_CASE("sim pipeline: a request alone takes its loads, its last copy and its prefill") {
    rig r({.latency = 200us});
    const request_report a = r.run(r.submit(1, 100, 20));
    // Lookup 0.2, fetch until 100.2 and 0.2 of latency, copy 0.5, prefill 5 + 2.
    CHECK(a.looked_up == time_point{200us});
    CHECK(a.fetched == time_point{100'400us});
    CHECK(a.loaded == time_point{100'900us});
    CHECK(a.first_token == time_point{107'900us});
    CHECK(a.loaded_blocks == 100);
    CHECK(r.link->stats().bytes == 100 * block_bytes);
    CHECK(r.copies->stats().copies_in == 100);
}

TEST_CASE("sim pipeline: one request loads while another one computes") {
    rig r;
    const request_handle first = r.submit(1, 10, 150);     // loaded at 10.5, computes 5 + 15
    const request_handle second = r.submit(100, 20, 100);  // loaded at 30.5, computes 5 + 10
    r.time.run_until_idle();
    CHECK(r.pipe->report(first)->first_token == time_point{30'500us});
    CHECK(r.pipe->report(second)->loaded == time_point{30'500us});
    CHECK(r.pipe->report(second)->first_token == time_point{45'500us});
}

TEST_CASE("sim pipeline: a link that slows down in the middle slows what has not moved") {
    rig r({}, {.drift = {{time_point{50'500us}, 0.5}}});
    const request_report a = r.run(r.submit(1, 100, 20));
    // 50.5 blocks by then, 49.5 at 2 ms.
    CHECK(a.fetched == time_point{149'500us});
}

TEST_CASE("sim pipeline: a node that dies costs its blocks, and the rest is computed") {
    rig r({.events = {{time_point{10'500us}, sim::node_change::die}}});
    const request_handle h = r.submit(1, 100, 20);
    const request_report a = r.run(h);
    CHECK(a.loaded_blocks == 10);
    // That of the tenth block is copied by then; 90 blocks of 16 tokens and 20 more.
    CHECK(a.first_token == time_point{10'500us + 5ms + 1460 * 100us});
}
