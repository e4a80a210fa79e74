// SPDX-License-Identifier: Apache-2.0
// A scheduler and workers that only know each other by the bytes that the engine carries.
#include <sluice/sluice.h>

#include <algorithm>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support/split_rig.hpp"

namespace sluice {
namespace {

using test::capi_rig;
using test::message;
using test::says;
using test::split_rig;

std::vector<std::uint32_t> kinds(const std::vector<sluice_event>& events) {
    std::vector<std::uint32_t> out;
    for (const sluice_event& e : events) {
        out.push_back(e.kind);
    }
    return out;
}

TEST_CASE("a request is where the last of the ranks is") {
    split_rig r(2);
    r.ranks[0]->fill(1, 6);
    r.ranks[1]->fill(1, 4);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 8, &id, [](sluice_request& q) {
        q.user = 77;
        q.flags = SLUICE_REQUEST_TELL_LOOKUP;
    }) == SLUICE_OK);

    auto events = r.step_and_poll();
    REQUIRE(kinds(events) == std::vector{SLUICE_EVENT_LOOKED_UP, SLUICE_EVENT_WANT_PAGES});
    CHECK(events[0].request == id);
    CHECK(events[0].user == 77);
    CHECK(events[0].blocks == 4);
    sluice_progress p = SLUICE_PROGRESS_INIT;
    REQUIRE(sluice_query(r.planner, id, &p) == SLUICE_OK);
    CHECK(p.looked_up == 1);
    CHECK(p.hit_blocks == 4);
    CHECK(p.loading_blocks == 4);
    CHECK(p.predicted_fetch_s > 0);

    REQUIRE(r.bind(id, 10, 9) == SLUICE_OK);
    CHECK(r.bind(id, 10, 9) == SLUICE_E_FAILED_PRECONDITION);
    events = r.step_and_poll();
    REQUIRE(kinds(events) == std::vector{SLUICE_EVENT_READY});
    CHECK(events[0].blocks == 4);
    for (std::uint32_t i = 0; i < 4; ++i) {
        CHECK(r.ranks[0]->page_holds(10 + i, 1 + i));
        CHECK(r.ranks[1]->page_holds(10 + i, 1 + i));
    }
    sluice_request_id best = 0;
    CHECK(sluice_next_ready(r.planner, &best) == SLUICE_OK);
    CHECK(best == id);
    sluice_report report = SLUICE_REPORT_INIT;
    REQUIRE(sluice_request_report(r.planner, id, &report) == SLUICE_OK);
    CHECK(report.loaded_blocks == 4);
    CHECK(report.bytes_fetched == 6 * capi_rig::block_bytes);  // of the rank that fetched the most

    // Each rank stores what it did not have; how many were stored is what all have.
    CHECK(sluice_compute_done(r.planner, id, 1'000'000) == SLUICE_OK);
    CHECK(sluice_compute_done(r.planner, id, 1'000'000) == SLUICE_E_FAILED_PRECONDITION);
    events = r.step_and_poll();
    REQUIRE(kinds(events) == std::vector{SLUICE_EVENT_STORED});
    CHECK(events[0].blocks == 2);
    CHECK(sluice_release(r.planner, id) == SLUICE_OK);
    CHECK(r.step_and_poll().empty());
    CHECK(sluice_query(r.planner, id, &p) == SLUICE_E_NOT_FOUND);
    for (const auto& w : r.ranks) {
        CHECK(r.live(w->pipe) == 0);
    }
    CHECK(r.live(r.planner) == 0);
    CHECK(r.good());
}

