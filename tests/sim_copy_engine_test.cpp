// SPDX-License-Identifier: Apache-2.0
#include <sluice/sim/copy_engine.hpp>

#include <cmath>
#include <limits>
#include <memory>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/base/bytes.hpp>
#include <sluice/coro/virtual_loop.hpp>

#include "support/allocation_counter.hpp"
#include "support/tracked.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using test::tracked;
using code = absl::StatusCode;

namespace {

struct rig {
    explicit rig(const sim::copy_engine_options& o, std::uint64_t block_bytes = 10'000,
                 std::uint32_t pieces = 1)
        : l(*sim::simulated_layout(100, block_bytes, pieces)) {
        auto made = sim::copy_engine::create(o, time);
        REQUIRE(made.ok());
        engine = *std::move(made);
        REQUIRE(engine->register_layout(l).ok());
        host = *engine->allocate_pinned(block_bytes);
    }
    ~rig() { engine->free_pinned(host); }
    rig(const rig&) = delete;
    rig& operator=(const rig&) = delete;

    using copy = std::unique_ptr<tracked<device_copy>>;
    copy make() {
        auto op = std::make_unique<tracked<device_copy>>(time);
        op->host = host.data();
        op->group = l.groups().data();
        op->slot = 3;
        return op;
    }
    copy in() {
        copy op = make();
        device_copy* const ops[] = {op.get()};
        engine->copy_in(ops);
        return op;
    }
    copy out() {
        copy op = make();
        device_copy* const ops[] = {op.get()};
        engine->copy_out(ops);
        return op;
    }

    virtual_loop time;
    layout l;
    std::unique_ptr<sim::copy_engine> engine;
    std::span<std::byte> host;
};

}  // namespace

