// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/virtual_loop.hpp>
#include <sluice/sim/link.hpp>
#include <sluice/sim/network.hpp>

#include "support/tracked.hpp"

namespace sluice::test {

/// Memory that is an address only.
inline std::span<std::byte> nowhere(std::size_t bytes) {
    return {reinterpret_cast<std::byte*>(std::uintptr_t{1} << 40), bytes};
}

inline sim::network_options nodes(std::vector<sim::node_options> all, std::uint32_t replicas = 1) {
    sim::network_options o;
    o.nodes = std::move(all);
    o.replicas = replicas;
    return o;
}

/// Memory nodes, links to them, and who asks.
struct sim_rig {
    explicit sim_rig(sim::network_options n, const sim::link_options& l = {},
                     std::size_t links = 1) {
        auto made = sim::network::create(std::move(n), time);
        REQUIRE(made.ok());
        net = *std::move(made);
        for (std::size_t i = 0; i < links; ++i) {
            auto linked = sim::link::create(*net, l);
            REQUIRE(linked.ok());
            all.push_back(*std::move(linked));
        }
    }

    using get_op = std::unique_ptr<tracked<store_get>>;
    using put_op = std::unique_ptr<tracked<store_put>>;

    void hold(std::uint64_t key, std::uint64_t bytes) {
        net->hold(block_key::from_u64(key), bytes);
    }
    get_op get(std::uint64_t key, std::size_t bytes, std::size_t by = 0) {
        auto op = std::make_unique<tracked<store_get>>(time);
        op->key = block_key::from_u64(key);
        op->into = nowhere(bytes);
        store_get* const ops[] = {op.get()};
        all[by]->get(ops);
        return op;
    }
    put_op put(std::uint64_t key, std::size_t bytes, std::size_t by = 0) {
        auto op = std::make_unique<tracked<store_put>>(time);
        op->key = block_key::from_u64(key);
        op->from = nowhere(bytes);
        store_put* const ops[] = {op.get()};
        all[by]->put(ops);
        return op;
    }
    /// How a get ends.
    absl::StatusCode code_of_get(std::uint64_t key, std::size_t bytes) {
        const get_op op = get(key, bytes);
        time.run_until_idle();
        REQUIRE(op->times == 1);
        return op->code();
    }
    std::vector<std::uint8_t> lookup(std::initializer_list<std::uint64_t> ids) {
        std::vector<block_key> keys;
        for (const std::uint64_t id : ids) {
            keys.push_back(block_key::from_u64(id));
        }
        std::vector<std::uint8_t> present(keys.size(), 9);
        tracked<store_lookup> op(time);
        op.keys = keys;
        op.present = present;
        link().lookup(op);
        time.run_until_idle();
        REQUIRE(op.times == 1);
        REQUIRE(op.status().ok());
        answered = op.at;
        return present;
    }
    [[nodiscard]] sim::link& link() { return *all[0]; }

    virtual_loop time;
    std::unique_ptr<sim::network> net;
    std::vector<std::unique_ptr<sim::link>> all;
    time_point answered{};  ///< the last lookup
};

}  // namespace sluice::test
