// SPDX-License-Identifier: Apache-2.0
// Requests that nobody waits for: they take what is idle, and only that.
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support/rig.hpp"

namespace sluice {
namespace {

using test::rig;

constexpr auto warm = [](request_spec& s) { s.prewarm = true; };

std::vector<event_kind> kinds_of(const std::vector<request_event>& events, request_handle h) {
    std::vector<event_kind> out;
    for (const request_event& e : events) {
        if (e.request == h) {
            out.push_back(e.kind);
        }
    }
    return out;
}

TEST_CASE("prewarm: blocks come to L1 of the library's, and the next request finds them there") {
    for (const bool computes : {true, false}) {
        rig r({.library_computes = computes});
        r.fill(0, 8);
        r.open(r.options());
        const request_handle h = r.submit(0, 8, 0, warm);
        const std::vector<request_event> events = r.run();
        REQUIRE(events.size() == 1);
        CHECK(events[0].kind == event_kind::ready);
        CHECK(events[0].blocks == 8);
        CHECK(events[0].request == h);
        CHECK(r.pipe->next_ready() == request_handle{});
        CHECK(r.model->order.empty());
        r.loop.run_until_idle();
        CHECK(r.pipe->release(h).code() == absl::StatusCode::kNotFound);

        const pipeline_stats s = r.pipe->stats();
        CHECK(s.prewarm_requests == 1);
        CHECK(s.prewarmed_blocks == 8);
        CHECK(s.l1_cold == 8);
        CHECK(s.live_requests == 0);
        CHECK(s.store_drops == 0);

        const std::uint64_t copies = s.copy.operations;
        const request_handle next = r.submit(0, 8);
        const auto after = kinds_of(r.run(), next);
        CHECK(after.back() == (computes ? event_kind::stored : event_kind::ready));
        CHECK(r.pipe->stats().copy.operations == copies);
        CHECK(r.pipe->stats().l1_hits == 8);
        r.close();
    }
}

TEST_CASE("prewarm: with pages of the engine's, blocks come to L2 and no pages are asked for") {
    rig r({.library_owned = false, .library_computes = false});
    r.fill(0, 8);
    r.open(r.options());
    const request_handle h = r.submit(0, 8, 0, warm);
    CHECK(r.pipe->bind(h, std::vector<slot_id>(8)).code() == absl::StatusCode::kFailedPrecondition);
    const auto events = r.run();
    REQUIRE(events.size() == 1);
    CHECK(events[0].kind == event_kind::ready);
    CHECK(events[0].blocks == 8);
    CHECK(r.pipe->stats().l2_cold == 8);
    CHECK(r.pipe->stats().copy.operations == 0);
    r.close();
}

TEST_CASE("prewarm: what is not cached anywhere is left out") {
    rig r({});
    r.fill(0, 3);
    r.open(r.options());
    const request_handle some = r.submit(0, 8, 0, warm);
    const request_handle none = r.submit(100, 8, 0, warm);
    const auto events = r.run();
    REQUIRE(events.size() == 2);
    for (const request_event& e : events) {
        CHECK(e.kind == event_kind::ready);
        CHECK(e.blocks == (e.request == some ? 3U : 0U));
        CHECK((e.request == some || e.request == none));
    }
    CHECK(r.pipe->stats().l1_cold == 3);
    CHECK(r.pipe->stats().l1_free == 61);
    r.close();
}

TEST_CASE("prewarm: names of blocks are all that it takes") {
    rig r({.slots = 8});
    r.open(r.options());
    request_spec empty;
    empty.prewarm = true;
    empty.prompt_tokens = 16;
    CHECK(r.pipe->submit(empty).status().code() == absl::StatusCode::kInvalidArgument);
    const std::vector<block_key> nine = rig::keys(0, 9);
    empty.keys = nine;
    CHECK(r.pipe->submit(empty).status().code() == absl::StatusCode::kOutOfRange);
    empty.keys = std::span(nine).first(8);
    empty.prompt_tokens = 0;
    CHECK(r.pipe->submit(empty).ok());
    CHECK(r.run().size() == 1);
    r.close();
}

TEST_CASE("prewarm: a request that comes later overtakes it block by block") {
    rig r({.link_rate = 1e6});
    r.fill(0, 40);
    auto o = r.options();
    o.fetch = {1, 4096};
    o.copy = {1, 4096};
    r.open(std::move(o));
    const request_handle idle = r.submit(0, 20, 0, warm);
    r.loop.advance(std::chrono::milliseconds(20));
    const request_handle real = r.submit(20, 20);
    const auto events = r.run();
    const auto end_of = [&](request_handle h, event_kind k) {
        return std::ranges::find_if(
                   events, [&](const request_event& e) { return e.request == h && e.kind == k; }) -
               events.begin();
    };
    CHECK(end_of(real, event_kind::computed) < end_of(idle, event_kind::ready));
    r.close();
}

TEST_CASE("prewarm: memory of L1 goes to a request that needs it, also when copies have begun") {
    // It holds all of L1 and waits for its last blocks; another that needs half comes.
    rig r({.slots = 16, .l2_blocks = 64, .link_rate = 1e6});
    r.fill(0, 32);
    auto o = r.options();
    o.fetch = {1, 4096};
    r.open(std::move(o));
    const request_handle idle = r.submit(0, 16, 0, warm);
    r.loop.advance(std::chrono::milliseconds(40));  // about ten of sixteen
    REQUIRE(r.pipe->stats().l1_free == 0);
    const request_handle real = r.submit(16, 8, 0, [](request_spec& s) {
        s.prompt_tokens = 129;
        s.pages = 9;
    });
    const auto events = r.run();
    CHECK(r.pipe->stats().revocations >= 1);
    const auto first_end =
        std::ranges::find_if(events, [](const request_event& e) { return is_outcome(e.kind); });
    REQUIRE(first_end != events.end());
    CHECK(first_end->request == real);
    CHECK(first_end->kind == event_kind::computed);
    // The pages of the other come free only when it is released.
    CHECK(kinds_of(events, idle).empty());
    REQUIRE(r.pipe->release(real).ok());
    const auto later = r.run();
    REQUIRE(kinds_of(later, idle).size() == 1);
    CHECK(kinds_of(later, idle)[0] == event_kind::ready);
    r.close();
}

TEST_CASE("prewarm: takes nobody's slot of L2, and gives its own to who needs them") {
    rig r({.slots = 64, .l2_blocks = 8, .library_owned = false, .library_computes = false});
    r.fill(0, 32);
    r.open(r.options());
    // Eight blocks in L2 that wait for pages which the engine does not give yet.
    const request_handle waits = r.submit(0, 8);
    CHECK(kinds_of(r.run(), waits) == std::vector{event_kind::want_pages});
    const request_handle idle = r.submit(8, 8, 0, warm);
    const auto none = r.run();
    REQUIRE(none.size() == 1);
    CHECK(none[0].request == idle);
    CHECK(none[0].kind == event_kind::ready);
    CHECK(none[0].blocks == 0);
    CHECK(r.pipe->stats().l2_steals == 0);
    REQUIRE(r.pipe->release(waits).ok());
    r.run();

    // Now it comes first: what it has not finished is taken from it, and it ends with the rest.
    rig q({.slots = 64,
           .l2_blocks = 8,
           .link_rate = 1e6,
           .library_owned = false,
           .library_computes = false});
    q.fill(0, 32);
    auto o = q.options();
    o.fetch = {1, 4096};
    q.open(std::move(o));
    const request_handle early = q.submit(0, 8, 0, warm);
    q.loop.advance(std::chrono::milliseconds(20));
    const request_handle real = q.submit(8, 8);
    const auto events = q.run();
    CHECK(q.pipe->stats().l2_steals >= 1);
    CHECK(kinds_of(events, early) == std::vector{event_kind::ready});
    CHECK(kinds_of(events, real) == std::vector{event_kind::want_pages});
    r.close();
    q.close();
}

TEST_CASE("prewarm: it can be cancelled, stopped, and closed upon") {
    rig r({.link_rate = 1e6});
    r.fill(0, 32);
    auto o = r.options();
    o.fetch = {1, 4096};
    r.open(std::move(o));
    const request_handle cancelled = r.submit(0, 8, 0, warm);
    const request_handle stopped = r.submit(8, 8, 0, warm);
    const request_handle late = r.submit(16, 8, 0, [](request_spec& s) {
        s.prewarm = true;
        s.load_timeout = std::chrono::milliseconds(30);
    });
    r.loop.advance(std::chrono::milliseconds(10));
    REQUIRE(r.pipe->cancel(cancelled).ok());
    r.loop.advance(std::chrono::milliseconds(10));
    REQUIRE(r.pipe->detach(stopped).ok());
    const auto events = r.run();
    CHECK(kinds_of(events, cancelled) == std::vector{event_kind::cancelled});
    CHECK(kinds_of(events, stopped) == std::vector{event_kind::detached});
    CHECK(kinds_of(events, late) == std::vector{event_kind::detached});
    r.submit(24, 8, 0, warm);
    r.loop.advance(std::chrono::milliseconds(5));
    r.close();
    CHECK(r.pipe->closed());
}

TEST_CASE("prewarm: no page that a waiting request counts on is evicted for it") {
    rig r({.slots = 16, .link_rate = 1e6});
    r.fill(0, 64);
    auto o = r.options();
    o.fetch = {1, 4096};
    r.open(std::move(o));
    // Eight blocks are cold in L1, the oldest there.
    for (const std::uint64_t first : {0U, 8U}) {
        const request_handle h = r.submit(first, 8, 0, warm);
        CHECK(kinds_of(r.run(), h).size() == 1);
    }
    REQUIRE(r.pipe->stats().l1_cold == 16);
    // One that has those, and waits for four more.
    std::vector<block_key> keys = rig::keys(0, 8);
    const std::vector<block_key> rest = rig::keys(32, 4);
    keys.insert(keys.end(), rest.begin(), rest.end());
    request_spec spec;
    spec.keys = keys;
    spec.prompt_tokens = 12 * 16 + 1;
    const request_handle real = *r.pipe->submit(spec);
    r.loop.advance(std::chrono::milliseconds(2));
    const request_handle idle = r.submit(16, 8, 0, warm);
    const auto events = r.run();
    CHECK(kinds_of(events, real).size() >= 1);
    const auto report = *r.pipe->report(real);
    CHECK(report.loaded_blocks == 12);
    CHECK(report.bytes_fetched == 4 * 4096);
    CHECK(r.pipe->stats().copy.operations <= 16 + 4 + 8);
    static_cast<void>(idle);
    REQUIRE(r.pipe->release(real).ok());
    r.run();
    r.close();
}

}  // namespace
}  // namespace sluice
