// SPDX-License-Identifier: Apache-2.0
// The C API's main ways, on virtual time.
#include <sluice/sluice.h>

#include <cmath>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support/capi_rig.hpp"

namespace sluice {
namespace {

using test::capi_rig;
using test::says;

std::vector<std::uint32_t> kinds(const std::vector<sluice_event>& events) {
    std::vector<std::uint32_t> out;
    for (const sluice_event& e : events) {
        out.push_back(e.kind);
    }
    return out;
}

TEST_CASE("the engine drives: ready, computed, stored, and loaded the next time") {
    capi_rig r;
    r.fill(1, 4);
    REQUIRE(r.open() == SLUICE_OK);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 6, &id, [](sluice_request& q) { q.user = 77; }) == SLUICE_OK);
    auto events = r.run_and_poll();
    REQUIRE(kinds(events) == std::vector{SLUICE_EVENT_READY});
    CHECK(events[0].request == id);
    CHECK(events[0].user == 77);
    CHECK(events[0].blocks == 4);
    CHECK(events[0].status == SLUICE_OK);
    CHECK(std::string(events[0].text).empty());

    std::uint32_t pages[16];
    std::uint32_t n = 0;
    CHECK(sluice_pages(r.pipe, id, nullptr, 0, &n) == SLUICE_E_TRUNCATED);
    REQUIRE(n == 7);
    REQUIRE(sluice_pages(r.pipe, id, pages, 16, &n) == SLUICE_OK);
    for (std::uint32_t i = 0; i < 4; ++i) {
        CHECK(r.page_holds(pages[i], 1 + i));
    }
    sluice_report report = SLUICE_REPORT_INIT;
    REQUIRE(sluice_request_report(r.pipe, id, &report) == SLUICE_OK);
    CHECK(report.hit_blocks == 4);
    CHECK(report.bytes_fetched == 4 * capi_rig::block_bytes);
    CHECK(report.first_token_ns == UINT64_MAX);

    CHECK(sluice_compute_done(r.pipe, id, 1'000'000) == SLUICE_OK);
    CHECK(sluice_compute_done(r.pipe, id, 1'000'000) == SLUICE_E_FAILED_PRECONDITION);
    events = r.run_and_poll();
    REQUIRE(kinds(events) == std::vector{SLUICE_EVENT_STORED});
    CHECK(events[0].blocks == 2);
    CHECK(sluice_release(r.pipe, id) == SLUICE_OK);
    r.run();
    CHECK(sluice_release(r.pipe, id) == SLUICE_E_NOT_FOUND);
    CHECK(says("released"));

    REQUIRE(r.submit(1, 6, &id) == SLUICE_OK);
    events = r.run_and_poll();
    REQUIRE(kinds(events) == std::vector{SLUICE_EVENT_READY});
    CHECK(events[0].blocks == 6);
    CHECK(r.good());
}

TEST_CASE("the engine owns L1: query, want pages, bind") {
    capi_rig r;
    r.fill(1, 3);
    sluice_pipeline_options o = r.options();
    o.flags = SLUICE_PIPELINE_ENGINE_OWNS_L1;
    REQUIRE(r.open(o) == SLUICE_OK);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 5, &id) == SLUICE_OK);
    sluice_progress p = SLUICE_PROGRESS_INIT;
    REQUIRE(sluice_query(r.pipe, id, &p) == SLUICE_OK);
    CHECK(p.looked_up == 0);
    REQUIRE(kinds(r.run_and_poll()) == std::vector{SLUICE_EVENT_WANT_PAGES});
    REQUIRE(sluice_query(r.pipe, id, &p) == SLUICE_OK);
    CHECK(p.looked_up == 1);
    CHECK(p.hit_blocks == 3);
    CHECK(p.loading_blocks == 3);
    const std::vector<std::uint32_t> pages{9, 8, 7, 6, 5, 4};
    CHECK(sluice_bind(r.pipe, id, pages.data(), 5) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(sluice_bind(r.pipe, id, nullptr, 6) == SLUICE_E_INVALID_ARGUMENT);
    REQUIRE(sluice_bind(r.pipe, id, pages.data(), 6) == SLUICE_OK);
    CHECK(sluice_bind(r.pipe, id, pages.data(), 6) == SLUICE_E_FAILED_PRECONDITION);
    const auto events = r.run_and_poll();
    REQUIRE(kinds(events) == std::vector{SLUICE_EVENT_READY});
    CHECK(r.page_holds(9, 1));
    CHECK(r.page_holds(7, 3));

    const std::uint64_t generated = 500;
    sluice_request_id stored = 0;
    REQUIRE(sluice_store_blocks(r.pipe, &generated, 8, pages.data(), 1, 5, &stored) == SLUICE_OK);
    const auto after = r.run_and_poll();
    REQUIRE(kinds(after) == std::vector{SLUICE_EVENT_STORED});
    CHECK(after[0].request == stored);
    CHECK(after[0].user == 5);
    CHECK(after[0].blocks == 1);
}

