// SPDX-License-Identifier: Apache-2.0
#include <sluice/sim/link.hpp>

#include <memory>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/virtual_loop.hpp>

#include "support/tracked.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using test::tracked;
using code = absl::StatusCode;

namespace {

// Memory that is an address only.
std::span<std::byte> nowhere(std::size_t bytes) {
    return {reinterpret_cast<std::byte*>(std::uintptr_t{1} << 40), bytes};
}

struct world {
    explicit world(sim::network_options n, sim::link_options l = {}) {
        auto made = sim::network::create(std::move(n), time);
        REQUIRE(made.ok());
        net = *std::move(made);
        auto linked = sim::link::create(*net, l);
        REQUIRE(linked.ok());
        link = *std::move(linked);
    }

    std::unique_ptr<tracked<store_get>> get(std::uint64_t key, std::size_t bytes) {
        auto op = std::make_unique<tracked<store_get>>(time);
        op->key = block_key::from_u64(key);
        op->into = nowhere(bytes);
        store_get* const ops[] = {op.get()};
        link->get(ops);
        return op;
    }

    virtual_loop time;
    std::unique_ptr<sim::network> net;
    std::unique_ptr<sim::link> link;
};

sim::network_options one_node(sim::node_options n = {}) {
    sim::network_options o;
    o.nodes.push_back(std::move(n));
    return o;
}

}  // namespace

TEST_CASE("sim link: one block takes its overheads, its bytes at the lower rate, the latency") {
    // 10 000 bytes at 1 byte/ns of the link; the node could send 4.
    sim::node_options n;
    n.rate = 4e9;
    n.per_operation = 3us;
    n.latency = 50us;
    sim::link_options l;
    l.rate = 1e9;
    l.per_operation = 2us;
    world w(one_node(n), l);
    w.net->hold(block_key::from_u64(1), 10'000);
    const auto hit = w.get(1, 10'000);
    w.time.run_until_idle();
    CHECK(hit->code() == code::kOk);
    CHECK(hit->at == time_point{3us + 2us + 10us + 50us});
    CHECK(w.link->stats().busy_seconds == 12e-6);

    const auto miss = w.get(2, 10'000);
    w.time.run_until_idle();
    CHECK(miss->code() == code::kNotFound);
    CHECK(miss->at == hit->at + 55us);
}

TEST_CASE("sim link: a hundred blocks keep the slower resource busy") {
    sim::node_options n;
    n.rate = 1e9;
    n.latency = 5us;
    sim::link_options l;
    l.rate = 3e9;
    world w(one_node(n), l);
    std::vector<std::unique_ptr<tracked<store_get>>> ops;
    for (std::uint64_t key = 0; key < 100; ++key) {
        w.net->hold(block_key::from_u64(key), 1'000);
        ops.push_back(w.get(key, 1'000));
    }
    w.time.run_until_idle();
    for (std::size_t i = 0; i < ops.size(); ++i) {
        CHECK(ops[i]->at == time_point{(i + 1) * 1us + 5us});
    }
}
