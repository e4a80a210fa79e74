// SPDX-License-Identifier: Apache-2.0
#include <functional>
#include <memory>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/sync_wait.hpp>
#include <sluice/cost/linear_cost_model.hpp>
#include <sluice/sched/policy_registry.hpp>

#include "../src/baseline/baseline.hpp"
#include "support/rig.hpp"

namespace sluice::baselines {
namespace {

using namespace std::chrono_literals;
using test::rig;

constexpr duration fetch_time = 40960ns;  // of a block: 4096 bytes at 100 MB/s
constexpr duration copy_time = 4096ns;    // at 1 GB/s
constexpr duration token_time = 1us;

/// A baseline on virtual time over a store and a device of real bytes.
struct stand {
    explicit stand(baseline_kind kind, rig::shape shape = {},
                   const std::function<void(baseline_options&)>& change = {})
        : r(shape) {
        r.gpu = *host_device::create({.rate = 1e9}, &r.loop);
        r.fill(1, 64);
        baseline_options o;
        o.kind = kind;
        o.l1 = &*r.l1;
        o.compute = &*r.model;
        o.device = r.gpu.get();
        o.store = r.l3.get();
        o.l2_bytes = std::uint64_t{shape.l2_blocks} * shape.block_bytes;
        o.home = &r.loop;
        if (change) {
            change(o);
        }
        base = *baseline::create(o, [this](const baseline_outcome& out) { done.push_back(out); });
        begin = r.loop.now();
    }
    ~stand() {
        sync_wait(r.loop, base->close());
        r.loop.run_until_idle();  // what is posted names the baseline
    }

    /// Blocks first .. first + n - 1 and `extra` more tokens, at this moment.
    void submit(std::uint64_t first, std::uint32_t n, std::uint64_t extra = 16,
                time_point deadline = never) {
        keys.push_back(std::make_unique<std::vector<block_key>>(rig::keys(first, n)));
        baseline_spec spec;
        spec.keys = *keys.back();
        spec.prompt_tokens = std::uint64_t{n} * 16 + extra;
        spec.deadline = deadline;
        spec.user = keys.back().get();
        base->submit(spec);
    }
    [[nodiscard]] duration token_at(std::size_t i) const {
        return done.at(i).report.first_token - begin;
    }

