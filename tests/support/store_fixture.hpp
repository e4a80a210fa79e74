// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/virtual_loop.hpp>
#include <sluice/store/memory_store.hpp>

#include "support/tracked.hpp"

namespace sluice::test {

inline std::unique_ptr<memory_store> open_store(const memory_store_options& o, loop* on) {
    auto store = memory_store::create(o, on);
    REQUIRE(store.ok());
    return *std::move(store);
}

// A store and its caller on one virtual loop.
struct store_fixture {
    explicit store_fixture(const memory_store_options& o = {}) : store(open_store(o, &time)) {}

    absl::StatusCode put(std::uint64_t key, std::span<const std::byte> bytes) {
        tracked<store_put> op(time);
        op.key = block_key::from_u64(key);
        op.from = bytes;
        start(op);
        time.run_until_idle();
        REQUIRE(op.times == 1);
        return op.code();
    }
    absl::StatusCode get(std::uint64_t key, std::span<std::byte> into) {
        tracked<store_get> op(time);
        op.key = block_key::from_u64(key);
        op.into = into;
        start(op);
        time.run_until_idle();
        REQUIRE(op.times == 1);
        return op.code();
    }
    // Bytes read back; empty if there were none.
    std::vector<std::byte> read(std::uint64_t key, std::size_t n) {
        std::vector<std::byte> bytes(n);
        return get(key, bytes) == absl::StatusCode::kOk ? bytes : std::vector<std::byte>{};
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
        store->lookup(op);
        time.run_until_idle();
        REQUIRE(op.status().ok());
        return present;
    }
    void remove(std::uint64_t id) {
        const block_key key = block_key::from_u64(id);
        tracked<store_remove> op(time);
        op.keys = {&key, 1};
        store->remove(op);
        time.run_until_idle();
        REQUIRE(op.status().ok());
    }
    void start(store_put& op) {
        store_put* const ops[] = {&op};
        store->put(ops);
    }
    void start(store_get& op) {
        store_get* const ops[] = {&op};
        store->get(ops);
    }

    virtual_loop time;
    std::unique_ptr<memory_store> store;
};

using present_list = std::vector<std::uint8_t>;

}  // namespace sluice::test