TEST_CASE("the pages may be bound before they are asked for") {
    split_rig r(2);
    r.ranks[0]->fill(1, 4);
    r.ranks[1]->fill(1, 4);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 4, &id) == SLUICE_OK);
    REQUIRE(r.bind(id, 0, 5) == SLUICE_OK);
    const auto events = r.step_and_poll();
    REQUIRE(kinds(events) == std::vector{SLUICE_EVENT_READY});
    CHECK(events[0].blocks == 4);
    std::uint32_t pages[8];
    std::uint32_t n = 0;
    REQUIRE(sluice_pages(r.planner, id, pages, 8, &n) == SLUICE_OK);
    CHECK(std::vector(pages, pages + n) == std::vector<std::uint32_t>{0, 1, 2, 3, 4});
    CHECK(r.good());
}

TEST_CASE("a request that fails at one rank has failed, and the others let go of it") {
    split_rig r(3);
    // The second rank's L1 is smaller than the planner thinks.
    r.ranks[1] = std::make_unique<capi_rig>(4);
    sluice_pipeline_options o = r.ranks[1]->options();
    o.flags = SLUICE_PIPELINE_ENGINE_OWNS_L1;
    o.policy = "external";
    REQUIRE(r.ranks[1]->open(o) == SLUICE_OK);
    sluice_request_id wide = 0;
    sluice_request_id high = 0;
    REQUIRE(r.submit(1, 4, &wide) == SLUICE_OK);  // five pages: refused there
    REQUIRE(r.submit(1, 2, &high) == SLUICE_OK);  // three, but not these three
    REQUIRE(r.bind(wide, 0, 5) == SLUICE_OK);
    REQUIRE(r.bind(high, 3, 3) == SLUICE_OK);
    std::size_t failed = 0;
    for (int i = 0; i < 3; ++i) {
        for (const sluice_event& e : r.step_and_poll()) {
            ++failed;
            CHECK(e.kind == SLUICE_EVENT_FAILED);
            CHECK(e.status ==
                  (e.request == wide ? SLUICE_E_OUT_OF_RANGE : SLUICE_E_INVALID_ARGUMENT));
            CHECK(std::string(e.text).find("rank 1: ") == 0);
        }
    }
    CHECK(failed == 2);
    for (const auto& w : r.ranks) {
        CHECK(r.live(w->pipe) == 0);
    }
    CHECK(r.live(r.planner) == 0);
}

TEST_CASE("cancelled before the workers know of it, a request ends at once") {
    split_rig r(2);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 4, &id) == SLUICE_OK);
    REQUIRE(r.bind(id, 0, 5) == SLUICE_OK);
    REQUIRE(sluice_cancel(r.planner, id) == SLUICE_OK);
    CHECK(kinds(r.poll()) == std::vector{SLUICE_EVENT_CANCELLED});
    CHECK(sluice_cancel(r.planner, id) == SLUICE_E_NOT_FOUND);
    CHECK(r.plan().empty());
    CHECK(r.live(r.planner) == 0);
}

TEST_CASE("cancelled or released later, it ends when all ranks have ended it") {
    split_rig r(2);
    for (const bool release : {false, true}) {
        sluice_request_id id = 0;
        REQUIRE(r.submit(1, 4, &id) == SLUICE_OK);
        CHECK(kinds(r.step_and_poll()) == std::vector{SLUICE_EVENT_WANT_PAGES});
        REQUIRE((release ? sluice_release : sluice_cancel)(r.planner, id) == SLUICE_OK);
        CHECK(r.poll().empty());
        CHECK(kinds(r.step_and_poll()) == std::vector{SLUICE_EVENT_CANCELLED});
        r.step();
        CHECK(r.live(r.planner) == 0);
        CHECK(r.live(r.ranks[0]->pipe) == 0);
    }
    CHECK(r.good());
}

