// SPDX-License-Identifier: Apache-2.0
// What the C API is told wrongly: a code and a text, never a crash.
#include <sluice/sluice.h>

#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support/capi_rig.hpp"

namespace sluice {
namespace {

using test::capi_rig;
using test::says;

/// Calls every function that takes a pipeline and an id, with these.
std::vector<sluice_status> call_all(sluice_pipeline* p, sluice_request_id id) {
    std::uint32_t pages[4] = {};
    std::uint32_t n = 0;
    std::uint64_t needed = 0;
    int fd = 0;
    sluice_request request = SLUICE_REQUEST_INIT;
    request.prompt_tokens = 5;
    sluice_progress progress = SLUICE_PROGRESS_INIT;
    sluice_report report = SLUICE_REPORT_INIT;
    sluice_stats stats = SLUICE_STATS_INIT;
    sluice_event event{};
    sluice_request_id out = 0;
    return {sluice_submit(p, &request, &out),
            sluice_query(p, id, &progress),
            sluice_bind(p, id, pages, 4),
            sluice_detach(p, id),
            sluice_cancel(p, id),
            sluice_release(p, id),
            sluice_set_rank(p, id, 1),
            sluice_compute_done(p, id, 1),
            sluice_store_blocks(p, "12345678", 8, pages, 1, 0, &out),
            sluice_pages(p, id, pages, 4, &n),
            sluice_event_fd(p, &fd),
            sluice_poll(p, &event, 1, &n),
            sluice_sort(p, &id, 1),
            sluice_next_ready(p, &out),
            sluice_request_report(p, id, &report),
            sluice_pipeline_stats(p, &stats),
            sluice_metrics(p, nullptr, 0, &needed)};
}

TEST_CASE("handles that name nothing: null, foreign, of another kind, closed") {
    capi_rig r;
    REQUIRE(r.open() == SLUICE_OK);
    sluice_pipeline* const closed = r.pipe;
    REQUIRE(sluice_pipeline_close(r.pipe) == SLUICE_OK);
    r.pipe = nullptr;
    int local = 0;
    for (sluice_pipeline* p :
         {static_cast<sluice_pipeline*>(nullptr), reinterpret_cast<sluice_pipeline*>(&local),
          reinterpret_cast<sluice_pipeline*>(r.store), reinterpret_cast<sluice_pipeline*>(-1),
          closed}) {
        for (const sluice_status s : call_all(p, 1)) {
            CHECK(s == SLUICE_E_NOT_FOUND);
        }
        CHECK(sluice_pipeline_close(p) == (p == nullptr ? SLUICE_OK : SLUICE_E_NOT_FOUND));
    }
    CHECK(says("pipeline handle"));
    CHECK(sluice_store_close(reinterpret_cast<sluice_store*>(r.device)) == SLUICE_E_NOT_FOUND);
    REQUIRE(r.open() == SLUICE_OK);  // a new one in the same place
    CHECK(closed != r.pipe);
    CHECK(sluice_next_ready(closed, nullptr) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(sluice_pipeline_close(closed) == SLUICE_E_NOT_FOUND);
}

TEST_CASE("ids that name nothing: zero, made up, of another pipeline, released") {
    capi_rig r;
    REQUIRE(r.open() == SLUICE_OK);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
    REQUIRE(sluice_release(r.pipe, id) == SLUICE_OK);
    r.run_and_poll();
    r.run();
    sluice_progress progress = SLUICE_PROGRESS_INIT;
    for (const sluice_request_id bad : {std::uint64_t{0}, std::uint64_t{77}, UINT64_MAX, id}) {
        CHECK(sluice_query(r.pipe, bad, &progress) == SLUICE_E_NOT_FOUND);
        CHECK(sluice_cancel(r.pipe, bad) == SLUICE_E_NOT_FOUND);
        CHECK(sluice_compute_done(r.pipe, bad, 0) == SLUICE_E_NOT_FOUND);
    }
    CHECK(sluice_complete(id, SLUICE_OK) == SLUICE_E_NOT_FOUND);
    CHECK(sluice_complete(0, SLUICE_OK) == SLUICE_E_NOT_FOUND);
}

TEST_CASE("results and arguments that are NULL") {
    capi_rig r;
    REQUIRE(r.open() == SLUICE_OK);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
    std::uint32_t n = 0;
    const sluice_request request = SLUICE_REQUEST_INIT;
    for (const sluice_status s :
         {sluice_submit(r.pipe, nullptr, &id), sluice_submit(r.pipe, &request, nullptr),
          sluice_query(r.pipe, id, nullptr), sluice_pages(r.pipe, id, nullptr, 4, &n),
          sluice_pages(r.pipe, id, &n, 1, nullptr), sluice_event_fd(r.pipe, nullptr),
          sluice_poll(r.pipe, nullptr, 1, &n), sluice_poll(r.pipe, nullptr, 0, nullptr),
          sluice_sort(r.pipe, nullptr, 1), sluice_next_ready(r.pipe, nullptr),
          sluice_request_report(r.pipe, id, nullptr), sluice_pipeline_stats(r.pipe, nullptr),
          sluice_metrics(r.pipe, nullptr, 1, reinterpret_cast<std::uint64_t*>(&id)),
          sluice_metrics(r.pipe, nullptr, 0, nullptr), sluice_pipeline_open(nullptr, &r.pipe),
          sluice_pipeline_open(nullptr, nullptr), sluice_loop_create(nullptr, nullptr)}) {
        CHECK(s == SLUICE_E_INVALID_ARGUMENT);
    }
}

TEST_CASE("structs of another age: a shorter one is completed, a longer one read if it can be") {
    struct longer {
        sluice_request known;
        std::uint64_t future;
    };
    capi_rig r;
    REQUIRE(r.open() == SLUICE_OK);
    longer request{SLUICE_REQUEST_INIT, 0};
    request.known.prompt_tokens = 5;
    request.known.struct_size = sizeof request;
    sluice_request_id id = 0;
    CHECK(sluice_submit(r.pipe, &request.known, &id) == SLUICE_OK);
    request.future = 1;
    CHECK(sluice_submit(r.pipe, &request.known, &id) == SLUICE_E_UNSUPPORTED);
    CHECK(says("sluice_request"));
    CHECK(id == 0);

    request.known.struct_size = offsetof(sluice_request, user);  // what is behind it is not read
    request.known.tenant_weight = -1;
    CHECK(sluice_submit(r.pipe, &request.known, &id) == SLUICE_OK);
    for (const std::uint32_t size : {0U, 3U, 100000U, UINT32_MAX}) {
        request.known.struct_size = size;
        CHECK(sluice_submit(r.pipe, &request.known, &id) == SLUICE_E_INVALID_ARGUMENT);
        CHECK(says("struct_size"));
    }

    struct longer_stats {
        sluice_stats known;
        std::uint64_t future;
    } stats{SLUICE_STATS_INIT, 7};
    stats.known.struct_size = sizeof stats;
    CHECK(sluice_pipeline_stats(r.pipe, &stats.known) == SLUICE_OK);
    CHECK(stats.known.struct_size == sizeof stats);
    CHECK(stats.future == 0);
    sluice_progress progress = SLUICE_PROGRESS_INIT;
    progress.struct_size = 12;
    progress.planned_blocks = 4711;
    REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
    CHECK(sluice_query(r.pipe, id, &progress) == SLUICE_OK);
    CHECK(progress.planned_blocks == 4711);  // behind what the caller has
}

TEST_CASE("options of a pipeline that cannot be") {
    capi_rig r;
    const auto code = [&](auto change) {
        sluice_pipeline_options o = r.options();
        change(o);
        sluice_pipeline* p = reinterpret_cast<sluice_pipeline*>(1);
        const sluice_status s = sluice_pipeline_open(&o, &p);
        return p == nullptr ? s : SLUICE_OK;
    };
    using options = sluice_pipeline_options;
    CHECK(code([](options& o) { o.flags = 1U << 31; }) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(code([](options& o) { o.groups = nullptr; }) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(code([](options& o) { o.n_groups = 0; }) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(code([](options& o) { o.n_groups = UINT32_MAX; }) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(code([](options& o) { o.device = nullptr; }) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(code([](options& o) { o.policy = "no_such"; }) == SLUICE_E_NOT_FOUND);
    CHECK(says("no_such"));
    CHECK(code([](options& o) { o.cost = "no_such"; }) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(code([](options& o) { o.reservation = 3; }) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(code([](options& o) { o.l2_bytes = 1; }) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(code([](options& o) { o.write_back_share = 2; }) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(code([](options& o) { o.write_back_share = -1; }) == SLUICE_E_INVALID_ARGUMENT);
    const sluice_policy no_rank = SLUICE_POLICY_INIT;
    CHECK(code([&](options& o) { o.custom_policy = &no_rank; }) == SLUICE_E_INVALID_ARGUMENT);
    const sluice_cost_model no_predict = SLUICE_COST_MODEL_INIT;
    CHECK(code([&](options& o) { o.custom_cost = &no_predict; }) == SLUICE_E_INVALID_ARGUMENT);
    const sluice_compute no_run = SLUICE_COMPUTE_INIT;
    CHECK(code([&](options& o) { o.compute = &no_run; }) == SLUICE_E_INVALID_ARGUMENT);
    r.region.stride = 1;
    CHECK(code([](options&) {}) == SLUICE_E_INVALID_ARGUMENT);
    r.region.stride = r.region.bytes;
    r.group.hit_rule = 9;
    CHECK(code([](options&) {}) == SLUICE_E_INVALID_ARGUMENT);
    r.group.hit_rule = SLUICE_HIT_LAST_N;  // of how many?
    CHECK(code([](options&) {}) == SLUICE_E_INVALID_ARGUMENT);
}

TEST_CASE("what a callback must not do is refused there") {
    struct inside {
        capi_rig* rig = nullptr;
        sluice_status pipeline = 0, store = 0, loop = 0, run = 0;
    } in;
    capi_rig r;
    r.fill(1, 1);
    in.rig = &r;
    sluice_policy policy = SLUICE_POLICY_INIT;
    policy.user = &in;
    policy.rank = [](void* user, const sluice_request_view*, uint32_t, uint64_t) {
        auto& i = *static_cast<inside*>(user);
        i.pipeline = sluice_pipeline_close(i.rig->pipe);
        i.store = sluice_store_close(i.rig->store);
        i.loop = sluice_loop_close(i.rig->loop);
        i.run = sluice_loop_run(i.rig->loop, nullptr);
        return 0.0;
    };
    sluice_pipeline_options o = r.options();
    o.custom_policy = &policy;
    REQUIRE(r.open(o) == SLUICE_OK);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
    CHECK(r.run_and_poll().size() == 1);
    CHECK(in.pipeline == SLUICE_E_FAILED_PRECONDITION);
    CHECK(in.store == SLUICE_E_FAILED_PRECONDITION);
    CHECK(in.loop == SLUICE_E_FAILED_PRECONDITION);
    CHECK(in.run == SLUICE_E_FAILED_PRECONDITION);
}

TEST_CASE("a policy may call what is not closing") {
    struct inside {
        sluice_pipeline* pipe = nullptr;
        sluice_status query = -99, cancel = -99;
    } in;
    capi_rig r(64, 1000 * capi_rig::block_bytes);  // so that it is ranked before it is loaded
    r.fill(1, 2);
    sluice_policy policy = SLUICE_POLICY_INIT;
    policy.user = &in;
    policy.rank = [](void* user, const sluice_request_view* v, uint32_t, uint64_t) {
        auto& i = *static_cast<inside*>(user);
        sluice_progress p = SLUICE_PROGRESS_INIT;
        i.query = sluice_query(i.pipe, v->request, &p);
        i.cancel = sluice_cancel(i.pipe, v->request);
        return 0.0;
    };
    sluice_pipeline_options o = r.options();
    o.custom_policy = &policy;
    REQUIRE(r.open(o) == SLUICE_OK);
    in.pipe = r.pipe;
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
    const auto events = r.run_and_poll();
    REQUIRE(events.size() == 1);
    CHECK(events[0].kind == SLUICE_EVENT_CANCELLED);
    CHECK(in.query == SLUICE_OK);
    CHECK(in.cancel == SLUICE_OK);
}

TEST_CASE("many threads call while two close") {
    for (int round = 0; round < 8; ++round) {
        capi_rig r;
        sluice_device* host = nullptr;
        REQUIRE(sluice_device_open_host(nullptr, &host) == SLUICE_OK);
        sluice_pipeline_options o = r.options();
        o.loop = nullptr;
        o.store = nullptr;
        o.device = host;
        REQUIRE(r.open(o) == SLUICE_OK);
        sluice_pipeline* const p = r.pipe;
        std::atomic<int> closed{0};
        std::atomic<bool> crossed{false};
        std::vector<std::thread> threads;
        for (int t = 0; t < 3; ++t) {
            threads.emplace_back([&, t] {
                for (std::uint64_t i = 0; i < 200; ++i) {
                    sluice_request_id id = 0;
                    const std::uint64_t key = i * 8 + static_cast<std::uint64_t>(t);
                    sluice_request q = SLUICE_REQUEST_INIT;
                    q.keys = &key;
                    q.key_size = 8;
                    q.n_keys = 1;
                    q.prompt_tokens = 20;
                    const sluice_status s = sluice_submit(p, &q, &id);
                    sluice_event events[4];
                    std::uint32_t n = 0;
                    sluice_poll(p, events, 4, &n);
                    sluice_release(p, id);
                    if (s == SLUICE_E_NOT_FOUND) {
                        crossed = true;
                        return;
                    }
                }
            });
        }
        for (int t = 0; t < 2; ++t) {
            threads.emplace_back([&] { closed += sluice_pipeline_close(p) == SLUICE_OK ? 1 : 0; });
        }
        for (std::thread& t : threads) {
            t.join();
        }
        CHECK(closed == 1);
        r.pipe = nullptr;
        CHECK(sluice_device_close(host) == SLUICE_OK);
    }
}

TEST_CASE("in a child after fork the parent's handles are unknown, and new ones work") {
    capi_rig r;
    REQUIRE(r.open() == SLUICE_OK);
    const pid_t child = ::fork();
    if (child == 0) {
        int bad = 0;
        for (const sluice_status s : call_all(r.pipe, 1)) {
            bad += s == SLUICE_E_NOT_FOUND ? 0 : 1;
        }
        bad += sluice_pipeline_close(r.pipe) == SLUICE_E_NOT_FOUND ? 0 : 1;
        bad += sluice_store_close(r.store) == SLUICE_E_NOT_FOUND ? 0 : 1;
        {
            capi_rig fresh;
            sluice_request_id id = 0;
            bad += fresh.open() == SLUICE_OK ? 0 : 1;
            bad += fresh.submit(1, 1, &id) == SLUICE_OK ? 0 : 1;
            bad += fresh.run_and_poll().size() == 1 ? 0 : 1;
        }
        ::_exit(bad);
    }
    REQUIRE(child > 0);
    int status = -1;
    REQUIRE(::waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK(WEXITSTATUS(status) == 0);
    sluice_request_id id = 0;
    CHECK(r.submit(1, 1, &id) == SLUICE_OK);  // the parent's go on
}

TEST_CASE("what is held is not closed, and a loop knows who is on it") {
    capi_rig r;
    REQUIRE(r.open() == SLUICE_OK);
    CHECK(sluice_loop_close(r.loop) == SLUICE_E_FAILED_PRECONDITION);
    CHECK(says("in use"));
    CHECK(sluice_device_close(r.device) == SLUICE_E_FAILED_PRECONDITION);
    CHECK(sluice_pipeline_close(r.pipe) == SLUICE_OK);
    r.pipe = nullptr;
    CHECK(sluice_loop_close(r.loop) == SLUICE_E_FAILED_PRECONDITION);
    CHECK(sluice_device_close(r.device) == SLUICE_OK);
    CHECK(sluice_store_close(r.store) == SLUICE_OK);
    CHECK(sluice_loop_close(r.loop) == SLUICE_OK);
    CHECK(sluice_loop_run(r.loop, nullptr) == SLUICE_E_NOT_FOUND);
    r.device = nullptr;
    r.store = nullptr;
    r.loop = nullptr;
}

}  // namespace
}  // namespace sluice
