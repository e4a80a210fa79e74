// SPDX-License-Identifier: Apache-2.0
#include <sluice/store/memory_store.hpp>

#include <algorithm>
#include <latch>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>

#include <sluice/coro/thread_loop.hpp>

#include "support/store_fixture.hpp"
#include "support/tracked.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using test::open_store;
using test::pattern;
using test::present_list;
using test::store_fixture;
using test::tracked;
using code = absl::StatusCode;

TEST_CASE("memory_store: what is put can be got, by its size", "[store]") {
    store_fixture f;
    for (const std::size_t n : {1u, 63u, 64u, 65u, 4096u, 100000u, 3u << 20}) {
        CAPTURE(n);
        const auto bytes = pattern(n, n);
        CHECK(f.put(n, bytes) == code::kOk);
        CHECK(f.read(n, n) == bytes);
        std::vector<std::byte> other(n + 1, std::byte{5});
        CHECK(f.get(n, other) == code::kInvalidArgument);
        CHECK(f.get(n, {}) == code::kInvalidArgument);
        CHECK(std::count(other.begin(), other.end(), std::byte{5}) == std::ssize(other));
        CHECK(f.read(n, n) == bytes);
    }
    CHECK(f.store->stats().blocks == 7);
    CHECK(f.store->stats().gets == 7 * 4);
    CHECK(f.store->stats().misses == 0);
}

TEST_CASE("memory_store: misses, lookup and remove", "[store]") {
    store_fixture f;
    std::vector<std::byte> into(64);
    CHECK(f.get(1, into) == code::kNotFound);
    CHECK(f.put(1, pattern(64, 1)) == code::kOk);
    CHECK(f.put(3, pattern(64, 3)) == code::kOk);
    CHECK(f.lookup({1, 2, 3}) == present_list{1, 0, 1});
    CHECK(f.lookup({}).empty());
    f.remove(1);
    f.remove(2);
    CHECK(f.lookup({1, 2, 3}) == present_list{0, 0, 1});
    CHECK(f.get(1, into) == code::kNotFound);
    CHECK(f.store->stats().misses == 2);
    CHECK(f.store->stats().blocks == 1);
    CHECK(f.store->stats().bytes == 64);
}

TEST_CASE("memory_store: blocks are immutable", "[store]") {
    store_fixture f;
    const auto first = pattern(128, 1);
    CHECK(f.put(1, first) == code::kOk);
    CHECK(f.put(1, pattern(128, 2)) == code::kOk);
    CHECK(f.put(1, pattern(999, 2)) == code::kOk);
    CHECK(f.read(1, 128) == first);

    // Also if both are under way together.
    const auto a = pattern(128, 3);
    const auto b = pattern(128, 4);
    tracked<store_put> op_a(f.time);
    tracked<store_put> op_b(f.time);
    op_a.key = op_b.key = block_key::from_u64(2);
    op_a.from = a;
    op_b.from = b;
    store_put* const ops[] = {&op_a, &op_b};
    f.store->put(ops);
    f.time.run_until_idle();
    CHECK((op_a.status().ok() && op_b.status().ok()));
    CHECK(f.read(2, 128) == a);
    CHECK(f.store->stats().blocks == 2);
    CHECK(f.store->stats().bytes == 256);
}

TEST_CASE("memory_store: a damaged block is lost once, then missed", "[store]") {
    store_fixture f;
    CHECK_FALSE(f.store->damage(block_key::from_u64(1)));
    CHECK(f.put(1, pattern(1000, 1)) == code::kOk);
    CHECK(f.put(2, pattern(1000, 2)) == code::kOk);
    CHECK(f.store->damage(block_key::from_u64(1)));
    std::vector<std::byte> into(1000);
    CHECK(f.get(1, into) == code::kDataLoss);
    CHECK(f.get(1, into) == code::kNotFound);
    CHECK(f.read(2, 1000) == pattern(1000, 2));
    CHECK(f.store->stats().corrupt == 1);
    CHECK(f.store->stats().blocks == 1);
    // It can be stored again.
    CHECK(f.put(1, pattern(1000, 1)) == code::kOk);
    CHECK(f.read(1, 1000) == pattern(1000, 1));

    store_fixture trusting({.checksums = false});
    CHECK(trusting.put(1, pattern(1000, 1)) == code::kOk);
    CHECK(trusting.store->damage(block_key::from_u64(1)));
    CHECK(trusting.get(1, into) == code::kOk);
    CHECK(into != pattern(1000, 1));
}