TEST_CASE("detached at one rank, it ends at all with what the least has") {
    split_rig r(2);
    r.ranks[0]->fill(1, 4);
    r.ranks[1]->fill(1, 4);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 4, &id) == SLUICE_OK);
    CHECK(kinds(r.step_and_poll()) == std::vector{SLUICE_EVENT_WANT_PAGES});
    REQUIRE(sluice_detach(r.planner, id) == SLUICE_OK);
    const auto events = r.step_and_poll();
    REQUIRE(kinds(events) == std::vector{SLUICE_EVENT_DETACHED});
    CHECK(events[0].blocks == 0);
    CHECK(sluice_release(r.planner, id) == SLUICE_OK);
    r.step();
    CHECK(r.live(r.planner) == 0);
    CHECK(r.live(r.ranks[1]->pipe) == 0);
    CHECK(r.good());
}

TEST_CASE("the planner's policy orders the workers' links") {
    split_rig r(1, 64, "sjf");
    // A slow link, one block at a time.
    r.ranks[0] = std::make_unique<capi_rig>(64, 10 * capi_rig::block_bytes);
    capi_rig& w = *r.ranks[0];
    w.fill(1, 16);
    sluice_pipeline_options o = w.options();
    o.flags = SLUICE_PIPELINE_ENGINE_OWNS_L1;
    o.policy = "external";
    o.fetch_operations = 1;
    REQUIRE(w.open(o) == SLUICE_OK);

    sluice_request_id large = 0;
    sluice_request_id small = 0;
    REQUIRE(r.submit(1, 10, &large) == SLUICE_OK);
    REQUIRE(r.submit(11, 4, &small) == SLUICE_OK);
    // Looked up, and the first block of the large one on its way.
    REQUIRE(r.carry_out(0, r.plan()) == SLUICE_OK);
    std::uint64_t next = 0;
    REQUIRE(sluice_loop_run(w.loop, &next) == SLUICE_OK);
    REQUIRE(r.tell(r.report(0)) == SLUICE_OK);
    REQUIRE(r.bind(large, 0, 11) == SLUICE_OK);
    REQUIRE(r.bind(small, 11, 5) == SLUICE_OK);
    std::vector<sluice_request_id> queue{large, small};
    REQUIRE(sluice_sort(r.planner, queue.data(), 2) == SLUICE_OK);
    CHECK(queue == std::vector{small, large});
    r.step();
    r.step();
    std::vector<sluice_request_id> order;
    for (const sluice_event& e : r.poll()) {
        if (e.kind == SLUICE_EVENT_READY) {
            order.push_back(e.request);
        }
    }
    CHECK(order.size() == 2);
    sluice_report first = SLUICE_REPORT_INIT;
    sluice_report second = SLUICE_REPORT_INIT;
    REQUIRE(sluice_request_report(r.planner, small, &first) == SLUICE_OK);
    REQUIRE(sluice_request_report(r.planner, large, &second) == SLUICE_OK);
    CHECK(order == std::vector{small, large});
    CHECK(r.good());
}

