// SPDX-License-Identifier: Apache-2.0
// What an engine asks and tells besides the main way: progress, detach, ranks of its own, storing.
#include <cmath>
#include <limits>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/sched/policy_registry.hpp>

#include "support/rig.hpp"

namespace sluice {
namespace {

using test::rig;

rig::shape engine_shape() {
    rig::shape s;
    s.library_owned = false;
    s.library_computes = false;
    return s;
}

std::vector<slot_id> slots(slot_id first, std::uint32_t n) {
    std::vector<slot_id> out;
    for (slot_id s = first; s < first + n; ++s) {
        out.push_back(s);
    }
    return out;
}

void write_block(rig& r, slot_id slot, std::uint64_t id) {
    const std::size_t half = r.s_.block_bytes / 2;
    for (std::size_t i = 0; i < r.s_.block_bytes; ++i) {
        const std::size_t piece = i / half;
        r.l1_memory[piece * half * r.s_.slots + std::size_t{slot} * half + i % half] =
            rig::content(id, i);
    }
}

TEST_CASE("progress says how far a request is, from the lookup to L1") {
    rig r(engine_shape());
    r.fill(1, 6);
    r.open(r.options());
    const request_handle h = r.submit(1, 8);
    CHECK_FALSE(r.pipe->progress(h)->looked_up);
    CHECK(r.run().at(0).kind == event_kind::want_pages);  // all in L2, nothing bound
    request_progress p = *r.pipe->progress(h);
    CHECK(p.looked_up);
    CHECK(p.hit_blocks == 6);
    CHECK(p.planned_blocks == 6);
    CHECK(p.fetching == 0);
    CHECK(p.loading == 6);
    CHECK(p.predicted.fetch > 0);
    REQUIRE(r.pipe->bind(h, slots(0, 9)).ok());
    CHECK(r.run().at(0).kind == event_kind::ready);
    CHECK(r.pipe->progress(h)->loading == 0);
    REQUIRE(r.pipe->release(h).ok());
    r.run();
    CHECK(r.pipe->progress(h).status().code() == absl::StatusCode::kNotFound);
    r.close();
}

TEST_CASE("a miss is a lookup that found nothing") {
    rig r(engine_shape());
    r.open(r.options());
    const request_handle h = r.submit(100, 4);
    r.run();
    CHECK(r.pipe->progress(h)->looked_up);
    CHECK(r.pipe->progress(h)->hit_blocks == 0);
    r.close();
}

TEST_CASE("who asks is told what lookup found, before anything else") {
    rig r(engine_shape());
    r.fill(1, 6);
    r.open(r.options());
    const request_handle h = r.submit(1, 8, 16, [](request_spec& q) { q.tell_lookup = true; });
    const request_handle miss = r.submit(100, 2, 16, [](request_spec& q) { q.tell_lookup = true; });
    REQUIRE(r.pipe->bind(h, slots(0, 9)).ok());
    std::vector<event_kind> kinds;
    for (const request_event& e : r.run()) {
        if (e.request == h) {
            kinds.push_back(e.kind);
            CHECK(e.blocks == 6);
        } else if (e.kind == event_kind::looked_up) {
            CHECK(e.request == miss);
            CHECK(e.blocks == 0);
        }
    }
    CHECK(kinds == std::vector{event_kind::looked_up, event_kind::ready});
    r.close();
}

TEST_CASE("a rank of the engine's own has a tier, which goes before its value") {
    rig::shape s = engine_shape();
    s.link_rate = 4096 * 10;  // ten blocks a second
    rig r(s);
    r.fill(1, 12);
    pipeline_options o = r.options();
    o.policy = *make_policy("external");
    o.fetch = {1, 4 * mib};
    r.open(std::move(o));
    const auto none = [](request_spec& q) { q.rank = {1, rank_tier::hopeless}; };
    const request_handle late = r.submit(1, 4, 16, none);
    const request_handle normal = r.submit(5, 4, 16, [](request_spec& q) { q.rank = 7; });
    const request_handle hurried = r.submit(9, 4, 16, none);
    REQUIRE(r.pipe->set_rank(hurried, {9, rank_tier::overdue}).ok());
    for (const request_handle h : {late, normal, hurried}) {
        REQUIRE(r.pipe->bind(h, slots(h.index * 5, 5)).ok());
    }
    std::vector<request_handle> order;
    for (const request_event& e : r.run()) {
        order.push_back(e.request);
    }
    CHECK(order == std::vector{hurried, normal, late});
    r.close();
}

TEST_CASE("whom the policy keeps waiting is loaded without it, behind what it has ranked") {
    rig::shape s = engine_shape();
    s.link_rate = 4096 * 10;  // ten blocks a second
    rig r(s);
    virtual_loop control;  // the policy: it answers when the test lets it
    r.fill(1, 16);
    for (const bool split : {false, true}) {
        pipeline_options o = r.options();
        o.control = &control;
        o.policy = *make_policy("external");
        o.fetch = {1, 4 * mib};
        o.split = split;
        r.open(std::move(o));
        const auto run = [&] {
            while (control.run_until_idle() + r.loop.run_until_idle() > 0) {
            }
        };
        const auto submit = [&](std::uint64_t first, double rank) {
            const std::vector<block_key> k = rig::keys(first, 4);
            request_spec spec;
            spec.keys = k;
            spec.prompt_tokens = 80;
            spec.rank = rank;
            const request_handle h = *r.pipe->submit(spec);
            REQUIRE(r.pipe->bind(h, slots(static_cast<slot_id>(first), 5)).ok());
            return h;
        };
        const request_handle ranked = submit(1, 1000);
        r.loop.run_until(r.loop.now());
        control.run_until_idle();
        const time_point begin = r.loop.now();
        const request_handle early = submit(5, 3);
        const request_handle late = submit(9, 1);
        const request_handle cancelled = submit(13, 0);
        r.loop.run_until(r.loop.now());
        REQUIRE(r.pipe->cancel(cancelled).ok());
        std::vector<request_handle> order;
        for (const request_event& e : r.run()) {
            if (e.kind == event_kind::ready) {
                CHECK(e.blocks == 4);
                order.push_back(e.request);
            } else {
                CHECK(e.request == cancelled);
            }
        }
        CHECK(order == std::vector{ranked, early, late});
        CHECK(r.pipe->report(early)->first_fetch >= begin + std::chrono::milliseconds(5));
        CHECK(r.pipe->report(early)->predicted.fetch == 0);
        // The answer comes too late for loading, and in time for compute.
        run();
        CHECK(r.pipe->report(early)->predicted.fetch > 0);
        std::vector<request_handle> queue{ranked, early, late};
        r.pipe->sort_by_rank(queue);
        CHECK(queue == std::vector{late, early, ranked});
        CHECK(r.pipe->next_ready() == late);
        for (const request_handle h : order) {
            REQUIRE(r.pipe->release(h).ok());
        }
        r.pipe->begin_close();
        run();
        CHECK(r.pipe->closed());
        r.pipe.reset();
    }
}

TEST_CASE("a request that is never bound brings its blocks to L2 for those that come") {
    rig r(engine_shape());
    r.fill(1, 6);
    r.open(r.options());
    const request_handle hint = r.submit(1, 6);
    CHECK(r.run().at(0).kind == event_kind::want_pages);
    REQUIRE(r.pipe->cancel(hint).ok());
    r.run();
    CHECK(r.l3->stats().gets == 6);
    const request_handle h = r.submit(1, 6);
    REQUIRE(r.pipe->bind(h, slots(0, 7)).ok());
    const auto events = r.run();
    CHECK(events.at(0).kind == event_kind::ready);
    CHECK(events.at(0).blocks == 6);
    CHECK(r.l3->stats().gets == 6);
    CHECK(r.pipe->stats().l2_hits == 6);
    r.close();
}

TEST_CASE("detach ends the wait with what has arrived") {
    rig::shape s = engine_shape();
    s.link_rate = 4096 * 10;  // ten blocks a second
    rig r(s);
    r.fill(1, 8);
    pipeline_options o = r.options();
    o.fetch_soft_timeout = std::chrono::seconds(5);
    r.open(std::move(o));
    const request_handle h = r.submit(1, 8);
    r.loop.advance(std::chrono::milliseconds(1));
    REQUIRE(r.pipe->bind(h, slots(0, 9)).ok());
    r.loop.advance(std::chrono::milliseconds(350));
    REQUIRE(r.pipe->detach(h).ok());
    r.loop.advance(std::chrono::milliseconds(1));
    auto events = r.poll();
    REQUIRE(!events.empty());
    const request_event outcome = events.back();
    CHECK(outcome.kind == event_kind::detached);
    CHECK(outcome.blocks >= 1);
    CHECK(outcome.blocks < 8);
    for (slot_id i = 0; i < outcome.blocks; ++i) {
        CHECK(r.page_holds(i, 1 + i));
    }
    CHECK(r.pipe->detach(h).ok());  // again: no effect
    CHECK(r.run().empty());
    CHECK(r.pipe->stats().soft_timeouts == 0);
    r.close();
}

TEST_CASE("detach right after submit ends with nothing loaded, without waiting for the lookup") {
    rig::shape s = engine_shape();
    s.link_latency = std::chrono::seconds(1);
    rig r(s);
    r.fill(1, 8);
    r.open(r.options());
    const request_handle h = r.submit(1, 8);
    REQUIRE(r.pipe->detach(h).ok());
    r.loop.advance(std::chrono::milliseconds(1));
    CHECK(r.pipe->progress(h)->looked_up);
    REQUIRE(r.pipe->bind(h, slots(0, 9)).ok());
    r.loop.advance(std::chrono::milliseconds(1));
    const auto events = r.poll();
    REQUIRE(!events.empty());
    CHECK(events.back().kind == event_kind::detached);
    CHECK(events.back().blocks == 0);
    r.close();
}

TEST_CASE("detach has no effect on what is loaded") {
    rig r(engine_shape());
    r.fill(1, 2);
    r.open(r.options());
    const request_handle h = r.submit(1, 2);
    REQUIRE(r.pipe->bind(h, slots(0, 3)).ok());
    CHECK(r.run().at(0).kind == event_kind::ready);
    CHECK(r.pipe->detach(h).ok());
    CHECK(r.run().empty());
    r.close();
}

TEST_CASE("the policy external goes by the engine's ranks, also when they change") {
    rig r({.slots = 64, .link_rate = 1e6});
    r.fill(1, 24);
    pipeline_options o = r.options();
    o.policy = *make_policy("external");
    o.fetch = {1, 1};
    r.open(std::move(o));
    const request_handle a = r.submit(1, 8, 16, [](request_spec& s) { s.rank = 1; });
    const request_handle b = r.submit(9, 8, 16, [](request_spec& s) { s.rank = 2; });
    const request_handle c = r.submit(17, 8, 16, [](request_spec& s) { s.rank = 3; });
    r.loop.advance(std::chrono::milliseconds(1));
    REQUIRE(r.pipe->set_rank(c, 0).ok());  // before all others
    r.run();
    CHECK(r.model->order == std::vector{c, a, b});
    CHECK(r.pipe->set_rank(a, std::nan("")).code() == absl::StatusCode::kInvalidArgument);
    r.close();
}

TEST_CASE("a rank that is set before the lookup has ended counts from admission on") {
    rig r({.slots = 64, .link_rate = 1e6, .link_latency = std::chrono::milliseconds(5)});
    r.fill(1, 16);
    pipeline_options o = r.options();
    o.policy = *make_policy("external");
    o.fetch = {1, 1};
    r.open(std::move(o));
    const request_handle a = r.submit(1, 8, 16, [](request_spec& s) { s.rank = 1; });
    const request_handle b = r.submit(9, 8, 16, [](request_spec& s) { s.rank = 2; });
    REQUIRE(r.pipe->set_rank(b, 0).ok());
    r.run();
    CHECK(r.model->order == std::vector{b, a});
    r.close();
}

TEST_CASE("a rank that is not a number is refused at submit") {
    rig r({});
    r.open(r.options());
    request_spec spec;
    spec.prompt_tokens = 16;
    spec.rank = std::numeric_limits<double>::quiet_NaN();
    CHECK(r.pipe->submit(spec).status().code() == absl::StatusCode::kInvalidArgument);
    r.close();
}

TEST_CASE("blocks that were generated are stored from the engine's pages, and found again") {
    rig r(engine_shape());
    r.open(r.options());
    for (slot_id s = 0; s < 4; ++s) {
        write_block(r, 10 + s, 50 + s);
    }
    int tag = 0;
    const request_handle h = *r.pipe->store_blocks(rig::keys(50, 4), slots(10, 4), &tag);
    const auto events = r.run();
    REQUIRE(events.size() == 1);
    CHECK(events[0].kind == event_kind::stored);
    CHECK(events[0].request == h);
    CHECK(events[0].user == &tag);
    CHECK(events[0].blocks == 4);
    r.loop.run_until_idle();
    CHECK(r.pipe->progress(h).status().code() == absl::StatusCode::kNotFound);  // it was the last
    CHECK(r.l3->stats().blocks == 4);

    const request_handle again = r.submit(50, 4);
    REQUIRE(r.pipe->bind(again, slots(30, 5)).ok());
    const auto loaded = r.run();
    REQUIRE(loaded.size() == 1);
    CHECK(loaded[0].blocks == 4);
    CHECK(r.page_holds(33, 53));
    r.close();
}

TEST_CASE("what the store has is not stored again, and holes are left out") {
    rig r(engine_shape());
    r.fill(50, 2);
    r.open(r.options());
    write_block(r, 12, 52);
    std::vector<slot_id> pages = slots(10, 4);
    pages[3] = no_slot;
    REQUIRE(r.pipe->store_blocks(rig::keys(50, 4), pages).ok());
    const auto events = r.run();
    REQUIRE(events.size() == 1);
    CHECK(events[0].blocks == 1);
    CHECK(r.l3->stats().blocks == 3);

    REQUIRE(r.pipe->store_blocks(rig::keys(50, 2), slots(10, 2)).ok());
    const auto none = r.run();
    REQUIRE(none.size() == 1);
    CHECK(none[0].kind == event_kind::stored);
    CHECK(none[0].blocks == 0);
    r.close();
}

TEST_CASE("generated blocks in pages of the library's are stored, and stay in L1 as a cache") {
    rig r({.slots = 8, .library_owned = true, .library_computes = false});
    r.open(r.options());
    const request_handle h = r.submit(1, 2, 48);  // three more pages, for what is generated
    CHECK(r.run().at(0).kind == event_kind::ready);
    const std::vector<slot_id> pages = *r.pipe->pages(h);
    REQUIRE(pages.size() == 5);
    write_block(r, pages[2], 70);
    write_block(r, pages[3], 71);
    const std::vector<slot_id> generated{pages[2], pages[3]};
    REQUIRE(r.pipe->store_blocks(rig::keys(70, 2), generated).ok());
    const auto stored = r.run();
    REQUIRE(stored.size() == 1);
    CHECK(stored[0].kind == event_kind::stored);
    CHECK(stored[0].blocks == 2);
    REQUIRE(r.pipe->release(h).ok());
    CHECK(r.run().empty());
    const pipeline_stats s = r.pipe->stats();
    CHECK(s.l1_free + s.l1_cold == 8);
    CHECK(s.l1_cold == 2);
    CHECK(s.live_requests == 0);
    const request_handle again = r.submit(70, 2);
    CHECK(r.run().at(0).blocks == 2);
    CHECK(r.pipe->stats().l1_hits == 2);
    CHECK(r.page_holds(r.pipe->pages(again)->at(1), 71));
    r.close();
}

TEST_CASE("blocks that are cached in L1 alone are stored when that is asked for") {
    rig r({.slots = 8, .library_owned = true, .library_computes = false});
    r.open(r.options());
    request_spec spec;
    const std::vector<block_key> keys = rig::keys(1, 2);
    spec.keys = keys;
    spec.prompt_tokens = 32;
    spec.write_back = false;
    const request_handle h = *r.pipe->submit(spec);
    CHECK(r.run().at(0).kind == event_kind::ready);
    const std::vector<slot_id> pages = *r.pipe->pages(h);
    write_block(r, pages[0], 1);
    write_block(r, pages[1], 2);
    REQUIRE(r.pipe->compute_done(h).ok());
    CHECK(r.run().empty());
    REQUIRE(r.l3->stats().blocks == 0);
    REQUIRE(r.pipe->store_blocks(keys, pages).ok());
    const auto stored = r.run();
    REQUIRE(stored.size() == 1);
    CHECK(stored[0].blocks == 2);
    CHECK(r.l3->stats().blocks == 2);
    r.close();
}

TEST_CASE("blocks that the store has lost are stored again, out of L2") {
    rig r(engine_shape());
    r.fill(1, 2);
    r.open(r.options());
    const request_handle h = r.submit(1, 2);
    REQUIRE(r.pipe->bind(h, slots(10, 3)).ok());
    CHECK(r.run().at(0).blocks == 2);
    const std::vector<block_key> keys = rig::keys(1, 2);
    store_remove lost;
    lost.keys = keys;
    lost.on_completion(r.loop, [](operation&) noexcept {});
    r.l3->remove(lost);
    r.loop.run_until_idle();
    REQUIRE(r.l3->stats().blocks == 0);
    REQUIRE(r.pipe->store_blocks(keys, slots(10, 2)).ok());
    const auto stored = r.run();
    REQUIRE(stored.size() == 1);
    CHECK(stored[0].blocks == 2);
    CHECK(r.l3->stats().blocks == 2);
    r.close();
}

TEST_CASE("a page that nobody has is not stored") {
    rig r({.slots = 8, .library_owned = true, .library_computes = false});
    r.open(r.options());
    REQUIRE(r.pipe->store_blocks(rig::keys(70, 2), slots(0, 2)).ok());
    const auto events = r.run();
    REQUIRE(events.size() == 1);
    CHECK(events[0].blocks == 0);
    CHECK(r.pipe->stats().l1_free == 8);
    r.close();
}

TEST_CASE("storing that is cancelled in time, or overtaken by closing, ends all the same") {
    rig::shape s = engine_shape();
    s.link_latency = std::chrono::seconds(1);
    rig r(s);
    r.open(r.options());
    const request_handle h = *r.pipe->store_blocks(rig::keys(50, 4), slots(10, 4));
    r.loop.advance(std::chrono::milliseconds(1));
    REQUIRE(r.pipe->cancel(h).ok());
    const auto events = r.run();
    REQUIRE(events.size() == 1);
    CHECK(events[0].kind == event_kind::cancelled);
    REQUIRE(r.pipe->store_blocks(rig::keys(60, 4), slots(10, 4)).ok());
    r.close();
    CHECK(r.pipe->closed());
}

TEST_CASE("what cannot be stored is refused with a reason") {
    rig r(engine_shape());
    r.open(r.options());
    const auto says = [&](std::uint32_t keys, const std::vector<slot_id>& pages) {
        return r.pipe->store_blocks(rig::keys(1, keys), pages).status().code();
    };
    CHECK(says(0, {}) == absl::StatusCode::kInvalidArgument);
    CHECK(says(2, slots(0, 3)) == absl::StatusCode::kInvalidArgument);
    CHECK(says(2, slots(63, 2)) == absl::StatusCode::kInvalidArgument);
    const std::vector<block_key> empty(1);
    CHECK(r.pipe->store_blocks(empty, slots(0, 1)).status().code() ==
          absl::StatusCode::kInvalidArgument);
    r.close();
    CHECK(says(1, slots(0, 1)) == absl::StatusCode::kFailedPrecondition);
}

}  // namespace
}  // namespace sluice