TEST_CASE("memory_store: capacity refuses, or evicts the least recently used", "[store]") {
    const bool evict = GENERATE(false, true);
    CAPTURE(evict);
    store_fixture f({.capacity = 4096, .evict = evict});
    for (std::uint64_t key = 0; key < 4; ++key) {
        CHECK(f.put(key, pattern(1000, key)) == code::kOk);  // 1 024 each
    }
    CHECK(f.read(0, 1000) == pattern(1000, 0));      // now 1 is the oldest
    CHECK(f.put(1, pattern(1000, 1)) == code::kOk);  // and now 2
    CHECK(f.put(8, pattern(5000, 8)) == code::kResourceExhausted);
    CHECK(f.lookup({3}) == present_list{1});
    if (evict) {
        CHECK(f.put(9, pattern(1000, 9)) == code::kOk);
        CHECK(f.lookup({0, 1, 2, 3, 9}) == present_list{1, 1, 0, 1, 1});
        CHECK(f.store->stats().evicted == 1);
        // Of another size: whole slabs have to come free.
        CHECK(f.put(10, pattern(2048, 10)) == code::kOk);
        CHECK(f.read(10, 2048) == pattern(2048, 10));
        CHECK(f.put(11, pattern(4096, 11)) == code::kOk);
        CHECK(f.read(11, 4096) == pattern(4096, 11));
        CHECK(f.store->stats().blocks == 1);
    } else {
        CHECK(f.put(9, pattern(1000, 9)) == code::kResourceExhausted);
        CHECK(f.lookup({0, 1, 2, 3, 9}) == present_list{1, 1, 1, 1, 0});
        CHECK(f.store->stats().refused == 2);
        f.remove(2);
        CHECK(f.put(9, pattern(1000, 9)) == code::kOk);
        for (const std::uint64_t key : {0u, 1u, 3u, 9u}) {
            f.remove(key);
        }
        CHECK(f.put(11, pattern(4096, 11)) == code::kOk);
    }
    CHECK(f.read(11, 4096) == pattern(4096, 11));
}

TEST_CASE("memory_store: many sizes share one capacity", "[store]") {
    store_fixture f({.capacity = 1 << 20, .evict = true});
    int lost = 0;
    for (std::uint64_t key = 0; key < 2000; ++key) {
        const std::size_t n = 64 + 64 * ((key * key) % 97);
        const auto bytes = pattern(n, key);
        CHECK(f.put(key, bytes) == code::kOk);
        lost += f.read(key, n) == bytes ? 0 : 1;
        CHECK(f.store->stats().bytes <= 1 << 20);
    }
    CHECK(lost == 0);
    CHECK(f.store->stats().bytes > 1 << 18);
    CHECK(f.store->stats().evicted + f.store->stats().blocks == 2000);
}