TEST_CASE("a planner ranks applications, and what prewarms is near at all ranks") {
    split_rig r(2, 64, "las");
    for (const auto& w : r.ranks) {
        w->fill(1, 8);
    }
    sluice_app spec = SLUICE_APP_INIT;
    spec.application = "any";
    sluice_app_id had_much = 0;
    sluice_app_id had_none = 0;
    REQUIRE(sluice_app_begin(r.planner, &spec, &had_much) == SLUICE_OK);
    REQUIRE(sluice_app_begin(r.planner, &spec, &had_none) == SLUICE_OK);
    sluice_unit unit = SLUICE_UNIT_INIT;
    unit.unit = "u";
    sluice_unit_result result = SLUICE_UNIT_RESULT_INIT;
    result.completion_tokens = 100;
    REQUIRE(sluice_unit_begin(r.planner, had_much, &unit) == SLUICE_OK);
    REQUIRE(sluice_unit_end(r.planner, had_much, &result) == SLUICE_OK);
    std::vector<sluice_request_id> ids(2);
    const auto submit = [&](sluice_app_id app, sluice_request_id* out) {
        sluice_request q = SLUICE_REQUEST_INIT;
        q.prompt_tokens = 17;
        q.app = app;
        REQUIRE(sluice_submit(r.planner, &q, out) == SLUICE_OK);
    };
    submit(had_much, &ids[0]);
    submit(had_none, &ids[1]);
    r.step();
    r.step();
    std::vector<sluice_request_id> sorted = ids;
    REQUIRE(sluice_sort(r.planner, sorted.data(), 2) == SLUICE_OK);
    CHECK(sorted == std::vector{ids[1], ids[0]});
    result.completion_tokens = 200;
    REQUIRE(sluice_unit_begin(r.planner, had_none, &unit) == SLUICE_OK);
    REQUIRE(sluice_unit_end(r.planner, had_none, &result) == SLUICE_OK);
    r.step();
    REQUIRE(sluice_sort(r.planner, sorted.data(), 2) == SLUICE_OK);
    CHECK(sorted == ids);
    double rank = 0;
    CHECK(sluice_app_rank(r.planner, had_none, &rank, nullptr) == SLUICE_OK);
    CHECK(rank == 12);
    // Workers know of no applications.
    CHECK(sluice_app_begin(r.ranks[0]->pipe, &spec, &had_none) == SLUICE_E_FAILED_PRECONDITION);

    r.poll();
    sluice_request_id near = 0;
    REQUIRE(r.submit(1, 8, &near, [](sluice_request& q) { q.flags = SLUICE_REQUEST_PREWARM; }) ==
            SLUICE_OK);
    CHECK(r.bind(near, 0, 8) == SLUICE_E_FAILED_PRECONDITION);
    std::vector<sluice_event> events;
    for (int i = 0; i < 4 && events.empty(); ++i) {
        events = r.step_and_poll();
    }
    REQUIRE(events.size() == 1);
    CHECK(events[0].request == near);
    CHECK(events[0].kind == SLUICE_EVENT_READY);
    CHECK(events[0].blocks == 8);
    r.step();
    for (const auto& w : r.ranks) {
        sluice_stats s = SLUICE_STATS_INIT;
        REQUIRE(sluice_pipeline_stats(w->pipe, &s) == SLUICE_OK);
        CHECK(s.prewarmed_blocks == 8);
        CHECK(s.l2_cold >= 8);
    }
    CHECK(sluice_release(r.planner, near) == SLUICE_E_NOT_FOUND);
    CHECK(r.good());
}

TEST_CASE("tenants share the workers' links") {
    split_rig r(1, 64, "fair(external)");
    r.ranks[0] = std::make_unique<capi_rig>(64, 10 * capi_rig::block_bytes);
    capi_rig& w = *r.ranks[0];
    w.fill(1, 16);
    sluice_pipeline_options o = w.options();
    o.flags = SLUICE_PIPELINE_ENGINE_OWNS_L1;
    o.policy = "fair(external)";
    o.fetch_operations = 1;
    REQUIRE(w.open(o) == SLUICE_OK);

    sluice_request_id large = 0;
    sluice_request_id small = 0;
    REQUIRE(r.submit(1, 12, &large, [](sluice_request& q) {
        q.tenant = 1;
        q.rank = 1;
    }) == SLUICE_OK);
    REQUIRE(r.submit(13, 4, &small, [](sluice_request& q) {
        q.tenant = 2;
        q.rank = 2;
        q.tenant_weight = 2;
    }) == SLUICE_OK);
    REQUIRE(r.bind(large, 0, 13) == SLUICE_OK);
    REQUIRE(r.bind(small, 13, 5) == SLUICE_OK);
    REQUIRE(r.carry_out(0, r.plan()) == SLUICE_OK);
    std::uint64_t next = 0;
    REQUIRE(sluice_loop_run(w.loop, &next) == SLUICE_OK);
    REQUIRE(r.tell(r.report(0)) == SLUICE_OK);
    const message ranks = r.plan();
    REQUIRE(r.carry_out(0, ranks) == SLUICE_OK);
    std::vector<sluice_request_id> order;
    for (int i = 0; i < 100 && order.size() < 2; ++i) {
        REQUIRE(sluice_loop_run(w.loop, &next) == SLUICE_OK);
        REQUIRE(r.tell(r.report(0)) == SLUICE_OK);
        for (const sluice_event& e : r.poll()) {
            if (e.kind == SLUICE_EVENT_READY) {
                order.push_back(e.request);
            }
        }
        w.now_ns = std::max(w.now_ns, next);
    }
    CHECK(order == std::vector{small, large});
    CHECK(r.good());
}