    rig r;
    std::vector<std::unique_ptr<std::vector<block_key>>> keys;
    std::vector<baseline_outcome> done;
    std::unique_ptr<baseline> base;
    time_point begin{};
};

TEST_CASE("baseline: coupled fetches, copies and computes one after the other", "[baseline]") {
    stand s(baseline_kind::coupled);
    s.submit(1, 8);
    s.submit(9, 4);
    s.r.loop.run_until_idle();
    REQUIRE(s.done.size() == 2);
    const duration first = 8 * (fetch_time + copy_time) + 16 * token_time;
    CHECK(s.token_at(0) == first);
    CHECK(s.token_at(1) == first + 4 * (fetch_time + copy_time) + 16 * token_time);
    CHECK(s.done[1].begun - s.begin == first);
    CHECK(s.done[0].report.fetched - s.begin == 8 * fetch_time);
    CHECK(s.done[0].report.loaded_blocks == 8);
    CHECK(s.done[0].report.bytes_fetched == 8 * 4096);
    CHECK(s.done[0].user == s.keys[0].get());
    CHECK(s.base->stats().fetch.busy == 12 * fetch_time);
    CHECK(s.base->stats().blocks_verified == 12);
}

TEST_CASE("baseline: L1 and L2 are caches", "[baseline]") {
    stand s(baseline_kind::coupled, {.slots = 10, .l2_blocks = 64});
    s.submit(1, 8);
    s.r.loop.run_until_idle();
    s.begin = s.r.loop.now();
    s.submit(1, 8);  // in L1
    s.r.loop.run_until_idle();
    CHECK(s.token_at(1) == 16 * token_time);
    CHECK(s.base->stats().l1_hits == 8);

    s.submit(20, 9);  // takes the pages
    s.r.loop.run_until_idle();
    s.begin = s.r.loop.now();
    s.submit(1, 8);  // in L2
    s.r.loop.run_until_idle();
    CHECK(s.token_at(3) == 8 * copy_time + 16 * token_time);
    CHECK(s.base->stats().l2_hits == 8);

    s.base->drop_caches();
    CHECK(s.base->stats().l1_free == 10);
    CHECK(s.base->stats().l2_free == 64);
    s.begin = s.r.loop.now();
    s.submit(1, 8);
    s.r.loop.run_until_idle();
    CHECK(s.token_at(4) == 8 * (fetch_time + copy_time) + 16 * token_time);
}

TEST_CASE("baseline: async sees a load at the next poll, or when a compute ends", "[baseline]") {
    stand s(baseline_kind::async);
    s.submit(1, 8);    // loaded after 0.36 ms
    s.submit(9, 8);    // after 0.69 ms: fetched behind it, copied beside the fetches
    s.submit(17, 12);  // after 1.20 ms
    s.r.loop.run_until_idle();
    REQUIRE(s.done.size() == 3);
    CHECK(s.done[0].report.loaded - s.begin == 8 * fetch_time + 8 * copy_time);
    CHECK(s.done[1].report.loaded - s.begin == 16 * fetch_time + 8 * copy_time);
    CHECK(s.token_at(0) == 1ms + 16 * token_time);
    CHECK(s.token_at(1) == 1ms + 32 * token_time);  // seen when the first was through
    // Not there yet when the second was through, so it waits for a poll again.
    CHECK(s.token_at(2) == 2ms + 48 * token_time);
}

TEST_CASE("baseline: async hands over whole requests in order of arrival", "[baseline]") {
    stand s(baseline_kind::async, {.slots = 512});
    s.submit(1, 4, 5000);  // computes for 5 ms from 1 ms on
    s.submit(5, 30);
    s.submit(40, 1);
    s.r.loop.run_until_idle();
    CHECK(s.token_at(0) == 6ms);
    CHECK(s.done[1].user == s.keys[1].get());
    CHECK(s.token_at(1) == 6ms + 16 * token_time);
    CHECK(s.token_at(2) == 6ms + 32 * token_time);
}

TEST_CASE("baseline: async loads so many requests at once", "[baseline]") {
    stand s(baseline_kind::async, {}, [](baseline_options& o) { o.loading = 2; });
    for (std::uint64_t i = 0; i < 3; ++i) {
        s.submit(1 + i, 1);
    }
    s.r.loop.run_until_idle();
    // The third starts to load when the control loop has seen that one of the others is there.
    CHECK(s.done[1].report.first_fetch == s.begin);
    CHECK(s.done[2].report.first_fetch - s.begin == 1ms);
}

TEST_CASE("baseline: async admission stops at the first request that does not fit", "[baseline]") {
    stand s(baseline_kind::async, {.slots = 12});
    s.submit(1, 8);   // 9 pages
    s.submit(11, 8);  // 9 pages: waits for the first to end
    s.submit(21, 1);  // would fit
    s.r.loop.run_until_idle();
    REQUIRE(s.done.size() == 3);
    const duration first = 1ms + 16 * token_time;
    CHECK(s.token_at(0) == first);
    CHECK(s.done[1].report.granted - s.begin == first);
    CHECK(s.done[2].report.granted - s.begin >= first);
    CHECK(s.done[2].user == s.keys[2].get());
}

TEST_CASE("baseline: async moves a shared block once", "[baseline]") {
    stand s(baseline_kind::async);
    s.submit(1, 8);
    s.submit(1, 6);
    s.r.loop.run_until_idle();
    REQUIRE(s.done.size() == 2);
    CHECK(s.base->stats().fetch.operations == 8);
    CHECK(s.base->stats().copy.operations == 8);
    CHECK(s.done[1].report.bytes_deduplicated == 6 * 4096);
    CHECK(s.done[1].report.loaded_blocks == 6);
}

TEST_CASE("baseline: a lost block shortens the prefix of all who wait for it", "[baseline]") {
    stand s(baseline_kind::async);
    REQUIRE(s.r.l3->damage(block_key::from_u64(4)));
    s.submit(1, 8);
    s.submit(1, 8);
    s.r.loop.run_until_idle();
    REQUIRE(s.done.size() == 2);
    for (const baseline_outcome& out : s.done) {
        CHECK(out.status.ok());
        CHECK(out.report.loaded_blocks == 3);
    }
    CHECK(s.base->stats().blocks_corrupt == 1);
}

TEST_CASE("baseline: what was computed is stored, and loaded by others", "[baseline]") {
    for (const baseline_kind kind : {baseline_kind::coupled, baseline_kind::async}) {
        stand s(kind);
        s.submit(100, 8);
        s.r.loop.run_until_idle();
        CHECK(s.done.at(0).report.loaded_blocks == 0);
        CHECK(s.base->stats().stored_blocks == 8);
        s.base->drop_caches();
        s.submit(100, 8);
        s.r.loop.run_until_idle();
        CHECK(s.done.at(1).report.loaded_blocks == 8);
        CHECK(s.base->stats().fetch.operations == 8);
        // Nothing is held for good.
        const pipeline_stats stats = s.base->stats();
        CHECK(stats.l1_free + stats.l1_cold == 64);
        CHECK(stats.l2_free + stats.l2_cold == 64);
    }
}

TEST_CASE("baseline: coupled serves whom the policy says", "[baseline]") {
    linear_cost_model cost;
    cost.set_load(stage_id::fetch, {.per_byte_s = 1 / 100e6});
    cost.set_load(stage_id::copy, {.per_byte_s = 1e-9});
    cost.set_compute({.c1_s = 1e-6});
    cost.set_refit(false);
    // Three come while the first is served: by deadline, by tokens to compute, by all that is to
    // do.
    struct row {
        const char* policy;
        std::vector<int> order;
    };
    for (const row& want : {row{"fifo", {0, 1, 2, 3}}, row{"edf:late_last=off", {0, 3, 2, 1}},
                            row{"sjf_pt", {0, 2, 1, 3}}, row{"sjf", {0, 1, 3, 2}}}) {
        CAPTURE(want.policy);
        const std::unique_ptr<policy> order = *make_policy(want.policy);
        stand s(baseline_kind::coupled, {}, [&](baseline_options& o) {
            o.policy = order.get();
            o.cost = &cost;
        });
        s.submit(1, 8);
        s.r.loop.advance(10us);
        s.submit(9, 1, 20, s.begin + 9ms);
        s.submit(17, 9, 16, s.begin + 8ms);
        s.submit(33, 4, 30, s.begin + 7ms);
        s.r.loop.run_until_idle();
        REQUIRE(s.done.size() == 4);
        for (std::size_t i = 0; i < 4; ++i) {
            CHECK(s.done[i].user == s.keys[static_cast<std::size_t>(want.order[i])].get());
        }
        // The service of each is what it is without a policy, and as predicted.
        for (const baseline_outcome& out : s.done) {
            const duration took = out.report.first_token - out.begun;
            CHECK(to_seconds(took) == Catch::Approx(out.report.predicted.total()));
        }
    }
}

TEST_CASE("baseline: pages can be kept after the outcome", "[baseline]") {
    for (const bool write_back : {false, true}) {
        stand s(baseline_kind::coupled, {.slots = 12});
        const std::vector<block_key> keys = rig::keys(100, 4);
        baseline_spec spec;
        spec.keys = keys;
        spec.prompt_tokens = 4 * 16 + 1;
        spec.pages = 8;  // three for what is generated
        spec.keep_pages = true;
        spec.write_back = write_back;
        s.base->submit(spec);
        s.r.loop.run_until_idle();
        REQUIRE(s.done.size() == 1);
        s.submit(1, 4);  // needs five pages
        s.r.loop.run_until_idle();
        CHECK(s.done.size() == 1);
        s.base->release(s.done[0].id);
        s.r.loop.run_until_idle();
        CHECK(s.done.size() == 2);
    }
}

TEST_CASE("baseline: what can never fit fails, wrong options are refused", "[baseline]") {
    stand s(baseline_kind::coupled, {.slots = 8});
    s.submit(1, 8);
    s.r.loop.run_until_idle();
    CHECK(s.done.at(0).status.code() == absl::StatusCode::kOutOfRange);
    CHECK(baseline::create({}, nullptr).status().code() == absl::StatusCode::kInvalidArgument);
    const std::unique_ptr<policy> order = *make_policy("sjf");
    baseline_options o;
    o.kind = baseline_kind::async;
    o.l1 = &*s.r.l1;
    o.compute = &*s.r.model;
    o.device = s.r.gpu.get();
    o.store = s.r.l3.get();
    o.home = &s.r.loop;
    o.policy = order.get();
    CHECK(baseline::create(o, nullptr).status().code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice::baselines
