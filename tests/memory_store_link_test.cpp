// SPDX-License-Identifier: Apache-2.0
#include <sluice/store/memory_store.hpp>

#include <cmath>
#include <latch>
#include <limits>
#include <memory>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/thread_loop.hpp>

#include "support/allocation_counter.hpp"
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

TEST_CASE("memory_store link: the link keeps exact time", "[store]") {
    // 1 000 bytes per microsecond, 2 us per operation, 50 us of latency.
    store_fixture f({.link_rate = 1e9, .per_operation = 2us, .latency = 50us});
    const auto bytes = pattern(10000, 1);
    CHECK(f.put(1, bytes) == code::kOk);
    CHECK(f.time.now() == time_point{62us});
    CHECK(f.lookup({1}) == present_list{1});
    CHECK(f.time.now() == time_point{112us});

    // Three together: each waits for those before it, not for their latency. A miss is short.
    std::vector<const operation*> order;
    std::vector<std::unique_ptr<tracked<store_get>>> ops;
    std::vector<store_get*> started;
    std::vector<std::byte> into(10000);
    for (const std::uint64_t key : {1u, 77u, 1u}) {
        ops.push_back(std::make_unique<tracked<store_get>>(f.time, &order));
        ops.back()->key = block_key::from_u64(key);
        ops.back()->into = into;
        started.push_back(ops.back().get());
    }
    f.store->get(started);
    f.time.run_until(time_point{173us});
    CHECK(order.empty());
    f.time.run_until_idle();
    CHECK(ops[0]->at == time_point{112us + 12us + 50us});
    CHECK(ops[1]->at == time_point{112us + 14us + 50us});
    CHECK(ops[2]->at == time_point{112us + 26us + 50us});
    CHECK(ops[1]->code() == code::kNotFound);
    CHECK(f.store->stats().busy_seconds == 12e-6 + 26e-6);

    // Idle time is not saved up, and a lookup passes the queue by.
    f.time.run_until(time_point{1ms});
    f.store->get(started);
    const block_key key = block_key::from_u64(1);
    std::uint8_t present = 0;
    tracked<store_lookup> look(f.time);
    look.keys = {&key, 1};
    look.present = {&present, 1};
    f.store->lookup(look);
    f.time.run_until_idle();
    CHECK(look.at == time_point{1ms + 50us});
    CHECK(ops[2]->at == time_point{1ms + 26us + 50us});
}

TEST_CASE("memory_store link: a backlog keeps the link busy to the nanosecond", "[store]") {
    // 7 bytes per nanosecond do not divide a block: fractions must add up, not get lost.
    store_fixture f({.link_rate = 7e9});
    const auto bytes = pattern(4096, 1);
    CHECK(f.put(1, bytes) == code::kOk);
    f.time.run_until(time_point{1ms});

    constexpr std::size_t count = 1000;
    std::vector<std::byte> into(4096);
    std::vector<std::unique_ptr<tracked<store_get>>> ops;
    for (std::size_t i = 0; i < count; ++i) {
        ops.push_back(std::make_unique<tracked<store_get>>(f.time));
        ops.back()->key = block_key::from_u64(1);
        ops.back()->into = into;
    }
    // Half at once, half while the first are under way.
    for (std::size_t i = 0; i < count / 2; ++i) {
        f.start(*ops[i]);
    }
    f.time.advance(100us);
    for (std::size_t i = count / 2; i < count; ++i) {
        f.start(*ops[i]);
    }
    f.time.run_until_idle();
    int wrong = 0;
    for (std::size_t i = 0; i < count; ++i) {
        const double exact = 1e6 + static_cast<double>(i + 1) * 4096 / 7;
        wrong += std::abs(static_cast<double>(ops[i]->ns()) - exact) <= 1 ? 0 : 1;
    }
    CHECK(wrong == 0);
}