TEST_CASE("ranks name their own blocks with a suffix") {
    split_rig r(2);
    // What the ranks have stands under longer names.
    for (std::uint32_t w = 0; w < 2; ++w) {
        const char suffix = static_cast<char>('a' + w);
        char name[9] = {1, 0, 0, 0, 0, 0, 0, 0, suffix};
        std::vector<std::byte> bytes(capi_rig::block_bytes,
                                     std::byte{static_cast<unsigned char>(w)});
        void* at = bytes.data();
        const std::uint64_t size = bytes.size();
        sluice_batch b = SLUICE_BATCH_INIT;
        b.kind = SLUICE_BATCH_PUT;
        b.keys = name;
        b.key_size = sizeof name;
        b.n = 1;
        b.memory = &at;
        b.bytes = &size;
        std::uint64_t ticket = 0;
        REQUIRE(sluice_store_submit(r.ranks[w]->store, &b, &ticket) == SLUICE_OK);
        r.ranks[w]->run();
    }
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 1, &id) == SLUICE_OK);
    REQUIRE(r.bind(id, 0, 2) == SLUICE_OK);
    const message p = r.plan();
    CHECK(r.carry_out(0, p, std::string(25, 'x')) == SLUICE_E_INVALID_ARGUMENT);
    REQUIRE(r.carry_out(0, p, "a") == SLUICE_OK);
    REQUIRE(r.carry_out(1, p, "b") == SLUICE_OK);
    r.ranks[0]->run();
    r.ranks[1]->run();
    REQUIRE(r.tell(r.merge({r.report(1), r.report(0)})) == SLUICE_OK);
    const auto events = r.poll();
    REQUIRE(kinds(events) == std::vector{SLUICE_EVENT_READY});
    CHECK(events[0].blocks == 1);
    CHECK(r.ranks[0]->memory[0] == std::byte{0});
    CHECK(r.ranks[1]->memory[0] == std::byte{1});
}

TEST_CASE("generated blocks are stored at every rank") {
    split_rig r(2);
    const auto names = capi_rig::keys(40, 3);
    const std::uint32_t pages[] = {5, 6, 7};
    sluice_request_id id = 0;
    REQUIRE(sluice_store_blocks(r.planner, names.data(), 8, pages, 3, 9, &id) == SLUICE_OK);
    const auto events = r.step_and_poll();
    REQUIRE(kinds(events) == std::vector{SLUICE_EVENT_STORED});
    CHECK(events[0].request == id);
    CHECK(events[0].user == 9);
    CHECK(events[0].blocks == 3);
    CHECK(r.live(r.planner) == 0);
    r.step();
    CHECK(r.live(r.ranks[0]->pipe) == 0);
    CHECK(r.good());
}

