// SPDX-License-Identifier: Apache-2.0
#include <sluice/pipeline.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/sched/policy_registry.hpp>

#include "support/rig.hpp"

namespace sluice {
namespace {

using test::rig;

std::vector<event_kind> kinds(const std::vector<request_event>& events, request_handle h) {
    std::vector<event_kind> out;
    for (const request_event& e : events) {
        if (e.request == h) {
            out.push_back(e.kind);
        }
    }
    return out;
}

TEST_CASE("pipeline: cached blocks flow through L2 to L1, the rest is computed and stored") {
    rig r({});
    r.fill(1, 8);
    r.open(r.options());
    const request_handle h = r.submit(1, 10, 5);  // 8 of 10 blocks are cached
    const auto events = r.run();
    REQUIRE(kinds(events, h) ==
            std::vector{event_kind::loaded, event_kind::computed, event_kind::stored});
    CHECK(events[1].blocks == 8);
    CHECK(events[2].blocks == 2);
    const auto pages = *r.pipe->pages(h);
    REQUIRE(pages.size() == 11);
    for (std::uint32_t i = 0; i < 8; ++i) {
        CHECK(r.page_holds(pages[i], 1 + i));
    }
    const auto report = *r.pipe->report(h);
    CHECK(report.hit_blocks == 8);
    CHECK(report.bytes_fetched == 8 * 4096);
    CHECK(r.pipe->release(h).ok());
    r.loop.run_until_idle();
    CHECK(r.pipe->report(h).status().code() == absl::StatusCode::kNotFound);

    // The same prompt again: everything is in L1 now.
    const request_handle again = r.submit(1, 10, 5);
    const auto more = r.run();
    CHECK(kinds(more, again) ==
          std::vector{event_kind::loaded, event_kind::computed, event_kind::stored});
    CHECK(more[1].blocks == 10);
    CHECK(more[2].blocks == 0);
    CHECK(r.pipe->stats().l1_hits == 10);
    CHECK(r.pipe->release(again).ok());
    r.close();
    CHECK(r.pipe->closed());
    const pipeline_stats s = r.pipe->stats();
    CHECK(s.live_requests == 0);
    CHECK(s.l2_free + s.l2_cold == s.l2_slots);
    CHECK(s.l1_free + s.l1_cold == 64);
}

TEST_CASE("pipeline: two requests that want one block share its transfer") {
    rig r({});
    r.fill(1, 4);
    r.open(r.options());
    const request_handle a = r.submit(1, 4);
    const request_handle b = r.submit(1, 4);
    const auto events = r.run();
    const std::vector all{event_kind::loaded, event_kind::computed, event_kind::stored};
    CHECK(kinds(events, a) == all);
    CHECK(kinds(events, b) == all);
    CHECK(r.l3->stats().gets == 4);
    CHECK(r.pipe->stats().bytes_deduplicated == 4 * 4096);
    CHECK(r.pipe->report(b)->bytes_deduplicated == 4 * 4096);
    CHECK(*r.pipe->pages(a) != *r.pipe->pages(b));  // the computed page is each one's own
    r.close();
}

TEST_CASE("pipeline: a shorter request overtakes between two blocks of a longer one") {
    rig r({.slots = 256, .l2_blocks = 256, .link_rate = 1e6});
    r.fill(1, 110);
    auto o = r.options();
    o.policy = *make_policy("sjf");
    o.fetch = {1, mib};  // one block at a time: every choice shows
    r.open(std::move(o));
    const request_handle longer = r.submit(1, 100);
    r.loop.advance(std::chrono::milliseconds(20));  // a few blocks in
    const request_handle shorter = r.submit(101, 10);
    const auto events = r.run();
    const auto outcome_of = [&](request_handle h) {
        return std::ranges::find_if(
            events, [h](const request_event& e) { return e.request == h && is_outcome(e.kind); });
    };
    CHECK(outcome_of(shorter) < outcome_of(longer));
    const auto report = *r.pipe->report(shorter);
    // Ten blocks at 4096 us each, one that was under way, and no more.
    CHECK(report.fetched - report.arrival < std::chrono::microseconds(12 * 4096));
    r.close();
}

TEST_CASE("pipeline: a block that is missing or damaged shortens the prefix") {
    rig r({});
    r.fill(1, 8);
    r.open(r.options());
    REQUIRE(r.l3->damage(block_key::from_u64(4)));
    const request_handle h = r.submit(1, 8);
    const auto events = r.run();
    REQUIRE(kinds(events, h)[1] == event_kind::computed);
    CHECK(events[1].blocks == 3);
    CHECK(r.pipe->stats().blocks_corrupt == 1);
    const auto pages = *r.pipe->pages(h);
    for (std::uint32_t i = 0; i < 3; ++i) {
        CHECK(r.page_holds(pages[i], 1 + i));
    }
    r.close();
    CHECK(r.pipe->stats().l2_quarantined == 0);
}

TEST_CASE("pipeline: a request may ask to fail rather than recompute") {
    rig r({});
    r.fill(1, 8);
    auto o = r.options();
    o.on_load_failure = load_failure::fail;
    r.open(std::move(o));
    REQUIRE(r.l3->damage(block_key::from_u64(4)));
    const request_handle h = r.submit(1, 8);
    const auto events = r.run();
    REQUIRE(kinds(events, h) == std::vector{event_kind::failed});
    CHECK(events[0].status.code() == absl::StatusCode::kUnavailable);
    r.close();
    CHECK(r.pipe->closed());
}

TEST_CASE("pipeline: the engine binds its own pages when they are asked for") {
    rig r({.library_owned = false, .library_computes = false});
    r.fill(1, 4);
    r.open(r.options());
    const request_handle h = r.submit(1, 4);
    auto events = r.run();
    REQUIRE(kinds(events, h) == std::vector{event_kind::want_pages});
    const slot_id pages[] = {9, 8, 7, 6, 5};
    CHECK(r.pipe->bind(h, std::span(pages).first(4)).code() == absl::StatusCode::kInvalidArgument);
    REQUIRE(r.pipe->bind(h, pages).ok());
    CHECK(r.pipe->bind(h, pages).code() == absl::StatusCode::kFailedPrecondition);
    events = r.run();
    REQUIRE(kinds(events, h) == std::vector{event_kind::ready});
    CHECK(events[0].blocks == 4);
    for (std::uint32_t i = 0; i < 4; ++i) {
        CHECK(r.page_holds(pages[i], 1 + i));
    }
    CHECK(r.pipe->next_ready() == h);
    CHECK(r.pipe->next_ready() == request_handle{});
    CHECK(r.pipe->compute_done(h).ok());
    CHECK(r.pipe->compute_done(h).code() == absl::StatusCode::kFailedPrecondition);
    CHECK(r.pipe->release(h).ok());
    CHECK(kinds(r.run(), h) == std::vector{event_kind::stored});  // none; the pages are free
    r.run();
    CHECK(r.pipe->release(h).code() == absl::StatusCode::kNotFound);
    r.close();
}

TEST_CASE("pipeline: a load that takes too long is given up, and what arrived is kept") {
    rig r({.link_rate = 1e6, .library_owned = false, .library_computes = false});
    r.fill(1, 20);
    r.open(r.options());
    const request_handle h = r.submit(1, 20, 16, [](request_spec& s) {
        s.load_timeout = std::chrono::milliseconds(42);  // ten blocks take 41 ms
    });
    std::vector<slot_id> pages(21);
    for (slot_id i = 0; i < pages.size(); ++i) {
        pages[i] = i;
    }
    REQUIRE(r.pipe->bind(h, pages).ok());
    const auto events = r.run();
    REQUIRE(!events.empty());
    CHECK(events[0].kind == event_kind::detached);
    CHECK(events[0].blocks == 10);
    CHECK(r.pipe->report(h)->loaded_blocks == 10);
    r.close();
    CHECK(r.pipe->closed());
}

TEST_CASE("pipeline: L1 for one request at a time is granted by rank") {
    rig r({.slots = 12, .l2_blocks = 64, .link_rate = 1e6});
    r.fill(1, 30);
    auto o = r.options();
    o.policy = *make_policy("sjf");
    r.open(std::move(o));
    const request_handle first = r.submit(1, 10);
    r.loop.advance(std::chrono::milliseconds(30));  // it holds L1, and copies have begun
    const request_handle longer = r.submit(11, 10);
    const request_handle shorter = r.submit(21, 5);
    const auto events = r.run();
    std::vector<request_handle> computed;
    for (const request_event& e : events) {
        if (e.kind == event_kind::computed) {
            computed.push_back(e.request);
            CHECK(r.pipe->release(e.request).ok());
        }
    }
    for (const request_event& e : r.run()) {
        if (e.kind == event_kind::computed) {
            computed.push_back(e.request);
            CHECK(r.pipe->release(e.request).ok());
        }
    }
    for (const request_event& e : r.run()) {
        if (e.kind == event_kind::computed) {
            computed.push_back(e.request);
        }
    }
    CHECK(computed == std::vector{first, shorter, longer});
    r.close();
}

TEST_CASE("pipeline: L2 of a single slot still moves every block") {
    rig r({.l2_blocks = 1});
    r.fill(1, 20);
    r.open(r.options());
    const request_handle a = r.submit(1, 10);
    const request_handle b = r.submit(11, 10);
    const auto events = r.run();
    CHECK(kinds(events, a)[1] == event_kind::computed);
    CHECK(kinds(events, b)[1] == event_kind::computed);
    CHECK(r.pipe->report(a)->loaded_blocks == 10);
    r.close();
    CHECK(r.pipe->stats().l2_free + r.pipe->stats().l2_cold == 1);
}

TEST_CASE("pipeline: cancelling answers at once, and once") {
    rig r({.link_rate = 1e6});
    r.fill(1, 20);
    r.open(r.options());
    const request_handle loading = r.submit(1, 20);
    r.loop.advance(std::chrono::milliseconds(10));
    const request_handle fresh = r.submit(1, 20);
    CHECK(r.pipe->cancel(fresh).ok());
    CHECK(r.pipe->cancel(loading).ok());
    r.loop.advance(duration{0});
    const auto events = r.poll();
    CHECK(kinds(events, loading) == std::vector{event_kind::cancelled});
    CHECK(kinds(events, fresh) == std::vector{event_kind::cancelled});
    r.run();
    CHECK(r.pipe->cancel(loading).code() == absl::StatusCode::kNotFound);
    const pipeline_stats s = r.pipe->stats();
    CHECK(s.live_requests == 0);
    CHECK(s.l2_quarantined == 0);
    r.close();
}

TEST_CASE("pipeline: what can never fit, or contradicts itself, is refused at submit") {
    rig r({.slots = 8});
    r.open(r.options());
    const auto refuse = [&](std::uint32_t blocks, auto change) {
        const std::vector<block_key> k = rig::keys(1, blocks);
        request_spec spec;
        spec.keys = k;
        spec.prompt_tokens = blocks * 16 + 1;
        change(spec);
        return r.pipe->submit(spec).status().code();
    };
    CHECK(refuse(8, [](request_spec&) {}) == absl::StatusCode::kOutOfRange);
    CHECK(refuse(2, [](request_spec& s) { s.prompt_tokens = 0; }) ==
          absl::StatusCode::kInvalidArgument);
    CHECK(refuse(2, [](request_spec& s) { s.prompt_tokens = 31; }) ==
          absl::StatusCode::kInvalidArgument);
    CHECK(refuse(2, [](request_spec& s) { s.pages = 1; }) == absl::StatusCode::kInvalidArgument);
    CHECK(refuse(2, [](request_spec& s) { s.prompt_tokens = UINT64_MAX; }) ==
          absl::StatusCode::kOutOfRange);
    CHECK(refuse(2, [](request_spec& s) { s.tenant_weight = 0; }) ==
          absl::StatusCode::kInvalidArgument);
    const block_key none[1] = {};
    CHECK(refuse(1, [&](request_spec& s) { s.keys = none; }) == absl::StatusCode::kInvalidArgument);
    CHECK(r.pipe->stats().submitted == 0);
    r.close();
}

TEST_CASE("pipeline: a policy that returns NaN hurts nobody") {
    struct broken final : policy {
        rank_value do_rank(const request_view&, stage_id, time_point) noexcept override {
            return std::nan("");
        }
    };
    rig r({});
    r.fill(1, 8);
    auto o = r.options();
    o.policy = std::make_unique<broken>();
    r.open(std::move(o));
    const request_handle a = r.submit(1, 4);
    const request_handle b = r.submit(5, 4);
    const auto events = r.run();
    CHECK(kinds(events, a)[1] == event_kind::computed);
    CHECK(kinds(events, b)[1] == event_kind::computed);
    CHECK(r.pipe->stats().policy_faults > 0);
    CHECK(r.pipe->metrics_text().find("sluice_faults_total{of=\"policy\"}") != std::string::npos);
    r.close();
}

TEST_CASE("pipeline: what is computed or released is not given out again") {
    rig r({.library_computes = false});
    r.fill(1, 4);
    r.open(r.options());
    const request_handle computed = r.submit(1, 4);
    const request_handle released = r.submit(1, 4);
    r.loop.run_until_idle();
    CHECK(r.pipe->compute_done(computed, std::numeric_limits<double>::infinity()).ok());
    CHECK(r.pipe->release(released).ok());
    r.loop.run_until_idle();
    CHECK(r.pipe->next_ready() == request_handle{});
    CHECK(r.pipe->pages(computed).ok());
    CHECK(r.pipe->pages(released).status().code() == absl::StatusCode::kFailedPrecondition);
    CHECK(std::isfinite(r.pipe->stats().relative_error.compute));
    r.close();
    CHECK(r.pipe->closed());
}

TEST_CASE("pipeline: an idle pipeline is closed only when its loops have let go of it") {
    rig r({});
    r.open(r.options());
    r.pipe->begin_close();
    CHECK_FALSE(r.pipe->closed());
    r.loop.run_until_idle();
    CHECK(r.pipe->closed());
    CHECK(r.pipe->submit({}).status().code() == absl::StatusCode::kInvalidArgument);
    r.pipe.reset();
    CHECK(r.loop.run_until_idle() == 0);
}

TEST_CASE("pipeline: ranks sort the engine's own queue") {
    rig r({.slots = 256, .l2_blocks = 8, .link_rate = 1e6});
    r.fill(1, 30);
    auto o = r.options();
    o.policy = *make_policy("sjf");
    r.open(std::move(o));
    const request_handle a = r.submit(1, 20);
    const request_handle b = r.submit(21, 5);
    r.loop.advance(std::chrono::milliseconds(1));
    request_handle queue[] = {request_handle{7, 7}, a, b};
    r.pipe->sort_by_rank(queue);
    CHECK(queue[0] == b);
    CHECK(queue[1] == a);
    CHECK(queue[2] == request_handle{7, 7});
    r.close();
}

}  // namespace
}  // namespace sluice