TEST_CASE("the library drives: a job for each request, now or later") {
    struct engine {
        std::vector<sluice_op> pending;
        std::vector<std::uint64_t> queries;
        sluice_status answer = SLUICE_OK;
    } engine;
    capi_rig r;
    r.fill(1, 2);
    sluice_compute compute = SLUICE_COMPUTE_INIT;
    compute.user = &engine;
    compute.run = [](void* user, const sluice_compute_job* job) -> sluice_status {
        auto& e = *static_cast<struct engine*>(user);
        e.queries.push_back(job->query_tokens);
        if (e.answer == SLUICE_PENDING) {
            e.pending.push_back(job->op);
        }
        return e.answer;
    };
    sluice_pipeline_options o = r.options();
    o.loop = nullptr;  // compute has a thread of its own: the rest may as well
    o.store = nullptr;
    sluice_device* host = nullptr;
    REQUIRE(sluice_device_open_host(nullptr, &host) == SLUICE_OK);
    o.device = host;
    o.compute = &compute;
    REQUIRE(r.open(o) == SLUICE_OK);
    const auto outcome_of = [&](sluice_request_id id) {
        for (;;) {
            sluice_event e{};
            std::uint32_t n = 0;
            sluice_poll(r.pipe, &e, 1, &n);
            if (n == 1 && e.request == id && e.kind != SLUICE_EVENT_LOADED) {
                return e;
            }
            if (!engine.pending.empty()) {
                const sluice_op op = engine.pending.back();
                engine.pending.pop_back();
                CHECK(sluice_complete(op, SLUICE_OK) == SLUICE_OK);
                CHECK(sluice_complete(op, SLUICE_OK) == SLUICE_E_NOT_FOUND);
            }
        }
    };
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
    CHECK(outcome_of(id).kind == SLUICE_EVENT_COMPUTED);
    CHECK(engine.queries == std::vector<std::uint64_t>{33});
    CHECK(sluice_compute_done(r.pipe, id, 0) == SLUICE_E_FAILED_PRECONDITION);

    engine.answer = SLUICE_E_RESOURCE_EXHAUSTED;
    REQUIRE(r.submit(10, 1, &id) == SLUICE_OK);
    const sluice_event failed = outcome_of(id);
    CHECK(failed.kind == SLUICE_EVENT_FAILED);
    CHECK(failed.status == SLUICE_E_RESOURCE_EXHAUSTED);
    CHECK(std::string(failed.text) == "the compute function failed");

    engine.answer = 4711;  // no code
    REQUIRE(r.submit(20, 1, &id) == SLUICE_OK);
    CHECK(outcome_of(id).status == SLUICE_E_INTERNAL);
    sluice_pipeline_close(r.pipe);
    sluice_device_close(host);
}

TEST_CASE("a computation that is pending ends when the engine says so") {
    struct engine {
        sluice_op op = 0;
    } engine;
    capi_rig r;
    sluice_compute compute = SLUICE_COMPUTE_INIT;
    compute.user = &engine;
    compute.run = [](void* user, const sluice_compute_job* job) -> sluice_status {
        auto& e = *static_cast<struct engine*>(user);
        e.op = job->op;
        // Ended inside the callback: what it returns does not matter any more.
        return sluice_complete(e.op, SLUICE_OK) == SLUICE_OK ? SLUICE_E_INTERNAL : SLUICE_OK;
    };
    sluice_device* host = nullptr;
    REQUIRE(sluice_device_open_host(nullptr, &host) == SLUICE_OK);
    sluice_pipeline_options o = r.options();
    o.loop = nullptr;
    o.store = nullptr;
    o.device = host;
    o.compute = &compute;
    REQUIRE(r.open(o) == SLUICE_OK);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 1, &id) == SLUICE_OK);
    std::uint32_t kind = SLUICE_EVENT_LOADED;
    while (kind == SLUICE_EVENT_LOADED) {
        for (const sluice_event& e : r.poll()) {
            kind = e.kind == SLUICE_EVENT_STORED ? kind : e.kind;
        }
    }
    CHECK(kind == SLUICE_EVENT_COMPUTED);
    CHECK(sluice_complete(engine.op, SLUICE_OK) == SLUICE_E_NOT_FOUND);
    sluice_pipeline_close(r.pipe);
    sluice_device_close(host);
}