TEST_CASE("reports may come in any order, merged or not, and twice") {
    split_rig r(3);
    r.ranks[0]->fill(1, 5);
    r.ranks[1]->fill(1, 3);
    r.ranks[2]->fill(1, 4);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 6, &id) == SLUICE_OK);
    REQUIRE(r.bind(id, 0, 7) == SLUICE_OK);
    const message p = r.plan();
    std::vector<message> reports;
    for (std::uint32_t w = 0; w < 3; ++w) {
        REQUIRE(r.carry_out(w, p) == SLUICE_OK);
        r.ranks[w]->run();
        reports.push_back(r.report(w));
        CHECK(r.report(w).empty());  // it has been told
    }
    const message two = r.merge({reports[2], reports[0]});
    CHECK(r.merge({reports[0], reports[2], reports[0]}).size() == two.size());
    REQUIRE(r.tell(two) == SLUICE_OK);
    REQUIRE(r.tell(reports[2]) == SLUICE_OK);
    REQUIRE(r.tell(two) == SLUICE_OK);
    CHECK(r.poll().empty());
    REQUIRE(r.tell(r.merge({two, reports[1]})) == SLUICE_OK);
    REQUIRE(r.tell(reports[1]) == SLUICE_OK);
    const auto events = r.poll();
    REQUIRE(kinds(events) == std::vector{SLUICE_EVENT_READY});
    CHECK(events[0].blocks == 3);
    CHECK(r.good());
}

TEST_CASE("what does not fit into the buffer is not lost") {
    split_rig r(1);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 6, &id) == SLUICE_OK);
    std::uint64_t needed = 0;
    CHECK(sluice_plan_export(r.planner, nullptr, 0, &needed) == SLUICE_E_TRUNCATED);
    CHECK(needed > 0);
    message small(needed - 1);
    CHECK(sluice_plan_export(r.planner, small.data(), small.size(), &needed) == SLUICE_E_TRUNCATED);
    const message p = r.plan();
    CHECK(p.size() == needed);
    REQUIRE(r.carry_out(0, p) == SLUICE_OK);
    r.ranks[0]->run();
    CHECK(sluice_worker_report_export(r.ranks[0]->pipe, 0, nullptr, 0, &needed) ==
          SLUICE_E_TRUNCATED);
    const message report = r.report(0);
    CHECK(report.size() == needed);
    const void* at = report.data();
    const std::uint64_t size = report.size();
    CHECK(sluice_report_merge(&at, &size, 1, nullptr, 0, &needed) == SLUICE_E_TRUNCATED);
    CHECK(needed == report.size());
    REQUIRE(r.tell(report) == SLUICE_OK);
    CHECK(kinds(r.poll()) == std::vector{SLUICE_EVENT_WANT_PAGES});
}