TEST_CASE("sim copy engine: one stream does one thing at a time") {
    // 10 000 bytes at 1 byte/ns: 10 us, after 2 us and 4 pieces of 500 ns.
    rig r({.rate = 1e9, .per_operation = 2us, .per_descriptor = 500ns}, 10'000, 4);
    const auto a = r.in();
    const auto b = r.in();
    const auto back = r.out();  // the other direction
    r.time.run_until_idle();
    CHECK(a->at == time_point{14us});
    CHECK(b->at == time_point{28us});
    CHECK(back->at == time_point{14us});
    const sim::copy_engine_stats s = r.engine->stats();
    CHECK(s.copies_in == 2);
    CHECK(s.copies_out == 1);
    CHECK(s.bytes_in == 20'000);
    CHECK(s.bytes_out == 10'000);
    CHECK(std::abs(s.busy_seconds - 28e-6) < 1e-15);
    CHECK(std::abs(s.out_busy_seconds - 14e-6) < 1e-15);
}

TEST_CASE("sim copy engine: streams launch side by side and share the bandwidth") {
    // Launch 4 us, bytes 10 us: a 4 - 14, b launched by 4, moves 14 - 24; c has a's stream from
    // 14, launched by 18, moves 24 - 34.
    rig r({.rate = 1e9, .per_operation = 4us, .streams = 2});
    const auto a = r.in();
    const auto b = r.in();
    const auto c = r.in();
    r.time.run_until_idle();
    CHECK(a->at == time_point{14us});
    CHECK(b->at == time_point{24us});
    CHECK(c->at == time_point{34us});
    CHECK(std::abs(r.engine->stats().busy_seconds - 34e-6) < 1e-15);
}

TEST_CASE("sim copy engine: launches bound small copies, as streams allow") {
    // 1 us of bytes behind 4 us of launch: two streams do two every 5 us, four streams every 4 us
    // four, and the bandwidth never limits.
    for (const std::uint32_t streams : {1U, 2U, 4U}) {
        rig r({.rate = 1e9, .per_operation = 4us, .streams = streams}, 1'000);
        std::vector<rig::copy> ops;
        for (int i = 0; i < 400; ++i) {
            ops.push_back(r.in());
        }
        r.time.run_until_idle();
        // The first round of streams moves its bytes in turn; then each stream is its own clock.
        const auto each = static_cast<std::int64_t>(400 / streams) * 5000;
        CHECK(ops.back()->ns() == each + 1000 * (std::int64_t{streams} - 1));
    }
}

TEST_CASE("sim copy engine: without a rate only launches take time") {
    rig r({.per_operation = 4us, .streams = 2});
    const auto a = r.in();
    const auto b = r.in();
    const auto c = r.in();
    r.time.run_until(time_point{6us});
    CHECK(a->at == time_point{4us});
    CHECK(b->at == time_point{4us});
    CHECK(std::abs(r.engine->stats().busy_seconds - 6e-6) < 1e-15);
    r.time.run_until_idle();
    CHECK(c->at == time_point{8us});
}

TEST_CASE("sim copy engine: memory is address space, however much") {
    virtual_loop time;
    auto engine = *sim::copy_engine::create({}, time);
    const auto memory = engine->allocate_pinned(100 * gib);
    REQUIRE(memory.ok());
    CHECK(memory->size() == 100 * gib);
    CHECK(reinterpret_cast<std::uintptr_t>(memory->data()) % 4096 == 0);
    engine->free_pinned(*memory);
    CHECK(engine->allocate_pinned(0).status().code() == code::kInvalidArgument);
    CHECK(engine->allocate_pinned(std::numeric_limits<std::size_t>::max() / 2).status().code() ==
          code::kResourceExhausted);
}

TEST_CASE("sim copy engine: copies of nothing known are refused") {
    rig r({.rate = 1e9});
    const auto end = [&r](auto change) {
        const rig::copy op = r.make();
        change(*op);
        device_copy* const ops[] = {op.get()};
        r.engine->copy_in(ops);
        CHECK_FALSE(op->done());
        r.time.run_until_idle();
        REQUIRE(op->times == 1);
        return op->code();
    };
    const layout other = *sim::simulated_layout(100, 10'000);
    CHECK(end([](device_copy& op) { op.host = nullptr; }) == code::kInvalidArgument);
    CHECK(end([](device_copy& op) { op.group = nullptr; }) == code::kInvalidArgument);
    CHECK(end([&](device_copy& op) { op.group = other.groups().data(); }) ==
          code::kInvalidArgument);
    CHECK(end([](device_copy& op) { op.slot = 100; }) == code::kInvalidArgument);
    CHECK(end([](device_copy& op) { op.slot = 99; }) == code::kOk);
    CHECK(r.engine->stats().refused == 4);
    CHECK(r.engine->stats().copies_in == 1);
}

TEST_CASE("sim copy engine: impossible options are refused by name") {
    virtual_loop time;
    const auto refused = [&time](const sim::copy_engine_options& o, std::string_view about) {
        const auto r = sim::copy_engine::create(o, time);
        return r.status().code() == code::kInvalidArgument &&
               std::string_view(r.status().message().data(), r.status().message().size())
                       .find(about) != std::string_view::npos;
    };
    CHECK(refused({.rate = -1}, "rate"));
    CHECK(refused({.rate = std::nan("")}, "rate"));
    CHECK(refused({.per_operation = -1ns}, "per_operation"));
    CHECK(refused({.per_descriptor = 25h}, "per_descriptor"));
    CHECK(refused({.streams = 0}, "streams"));
    CHECK(refused({.streams = 1025}, "streams"));
    CHECK_FALSE(sim::simulated_layout(0, 10).ok());
    CHECK_FALSE(sim::simulated_layout(1, 10, 0).ok());
    CHECK_FALSE(sim::simulated_layout(1, 1, 2).ok());
    CHECK_FALSE(sim::simulated_layout(UINT32_MAX, UINT64_MAX / 2).ok());
    const layout l = *sim::simulated_layout(7, 10, 3);
    CHECK(l.block_bytes(0) == 10);
    CHECK(l.pieces(0) == 3);
    CHECK(l.slots(0) == 7);
}

TEST_CASE("sim copy engine: copying allocates nothing in steady state") {
    rig r({.rate = 1e9, .per_operation = 4us, .streams = 2});
    std::vector<rig::copy> ops;
    std::vector<device_copy*> started;
    for (int i = 0; i < 50; ++i) {
        ops.push_back(r.make());
        started.push_back(ops.back().get());
    }
    r.engine->copy_in(started);
    r.time.run_until_idle();
    const test::allocation_counter count;
    r.engine->copy_in(started);
    r.time.run_until_idle();
    CHECK(count.allocations() == 0);
    CHECK(ops[49]->times == 2);
}