TEST_CASE("memory_store link: its rate can change", "[store]") {
    store_fixture f({.link_rate = 1e9});
    CHECK(f.put(1, pattern(1000, 1)) == code::kOk);
    CHECK(f.time.now() == time_point{1us});
    REQUIRE(f.store->set_link_rate(1e6).ok());
    CHECK(f.put(2, pattern(1000, 2)) == code::kOk);
    CHECK(f.time.now() == time_point{1001us});
    REQUIRE(f.store->set_link_rate(0).ok());
    CHECK(f.read(1, 1000) == pattern(1000, 1));
    CHECK(f.time.now() == time_point{1001us});
    for (const double bad : {-1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
        CHECK(f.store->set_link_rate(bad).code() == code::kInvalidArgument);
    }
}

TEST_CASE("memory_store link: completes in order, each once, when many wait", "[store]") {
    store_fixture f;
    for (std::uint64_t key = 0; key < 8; ++key) {
        CHECK(f.put(key, pattern(64, key)) == code::kOk);
    }
    std::vector<const operation*> order;
    std::vector<std::unique_ptr<tracked<store_get>>> ops;
    std::vector<store_get*> started;
    std::vector<std::byte> into(64 * 500);
    for (std::size_t i = 0; i < 500; ++i) {
        ops.push_back(std::make_unique<tracked<store_get>>(f.time, &order));
        ops.back()->key = block_key::from_u64(i % 10);
        ops.back()->into = std::span(into).subspan(64 * i, 64);
        started.push_back(ops.back().get());
    }
    f.store->get(started);
    CHECK(order.empty());  // never inside the call
    f.time.run_until_idle();
    REQUIRE(order.size() == 500);
    for (std::size_t i = 0; i < 500; ++i) {
        CHECK(order[i] == started[i]);
        CHECK(ops[i]->code() == (i % 10 < 8 ? code::kOk : code::kNotFound));
    }
}

TEST_CASE("memory_store link: reading allocates nothing", "[store]") {
    store_fixture f({.link_rate = 1e9, .latency = 5us});
    CHECK(f.put(1, pattern(4096, 1)) == code::kOk);
    const block_key keys[] = {block_key::from_u64(1), block_key::from_u64(2)};
    std::uint8_t present[2] = {};
    std::vector<std::byte> into(4096);
    tracked<store_get> hit(f.time);
    tracked<store_get> miss(f.time);
    tracked<store_lookup> look(f.time);
    hit.key = keys[0];
    miss.key = keys[1];
    hit.into = miss.into = into;
    look.keys = keys;
    look.present = present;
    store_get* const ops[] = {&hit, &miss};
    std::uint64_t allocated = 0;
    for (int round = 0; round < 100; ++round) {
        const test::allocation_counter counter;
        f.store->lookup(look);
        f.store->get(ops);
        f.time.run_until_idle();
        allocated = round < 10 ? 0 : allocated + counter.allocations();
    }
    CHECK(allocated == 0);
    CHECK((hit.times == 100 && miss.times == 100 && look.times == 100));
}

TEST_CASE("memory_store link: abort ends what is under way, and only that", "[store]") {
    store_fixture f({.link_rate = 1e9, .latency = 10us});
    const auto bytes = pattern(1000, 1);
    CHECK(f.put(1, bytes) == code::kOk);  // at 11 us
    std::vector<std::byte> into(5000);
    std::vector<std::unique_ptr<tracked<store_get>>> ops;
    for (std::size_t i = 0; i < 5; ++i) {
        ops.push_back(std::make_unique<tracked<store_get>>(f.time));
        ops.back()->key = block_key::from_u64(1);
        ops.back()->into = std::span(into).subspan(1000 * i, 1000);
        f.start(*ops[i]);
    }
    tracked<store_put> put(f.time);
    put.key = block_key::from_u64(2);
    put.from = bytes;
    f.start(put);
    f.time.advance(500ns);
    f.store->abort(*ops[1]);  // served ahead: its time on the link is spent
    f.store->abort(*ops[3]);  // not begun: costs the link nothing
    f.store->abort(*ops[3]);
    f.time.advance(0ns);
    CHECK(ops[1]->code() == code::kDeadlineExceeded);
    CHECK(ops[3]->code() == code::kDeadlineExceeded);
    CHECK(ops[3]->ns() == 11500);
    f.time.run_until(time_point{11us + 14us});
    CHECK((ops[4]->done() && !put.done()));
    f.store->abort(put);
    f.store->abort(*ops[0]);  // over already
    f.time.run_until_idle();
    CHECK(put.code() == code::kDeadlineExceeded);
    CHECK(f.lookup({2}) == present_list{0});
    CHECK(ops[0]->ns() == 11000 + 11000);
    CHECK(ops[2]->ns() == 11000 + 13000);
    CHECK(ops[4]->ns() == 11000 + 14000);
    for (const auto& op : ops) {
        CHECK(op->times == 1);
    }

    tracked<store_lookup> look(f.time);
    f.store->lookup(look);
    f.store->abort(look);
    f.time.run_until_idle();
    CHECK(look.code() == code::kDeadlineExceeded);
    CHECK(look.times == 1);
}

TEST_CASE("memory_store link: a late abort does not hit the next use of an operation", "[store]") {
    store_fixture f({.latency = 10us});
    CHECK(f.put(1, pattern(64, 1)) == code::kOk);
    std::vector<std::byte> into(64);
    tracked<store_get> op(f.time);
    op.key = block_key::from_u64(1);
    op.into = into;
    f.start(op);
    f.time.run_until_idle();
    f.store->abort(op);
    f.start(op);
    f.time.run_until_idle();
    CHECK(op.times == 2);
    CHECK(op.status().ok());
}

TEST_CASE("memory_store link: may go while a wake-up is still queued", "[store]") {
    store_fixture f;
    tracked<store_get> never_started(f.time);
    f.store->abort(never_started);
    f.store.reset();
    CHECK(f.time.run_until_idle() == 1);
    CHECK_FALSE(never_started.done());
}

TEST_CASE("memory_store link: never completes before its time on a real clock", "[store]") {
    const auto store = open_store({.link_rate = 1e9, .latency = 300us}, nullptr);
    thread_loop home;
    REQUIRE(home.start().ok());
    const auto bytes = pattern(100000, 1);
    std::latch all(20);
    std::vector<std::unique_ptr<tracked<store_put>>> ops;
    std::vector<store_put*> started;
    for (std::uint64_t i = 0; i < 20; ++i) {
        ops.push_back(std::make_unique<tracked<store_put>>(home, nullptr, &all));
        ops.back()->key = block_key::from_u64(i);
        ops.back()->from = bytes;
        started.push_back(ops.back().get());
    }
    const time_point begun = home.now();
    store->put(started);
    all.wait();
    for (std::size_t i = 0; i < 20; ++i) {
        CHECK(ops[i]->status().ok());
        CHECK(ops[i]->at - begun >= 300us + 100us * (i + 1));
    }
}