TEST_CASE("plans come once and in order, from one planner") {
    split_rig r(1);
    split_rig other(1);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
    const message first = r.plan();
    CHECK(r.plan().empty());
    REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
    const message second = r.plan();
    CHECK(r.carry_out(0, second) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(says("plan 2 came after plan 0"));
    CHECK(r.carry_out(0, first) == SLUICE_OK);
    CHECK(r.carry_out(0, first) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(r.carry_out(0, second) == SLUICE_OK);
    CHECK(r.live(r.ranks[0]->pipe) == 2);

    REQUIRE(other.submit(1, 2, &id) == SLUICE_OK);
    CHECK(r.carry_out(0, other.plan()) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(says("another planner"));
    r.ranks[0]->run();
    CHECK(other.tell(r.report(0)) == SLUICE_E_INVALID_ARGUMENT);
}

TEST_CASE("damaged messages are refused, and nothing is done") {
    split_rig r(2);
    r.ranks[0]->fill(1, 2);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
    REQUIRE(r.bind(id, 0, 3) == SLUICE_OK);
    const message p = r.plan();
    for (std::size_t i = 0; i < p.size(); ++i) {
        message bad = p;
        bad[i] ^= 0x41;
        CHECK(r.carry_out(0, bad) == SLUICE_E_INVALID_ARGUMENT);
        bad = message(p.begin(), p.begin() + static_cast<std::ptrdiff_t>(i));
        CHECK(r.carry_out(0, bad) == (i == 0 ? SLUICE_OK : SLUICE_E_INVALID_ARGUMENT));
    }
    CHECK(r.live(r.ranks[0]->pipe) == 0);
    REQUIRE(r.carry_out(0, p) == SLUICE_OK);
    r.ranks[0]->run();
    const message report = r.report(0);
    CHECK(r.carry_out(1, report) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(r.tell(p) == SLUICE_E_INVALID_ARGUMENT);
    for (std::size_t i = 1; i < report.size(); ++i) {
        message bad = report;
        bad[i] ^= 0x10;
        CHECK(r.tell(bad) == SLUICE_E_INVALID_ARGUMENT);
        const message cut(report.begin(), report.begin() + static_cast<std::ptrdiff_t>(i));
        CHECK(r.tell(cut) == SLUICE_E_INVALID_ARGUMENT);
    }
    CHECK(r.poll().empty());
    message of_rank_5(1 << 12);
    std::uint64_t needed = 0;
    REQUIRE(r.carry_out(1, p) == SLUICE_OK);
    r.ranks[1]->run();
    REQUIRE(sluice_worker_report_export(r.ranks[1]->pipe, 5, of_rank_5.data(), of_rank_5.size(),
                                        &needed) == SLUICE_OK);
    of_rank_5.resize(needed);
    CHECK(r.tell(of_rank_5) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(says("rank 5"));
}

TEST_CASE("each call has its side") {
    split_rig r(1);
    capi_rig plain;
    REQUIRE(plain.open() == SLUICE_OK);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
    const message p = r.plan();
    std::uint64_t needed = 0;
    CHECK(sluice_plan_export(plain.pipe, nullptr, 0, &needed) == SLUICE_E_FAILED_PRECONDITION);
    CHECK(sluice_report_import(plain.pipe, p.data(), p.size()) == SLUICE_E_FAILED_PRECONDITION);
    // Its L1 is the library's.
    CHECK(sluice_plan_import(plain.pipe, p.data(), p.size(), nullptr, 0) ==
          SLUICE_E_FAILED_PRECONDITION);
    CHECK(sluice_plan_import(r.planner, p.data(), p.size(), nullptr, 0) ==
          SLUICE_E_FAILED_PRECONDITION);
    CHECK(sluice_worker_report_export(r.planner, 0, nullptr, 0, &needed) ==
          SLUICE_E_FAILED_PRECONDITION);
    CHECK(sluice_worker_report_export(r.ranks[0]->pipe, 64, nullptr, 0, &needed) ==
          SLUICE_E_INVALID_ARGUMENT);
    CHECK(sluice_report_merge(nullptr, nullptr, 1, nullptr, 0, &needed) ==
          SLUICE_E_INVALID_ARGUMENT);

    // Its order is its own.
    capi_rig ranks_itself;
    sluice_pipeline_options o = ranks_itself.options();
    o.flags = SLUICE_PIPELINE_ENGINE_OWNS_L1;
    REQUIRE(ranks_itself.open(o) == SLUICE_OK);
    CHECK(sluice_plan_import(ranks_itself.pipe, p.data(), p.size(), nullptr, 0) ==
          SLUICE_E_FAILED_PRECONDITION);
    CHECK(std::string(sluice_last_error()).find("\"external\"") != std::string::npos);

    // A worker serves plans only, and not while it has requests of its own.
    REQUIRE(r.ranks[0]->submit(1, 2, &id) == SLUICE_OK);
    CHECK(r.carry_out(0, p) == SLUICE_E_FAILED_PRECONDITION);
    REQUIRE(sluice_cancel(r.ranks[0]->pipe, id) == SLUICE_OK);
    r.ranks[0]->run_and_poll();
    r.ranks[0]->run();
    REQUIRE(r.carry_out(0, p) == SLUICE_OK);
    CHECK(r.ranks[0]->submit(1, 2, &id) == SLUICE_E_FAILED_PRECONDITION);
    std::uint32_t n = 0;
    sluice_event e{};
    CHECK(sluice_poll(r.ranks[0]->pipe, &e, 1, &n) == SLUICE_E_FAILED_PRECONDITION);
    int fd = -1;
    CHECK(sluice_event_fd(r.ranks[0]->pipe, &fd) == SLUICE_OK);
}

TEST_CASE("a planner refuses what it cannot be") {
    sluice_pipeline* p = nullptr;
    CHECK(sluice_planner_open(nullptr, &p) == SLUICE_E_INVALID_ARGUMENT);
    sluice_planner_options o = SLUICE_PLANNER_OPTIONS_INIT;
    CHECK(sluice_planner_open(&o, nullptr) == SLUICE_E_INVALID_ARGUMENT);
    o.n_groups = 1;
    CHECK(sluice_planner_open(&o, &p) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(says("pages"));
    o.pages = 16;
    o.workers = 65;
    CHECK(sluice_planner_open(&o, &p) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(says("workers"));
    o.workers = 64;
    o.policy = "no_such";
    CHECK(sluice_planner_open(&o, &p) == SLUICE_E_NOT_FOUND);
    CHECK(p == nullptr);
    o.policy = nullptr;
    REQUIRE(sluice_planner_open(&o, &p) == SLUICE_OK);
    sluice_request r = SLUICE_REQUEST_INIT;
    r.prompt_tokens = 17 * 16;
    sluice_request_id id = 0;
    CHECK(sluice_submit(p, &r, &id) == SLUICE_E_OUT_OF_RANGE);
    std::uint64_t needed = 0;
    CHECK(sluice_metrics(p, nullptr, 0, &needed) == SLUICE_E_TRUNCATED);
    CHECK(sluice_pipeline_close(p) == SLUICE_OK);
    CHECK(sluice_submit(p, &r, &id) == SLUICE_E_NOT_FOUND);
}

struct watching_policy {
    sluice_pipeline* planner = nullptr;
    sluice_status inside = SLUICE_OK;
    sluice_status query = SLUICE_E_INTERNAL;
    int submitted = 0, ranked = 0, done = 0;
    double served = 0;
};

TEST_CASE("the policy is told of every request, and may ask but not take turns") {
    watching_policy seen;
    sluice_policy table = SLUICE_POLICY_INIT;
    table.user = &seen;
    table.rank = [](void* user, const sluice_request_view* v, std::uint32_t, std::uint64_t) {
        auto& s = *static_cast<watching_policy*>(user);
        ++s.ranked;
        std::uint64_t needed = 0;
        s.inside = sluice_plan_export(s.planner, nullptr, 0, &needed);
        sluice_progress p = SLUICE_PROGRESS_INIT;
        s.query = sluice_query(s.planner, v->request, &p);
        return v->predicted_fetch_s + v->predicted_copy_s + v->predicted_compute_s;
    };
    table.submitted = [](void* user, const sluice_request_view*, std::uint64_t) {
        ++static_cast<watching_policy*>(user)->submitted;
    };
    table.served = [](void* user, const sluice_request_view*, std::uint32_t, double seconds) {
        static_cast<watching_policy*>(user)->served += seconds;
    };
    table.done = [](void* user, const sluice_request_view*, std::uint64_t) {
        ++static_cast<watching_policy*>(user)->done;
    };
    split_rig r(1, 64, nullptr, &table);
    seen.planner = r.planner;
    r.ranks[0]->fill(1, 4);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 4, &id) == SLUICE_OK);
    REQUIRE(r.bind(id, 0, 5) == SLUICE_OK);
    r.step();
    REQUIRE(r.submit(1, 4, &id) == SLUICE_OK);
    r.step();
    CHECK(seen.submitted == 2);
    CHECK(seen.ranked > 0);
    CHECK(seen.done == 1);
    CHECK(seen.inside == SLUICE_E_FAILED_PRECONDITION);
    CHECK(seen.query == SLUICE_OK);
    CHECK(r.good());
}

}  // namespace
}  // namespace sluice