TEST_CASE("a policy of the engine's orders requests, and sees what it may know") {
    struct seen {
        std::uint32_t submitted = 0, done = 0, ranked = 0;
        std::uint64_t load_tokens = 0;
    } seen;
    capi_rig r;
    r.fill(1, 12);
    sluice_policy policy = SLUICE_POLICY_INIT;
    policy.user = &seen;
    policy.rank = [](void* user, const sluice_request_view* v, uint32_t, uint64_t) {
        auto& s = *static_cast<struct seen*>(user);
        ++s.ranked;
        s.load_tokens = v->load_tokens;
        return -static_cast<double>(v->user);  // the largest first
    };
    policy.submitted = [](void* user, const sluice_request_view*, uint64_t) {
        ++static_cast<struct seen*>(user)->submitted;
    };
    policy.done = [](void* user, const sluice_request_view*, uint64_t) {
        ++static_cast<struct seen*>(user)->done;
    };
    sluice_pipeline_options o = r.options();
    o.custom_policy = &policy;
    REQUIRE(r.open(o) == SLUICE_OK);
    sluice_request_id ids[3] = {};
    REQUIRE(r.submit(1, 4, &ids[0], [](sluice_request& q) { q.user = 1; }) == SLUICE_OK);
    REQUIRE(r.submit(5, 4, &ids[1], [](sluice_request& q) { q.user = 2; }) == SLUICE_OK);
    REQUIRE(r.submit(9, 4, &ids[2], [](sluice_request& q) { q.user = 3; }) == SLUICE_OK);
    r.run();
    sluice_request_id order[4] = {ids[0], 12345, ids[2], ids[1]};
    REQUIRE(sluice_sort(r.pipe, order, 4) == SLUICE_OK);
    CHECK(order[0] == ids[2]);
    CHECK(order[1] == ids[1]);
    CHECK(order[2] == ids[0]);
    CHECK(order[3] == 12345);
    sluice_request_id next = 0;
    REQUIRE(sluice_next_ready(r.pipe, &next) == SLUICE_OK);
    CHECK(next == ids[2]);
    CHECK(seen.submitted == 3);
    CHECK(seen.ranked >= 9);
    CHECK(seen.load_tokens == 4 * capi_rig::block_tokens);
    CHECK(seen.done == 3);
}

TEST_CASE("a cost model of the engine's predicts, and what is nonsense is counted") {
    capi_rig r;
    r.fill(1, 4);
    sluice_cost_model cost = SLUICE_COST_MODEL_INIT;
    cost.predict = [](void*, uint32_t stage, const sluice_demand* d) {
        return stage == SLUICE_STAGE_COMPUTE ? std::nan("") : static_cast<double>(d->bytes);
    };
    sluice_pipeline_options o = r.options();
    o.custom_cost = &cost;
    REQUIRE(r.open(o) == SLUICE_OK);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 4, &id) == SLUICE_OK);
    r.run();
    sluice_progress p = SLUICE_PROGRESS_INIT;
    REQUIRE(sluice_query(r.pipe, id, &p) == SLUICE_OK);
    CHECK(p.predicted_fetch_s == 4.0 * capi_rig::block_bytes);
    CHECK(p.predicted_compute_s == 0);
    sluice_stats stats = SLUICE_STATS_INIT;
    REQUIRE(sluice_pipeline_stats(r.pipe, &stats) == SLUICE_OK);
    CHECK(stats.cost_faults > 0);
    CHECK(stats.fetched_bytes == 4 * capi_rig::block_bytes);
}

TEST_CASE("ranks of the engine's own, and an end to waiting") {
    capi_rig r;
    r.fill(1, 8);
    sluice_pipeline_options o = r.options();
    o.policy = "external";
    o.flags = SLUICE_PIPELINE_ENGINE_OWNS_L1;
    REQUIRE(r.open(o) == SLUICE_OK);
    sluice_request_id a = 0;
    REQUIRE(r.submit(1, 8, &a) == SLUICE_OK);
    CHECK(sluice_set_rank(r.pipe, a, 3) == SLUICE_OK);
    CHECK(sluice_set_rank(r.pipe, a, std::nan("")) == SLUICE_E_INVALID_ARGUMENT);
    r.run();
    CHECK(sluice_detach(r.pipe, a) == SLUICE_OK);
    auto events = r.run_and_poll();
    REQUIRE(!events.empty());
    CHECK(events.back().kind == SLUICE_EVENT_DETACHED);
    CHECK(events.back().blocks == 0);
    sluice_request_id b = 0;
    REQUIRE(r.submit(1, 8, &b) == SLUICE_OK);
    CHECK(sluice_cancel(r.pipe, b) == SLUICE_OK);
    events = r.run_and_poll();
    REQUIRE(!events.empty());
    CHECK(events.back().kind == SLUICE_EVENT_CANCELLED);
}

TEST_CASE("metrics are text with a size that is asked for first") {
    capi_rig r;
    REQUIRE(r.open() == SLUICE_OK);
    std::uint64_t needed = 0;
    CHECK(sluice_metrics(r.pipe, nullptr, 0, &needed) == SLUICE_E_TRUNCATED);
    REQUIRE(needed > 100);
    std::string text(needed, 'x');
    REQUIRE(sluice_metrics(r.pipe, text.data(), text.size(), &needed) == SLUICE_OK);
    CHECK(text.back() == '\0');
    CHECK(text.find("sluice_") != std::string::npos);
    CHECK(sluice_metrics(r.pipe, text.data(), 1, &needed) == SLUICE_E_TRUNCATED);
    CHECK(text[0] == '\0');
}

}  // namespace
}  // namespace sluice