TEST_CASE("memory_store: bad operations and options", "[store]") {
    store_fixture f;
    const auto bytes = pattern(64, 1);
    std::vector<std::byte> into(64);
    tracked<store_put> no_key(f.time);
    no_key.from = bytes;
    f.start(no_key);
    tracked<store_get> no_key_get(f.time);
    no_key_get.into = into;
    f.start(no_key_get);
    const block_key key = block_key::from_u64(1);
    tracked<store_lookup> no_room(f.time);
    no_room.keys = {&key, 1};
    f.store->lookup(no_room);
    f.time.run_until_idle();
    CHECK(no_key.code() == code::kInvalidArgument);
    CHECK(no_key_get.code() == code::kInvalidArgument);
    CHECK(no_room.code() == code::kInvalidArgument);
    CHECK(f.put(1, {}) == code::kInvalidArgument);
    f.store->get({});
    f.store->put({});

    CHECK(f.store->register_memory({}).code() == code::kInvalidArgument);
    CHECK(f.store->register_memory(into).ok());
    f.store->unregister_memory(into);

    const double nan = std::numeric_limits<double>::quiet_NaN();
    const double infinite = std::numeric_limits<double>::infinity();
    CHECK(memory_store::create({.capacity = 0}).status().code() == code::kInvalidArgument);
    for (const double rate : {-1.0, nan, infinite}) {
        CHECK(memory_store::create({.link_rate = rate}).status().code() == code::kInvalidArgument);
    }
    CHECK(memory_store::create({.latency = -1ns}).status().code() == code::kInvalidArgument);
    CHECK(memory_store::create({.per_operation = -1ns}).status().code() == code::kInvalidArgument);
}

TEST_CASE("memory_store: shared by engines on several threads", "[store][race]") {
    // Every thread puts its blocks and reads everybody's, with evictions and damage on the way: a
    // block is got whole, or not at all.
    constexpr std::size_t engines = 4;
    constexpr std::size_t keys = 64;
    constexpr std::size_t rounds = 30;
    constexpr std::size_t size = 4096;
    const auto store = open_store({.capacity = 48 * size, .evict = true}, nullptr);
    std::vector<int> wrong(engines, 0);
    std::vector<std::size_t> hits(engines, 0);
    std::vector<std::thread> threads;
    for (std::size_t e = 0; e < engines; ++e) {
        threads.emplace_back([&, e] {
            thread_loop home;
            if (!home.start().ok()) {
                wrong[e] = -1;
                return;
            }
            std::vector<std::byte> into(keys * size);
            for (std::size_t round = 0; round < rounds; ++round) {
                std::latch all(2 * keys);
                std::vector<std::vector<std::byte>> from;
                std::vector<std::unique_ptr<tracked<store_put>>> puts;
                std::vector<std::unique_ptr<tracked<store_get>>> gets;
                std::vector<store_put*> started_puts;
                std::vector<store_get*> started_gets;
                for (std::size_t k = 0; k < keys; ++k) {
                    from.push_back(pattern(size, k));
                    puts.push_back(std::make_unique<tracked<store_put>>(home, nullptr, &all));
                    puts[k]->key = block_key::from_u64(k);
                    puts[k]->from = from[k];
                    started_puts.push_back(puts[k].get());
                    gets.push_back(std::make_unique<tracked<store_get>>(home, nullptr, &all));
                    gets[k]->key = block_key::from_u64((k + 16 * e) % keys);
                    gets[k]->into = std::span(into).subspan(k * size, size);
                    started_gets.push_back(gets[k].get());
                }
                store->put(started_puts);
                store->damage(block_key::from_u64(round % keys));
                store->get(started_gets);
                static_cast<void>(store->stats());
                all.wait();
                for (std::size_t k = 0; k < keys; ++k) {
                    wrong[e] += puts[k]->status().ok() ? 0 : 1;
                    if (gets[k]->status().ok()) {
                        ++hits[e];
                        const auto& expected = from[(k + 16 * e) % keys];
                        wrong[e] +=
                            std::equal(expected.begin(), expected.end(), gets[k]->into.begin()) ? 0
                                                                                                : 1;
                    } else if (gets[k]->code() != code::kNotFound &&
                               gets[k]->code() != code::kDataLoss) {
                        ++wrong[e];
                    }
                }
            }
        });
    }
    for (std::thread& t : threads) {
        t.join();
    }
    for (std::size_t e = 0; e < engines; ++e) {
        CHECK(wrong[e] == 0);
        CHECK(hits[e] > 0);
    }
    CHECK(store->stats().gets == engines * keys * rounds);
}
