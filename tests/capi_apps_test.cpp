// SPDX-License-Identifier: Apache-2.0
// Applications by the C API: their order, what is told wrongly, and what hostile threads do.
#include <sluice/sluice.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/demand/demand_model.hpp>

#include "support/capi_rig.hpp"

namespace sluice {
namespace {

using test::capi_rig;
using test::says;

sluice_app_id begin(sluice_pipeline* p, const char* application, std::uint64_t deadline_ns = 0) {
    sluice_app a = SLUICE_APP_INIT;
    a.application = application;
    a.deadline_ns = deadline_ns;
    sluice_app_id id = 0;
    REQUIRE(sluice_app_begin(p, &a, &id) == SLUICE_OK);
    return id;
}

sluice_status begin_unit(sluice_pipeline* p, sluice_app_id app, const char* name,
                         std::uint64_t prompt = 0) {
    sluice_unit u = SLUICE_UNIT_INIT;
    u.unit = name;
    u.prompt_tokens = prompt;
    return sluice_unit_begin(p, app, &u);
}

sluice_status end_unit(sluice_pipeline* p, sluice_app_id app, std::uint64_t completion) {
    sluice_unit_result r = SLUICE_UNIT_RESULT_INIT;
    r.completion_tokens = completion;
    return sluice_unit_end(p, app, &r);
}

/// Runs of a class, learned as they end.
void teach(sluice_pipeline* p, const char* application, std::uint64_t completion) {
    for (int i = 0; i < 12; ++i) {
        const sluice_app_id a = begin(p, application);
        REQUIRE(begin_unit(p, a, "only", 100) == SLUICE_OK);
        REQUIRE(end_unit(p, a, completion + static_cast<std::uint64_t>(i)) == SLUICE_OK);
        REQUIRE(sluice_app_end(p, a, 0) == SLUICE_OK);
    }
}

double rank_of(sluice_pipeline* p, sluice_app_id app) {
    double rank = -1;
    std::uint32_t tier = 99;
    CHECK(sluice_app_rank(p, app, &rank, &tier) == SLUICE_OK);
    CHECK(tier == 1);
    return rank;
}

TEST_CASE("c apps: classes are learned, and the shorter goes first") {
    capi_rig r;
    sluice_pipeline_options o = r.options();
    o.policy = "gittins";
    REQUIRE(r.open(o) == SLUICE_OK);
    teach(r.pipe, "long", 1000);
    teach(r.pipe, "short", 10);
    r.run();
    const sluice_app_id slow = begin(r.pipe, "long");
    const sluice_app_id fast = begin(r.pipe, "short");
    CHECK(std::isinf(rank_of(r.pipe, slow)));
    r.run();
    CHECK(rank_of(r.pipe, fast) < 1);
    CHECK(rank_of(r.pipe, slow) > 50);
    std::array<sluice_request_id, 4> ids{};
    for (std::size_t i = 0; i < ids.size(); ++i) {
        sluice_request q = SLUICE_REQUEST_INIT;
        q.prompt_tokens = 20;
        q.app = i % 2 == 0 ? slow : fast;
        REQUIRE(sluice_submit(r.pipe, &q, &ids[i]) == SLUICE_OK);
    }
    r.run();
    std::array<sluice_request_id, 4> sorted = ids;
    REQUIRE(sluice_sort(r.pipe, sorted.data(), 4) == SLUICE_OK);
    CHECK(sorted == std::array{ids[1], ids[3], ids[0], ids[2]});

    // What the long one has had counts: it has nearly ended.
    REQUIRE(begin_unit(r.pipe, slow, "only", 100) == SLUICE_OK);
    r.run();
    REQUIRE(sluice_unit_progress(r.pipe, slow, 100, 0, 1005) == SLUICE_OK);
    r.run();
    CHECK(rank_of(r.pipe, slow) < rank_of(r.pipe, fast));
    REQUIRE(sluice_sort(r.pipe, sorted.data(), 4) == SLUICE_OK);
    CHECK(sorted == std::array{ids[0], ids[2], ids[1], ids[3]});

    sluice_stats stats = SLUICE_STATS_INIT;
    REQUIRE(sluice_pipeline_stats(r.pipe, &stats) == SLUICE_OK);
    CHECK(stats.apps_begun == 26);
    CHECK(stats.apps_ended == 24);
    CHECK(stats.app_events_refused == 0);
    std::vector<char> text(65536);
    std::uint64_t needed = 0;
    REQUIRE(sluice_metrics(r.pipe, text.data(), text.size(), &needed) == SLUICE_OK);
    CHECK(std::string(text.data()).find("sluice_application_runs_learned_total 24") !=
          std::string::npos);
}

TEST_CASE("c apps: a class can be given as a file, and what is no such file is refused") {
    capi_rig r;
    sluice_pipeline_options o = r.options();
    o.policy = "mean_srpt";
    REQUIRE(r.open(o) == SLUICE_OK);
    std::vector<demand::run_record> runs(3);
    for (demand::run_record& run : runs) {
        run.application = "chain";
        run.units.push_back({"only", "llm", {{100, 100, 0, 0}}});
    }
    const std::string json = (*demand::demand_model::learn("chain", runs))->to_json();
    REQUIRE(sluice_app_model_load(r.pipe, json.data(), json.size()) == SLUICE_OK);
    const sluice_app_id a = begin(r.pipe, "chain");
    r.run();
    CHECK(std::abs(rank_of(r.pipe, a) - (0.01 + 6)) < 0.1);
    for (std::size_t n = 0; n < json.size(); n += 7) {
        CHECK(sluice_app_model_load(r.pipe, json.data(), n) == SLUICE_E_INVALID_ARGUMENT);
    }
    CHECK(says("json"));
    CHECK(sluice_app_model_load(r.pipe, "[1]", 3) == SLUICE_E_INVALID_ARGUMENT);
    r.run();
    CHECK(rank_of(r.pipe, a) > 1);
}

TEST_CASE("c apps: without learning, and with rates of one's own") {
    capi_rig r;
    sluice_app_options apps = SLUICE_APP_OPTIONS_INIT;
    apps.flags = SLUICE_APPS_NO_LEARNING;
    apps.prefill_s = 1;
    apps.decode_s = 2;
    apps.load_s = 0.5;
    apps.max_apps = 2;
    sluice_pipeline_options o = r.options();
    o.policy = "las";
    o.apps = &apps;
    REQUIRE(r.open(o) == SLUICE_OK);
    const sluice_app_id a = begin(r.pipe, "any");
    sluice_unit u = SLUICE_UNIT_INIT;
    u.unit = "first";
    u.calls = 2;
    u.prompt_tokens = 10;
    u.cached_tokens = 4;
    REQUIRE(sluice_unit_begin(r.pipe, a, &u) == SLUICE_OK);
    REQUIRE(end_unit(r.pipe, a, 3) == SLUICE_OK);
    r.run();
    CHECK(rank_of(r.pipe, a) == 6 + 2 + 6);
    u.unit = "tool";
    u.backend = "search";
    u.calls = 1;
    u.prompt_tokens = u.cached_tokens = 0;
    REQUIRE(sluice_unit_begin(r.pipe, a, &u) == SLUICE_OK);
    r.now_ns += 2'000'000'000;
    r.run();
    REQUIRE(sluice_unit_end(r.pipe, a, nullptr) == SLUICE_OK);
    r.run();
    CHECK(rank_of(r.pipe, a) == 14 + 2);

    begin(r.pipe, "any");
    sluice_app full = SLUICE_APP_INIT;
    full.application = "any";
    sluice_app_id none = 7;
    CHECK(sluice_app_begin(r.pipe, &full, &none) == SLUICE_E_RESOURCE_EXHAUSTED);
    CHECK(none == 0);
    CHECK(says("max_applications"));
}

TEST_CASE("c apps: blocks are brought near for requests to come") {
    capi_rig r;
    r.fill(0, 4);
    REQUIRE(r.open() == SLUICE_OK);
    sluice_request_id id = 0;
    REQUIRE(r.submit(0, 4, &id, [](sluice_request& q) {
        q.flags = SLUICE_REQUEST_PREWARM;
        q.prompt_tokens = 0;
    }) == SLUICE_OK);
    const auto events = r.run_and_poll();
    REQUIRE(events.size() == 1);
    CHECK(events[0].kind == SLUICE_EVENT_READY);
    CHECK(events[0].blocks == 4);
    sluice_request_id next = 7;
    CHECK(sluice_next_ready(r.pipe, &next) == SLUICE_OK);
    CHECK(next == 0);
    r.run();
    CHECK(sluice_release(r.pipe, id) == SLUICE_E_NOT_FOUND);
    sluice_stats stats = SLUICE_STATS_INIT;
    REQUIRE(sluice_pipeline_stats(r.pipe, &stats) == SLUICE_OK);
    CHECK(stats.prewarm_requests == 1);
    CHECK(stats.prewarmed_blocks == 4);
    CHECK(r.good());
}

TEST_CASE("c apps: events that cannot be get a code and a text, and change nothing") {
    capi_rig r;
    sluice_pipeline_options o = r.options();
    o.policy = "las";
    REQUIRE(r.open(o) == SLUICE_OK);
    sluice_app_id id = 7;
    sluice_app a = SLUICE_APP_INIT;
    CHECK(sluice_app_begin(r.pipe, &a, &id) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(says("application"));
    CHECK(id == 0);
    CHECK(sluice_app_begin(r.pipe, nullptr, &id) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(sluice_app_begin(r.pipe, &a, nullptr) == SLUICE_E_INVALID_ARGUMENT);
    a.application = "";
    CHECK(sluice_app_begin(r.pipe, &a, &id) == SLUICE_E_INVALID_ARGUMENT);
    const std::string endless(100000, 'x');
    a.application = endless.c_str();
    CHECK(sluice_app_begin(r.pipe, &a, &id) == SLUICE_E_INVALID_ARGUMENT);
    a.application = "ok";
    a.flags = 4;
    CHECK(sluice_app_begin(r.pipe, &a, &id) == SLUICE_E_INVALID_ARGUMENT);
    a.flags = 0;
    a.tenant_weight = std::numeric_limits<double>::quiet_NaN();
    CHECK(sluice_app_begin(r.pipe, &a, &id) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(says("tenant_weight"));

    const sluice_app_id app = begin(r.pipe, "ok");
    CHECK(sluice_unit_end(r.pipe, app, nullptr) == SLUICE_E_FAILED_PRECONDITION);
    CHECK(sluice_unit_progress(r.pipe, app, 1, 0, 1) == SLUICE_E_FAILED_PRECONDITION);
    CHECK(sluice_unit_begin(r.pipe, app, nullptr) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(begin_unit(r.pipe, app, nullptr) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(begin_unit(r.pipe, app, "big", UINT64_MAX) == SLUICE_E_INVALID_ARGUMENT);
    sluice_unit u = SLUICE_UNIT_INIT;
    u.unit = "u";
    u.calls = UINT32_MAX;
    CHECK(sluice_unit_begin(r.pipe, app, &u) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(begin_unit(r.pipe, app, "first", 10) == SLUICE_OK);
    CHECK(begin_unit(r.pipe, app, "second", 10) == SLUICE_E_FAILED_PRECONDITION);
    CHECK(says("first"));
    CHECK(sluice_unit_progress(r.pipe, app, 10, 0, 5) == SLUICE_OK);
    CHECK(sluice_unit_progress(r.pipe, app, 10, 0, 4) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(sluice_unit_progress(r.pipe, app, 10, 11, 5) == SLUICE_E_INVALID_ARGUMENT);
    sluice_unit_result result = SLUICE_UNIT_RESULT_INIT;
    result.seconds = std::numeric_limits<double>::quiet_NaN();
    CHECK(sluice_unit_end(r.pipe, app, &result) == SLUICE_E_INVALID_ARGUMENT);
    result.seconds = 0;
    result.max_completion_tokens = 9;
    CHECK(sluice_unit_end(r.pipe, app, &result) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(sluice_app_end(r.pipe, app, 2) == SLUICE_E_INVALID_ARGUMENT);
    r.run();
    CHECK(rank_of(r.pipe, app) == 10 * 0.0001 + 5 * 0.06);
    CHECK(end_unit(r.pipe, app, 10) == SLUICE_OK);
    CHECK(sluice_app_end(r.pipe, app, 0) == SLUICE_OK);
    for (const sluice_app_id bad : {app, sluice_app_id{0}, sluice_app_id{77}, UINT64_MAX}) {
        double rank = 7;
        CHECK(sluice_app_rank(r.pipe, bad, &rank, nullptr) == SLUICE_E_NOT_FOUND);
        CHECK(rank == 0);
        CHECK(begin_unit(r.pipe, bad, "u") == SLUICE_E_NOT_FOUND);
        CHECK(sluice_unit_progress(r.pipe, bad, 0, 0, 0) == SLUICE_E_NOT_FOUND);
        CHECK(end_unit(r.pipe, bad, 0) == SLUICE_E_NOT_FOUND);
        CHECK(sluice_app_end(r.pipe, bad, 0) == SLUICE_E_NOT_FOUND);
    }
    CHECK(sluice_app_rank(nullptr, 1, nullptr, nullptr) == SLUICE_E_NOT_FOUND);
    CHECK(sluice_app_model_load(r.pipe, nullptr, 5) == SLUICE_E_INVALID_ARGUMENT);

    sluice_app_options apps = SLUICE_APP_OPTIONS_INIT;
    o.apps = &apps;
    sluice_pipeline* other = nullptr;
    apps.flags = 8;
    CHECK(sluice_pipeline_open(&o, &other) == SLUICE_E_INVALID_ARGUMENT);
    apps.flags = 0;
    apps.decode_s = -1;
    CHECK(sluice_pipeline_open(&o, &other) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(says("decode_s"));
    apps.decode_s = 0;
    apps.struct_size = 3;
    CHECK(sluice_pipeline_open(&o, &other) == SLUICE_E_INVALID_ARGUMENT);
}

TEST_CASE("c apps: threads that report everything about everything, while it is closed") {
    std::array<std::byte, 64 * 256> memory{};
    sluice_region region{reinterpret_cast<std::uintptr_t>(memory.data()), 256, 256, 64, -1};
    sluice_group group{&region, 1, SLUICE_HIT_ALL_BLOCKS, 0, 0};
    sluice_device* device = nullptr;
    REQUIRE(sluice_device_open_host(nullptr, &device) == SLUICE_OK);
    sluice_pipeline_options o = SLUICE_PIPELINE_OPTIONS_INIT;
    o.groups = &group;
    o.n_groups = 1;
    o.device = device;
    o.policy = "gittins";
    o.l2_bytes = 64 * 256;
    for (int round = 0; round < 4; ++round) {
        sluice_pipeline* pipe = nullptr;
        REQUIRE(sluice_pipeline_open(&o, &pipe) == SLUICE_OK);
        std::atomic<sluice_app_id> shared{0};
        std::atomic<int> ready{0};
        std::vector<std::thread> threads;
        for (int t = 0; t < 3; ++t) {
            threads.emplace_back([&, t] {
                unsigned random = static_cast<unsigned>(t * 977 + round);
                for (int i = 0; i < 3000; ++i) {
                    random = random * 1103515245 + 12345;
                    const sluice_app_id app = shared;
                    sluice_app a = SLUICE_APP_INIT;
                    a.application = (random & 0x10000) != 0 ? "one" : "two";
                    sluice_app_id made = 0;
                    sluice_request q = SLUICE_REQUEST_INIT;
                    q.prompt_tokens = 5;
                    q.app = app;
                    sluice_request_id id = 0;
                    switch ((random >> 20) % 8) {
                    case 0:
                        if (sluice_app_begin(pipe, &a, &made) == SLUICE_OK) {
                            shared = made;
                        }
                        break;
                    case 1: begin_unit(pipe, app, "u", random % 100); break;
                    case 2: end_unit(pipe, app, random % 50); break;
                    case 3: sluice_unit_progress(pipe, app, random % 100, 0, random % 50); break;
                    case 4: sluice_app_end(pipe, app, random & 1); break;
                    case 5: sluice_app_rank(pipe, app, nullptr, nullptr); break;
                    case 6:
                        if (sluice_submit(pipe, &q, &id) == SLUICE_OK) {
                            sluice_release(pipe, id);
                        }
                        break;
                    default: {
                        std::array<sluice_event, 8> events{};
                        std::uint32_t n = 0;
                        sluice_poll(pipe, events.data(), 8, &n);
                        break;
                    }
                    }
                    ready = std::max(ready.load(), i);
                }
            });
        }
        if (round % 2 == 0) {
            for (std::thread& t : threads) {
                t.join();
            }
            threads.clear();
        }
        CHECK(sluice_pipeline_close(pipe) == SLUICE_OK);
        for (std::thread& t : threads) {
            t.join();
        }
    }
    CHECK(sluice_device_close(device) == SLUICE_OK);
}

}  // namespace
}  // namespace sluice
