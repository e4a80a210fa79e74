// SPDX-License-Identifier: Apache-2.0
// Users of the C API at their worst: clocks that leap, callbacks that call back or return nonsense,
// sizes that nobody has, threads that end, forks. Never a crash, never a call that does not return.
#include <sluice/sluice.h>

#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support/capi_rig.hpp"

namespace sluice {
namespace {

using test::capi_rig;
using test::says;

/// A device that moves nothing, at once.
sluice_device_driver idle_device() {
    sluice_device_driver d = SLUICE_DEVICE_DRIVER_INIT;
    d.copy_in = d.copy_out = [](void*, const sluice_copy* copies, std::uint32_t n) {
        for (std::uint32_t i = 0; i < n; ++i) {
            sluice_complete(copies[i].op, SLUICE_OK);
        }
    };
    return d;
}

/// A store that has every block, and ends everything at once with a code.
sluice_store_driver full_store(const sluice_status* code) {
    sluice_store_driver d = SLUICE_STORE_DRIVER_INIT;
    d.user = const_cast<sluice_status*>(code);
    d.lookup = [](void*, const sluice_keys* keys) {
        std::memset(keys->present, 1, keys->n);
        sluice_complete(keys->op, SLUICE_OK);
    };
    d.get = [](void* user, const sluice_transfer* transfers, std::uint32_t n) {
        for (std::uint32_t i = 0; i < n; ++i) {
            sluice_complete(transfers[i].op, *static_cast<sluice_status*>(user));
        }
    };
    return d;
}

TEST_CASE("a clock that leaps costs no more than one that walks") {
    capi_rig r;
    r.fill(1, 2);
    sluice_policy policy = SLUICE_POLICY_INIT;
    policy.interval_ns = 1;
    policy.rank = [](void*, const sluice_request_view*, std::uint32_t, std::uint64_t) {
        return 0.0;
    };
    policy.next_change = [](void*, const sluice_request_view*, std::uint64_t now) {
        return now + 1;
    };
    sluice_pipeline_options o = r.options();
    o.custom_policy = &policy;
    o.flags = SLUICE_PIPELINE_ENGINE_OWNS_L1;  // it waits for pages, and is ranked meanwhile
    REQUIRE(r.open(o) == SLUICE_OK);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
    for (const std::uint64_t leap : {std::uint64_t{1}, std::uint64_t{3'600'000'000'000},
                                     std::uint64_t{1} << 62, UINT64_MAX - r.now_ns}) {
        r.now_ns += std::min(leap, UINT64_MAX - r.now_ns);
        CHECK(sluice_loop_run(r.loop, nullptr) == SLUICE_OK);
    }
    CHECK(sluice_pipeline_close(r.pipe) == SLUICE_OK);
    r.pipe = nullptr;
}

TEST_CASE("an interval that never comes is never") {
    capi_rig r;
    r.fill(1, 1);
    sluice_policy policy = SLUICE_POLICY_INIT;
    policy.interval_ns = UINT64_MAX;
    policy.rank = [](void*, const sluice_request_view*, std::uint32_t, std::uint64_t) {
        return std::numeric_limits<double>::quiet_NaN();
    };
    policy.next_change = [](void*, const sluice_request_view*, std::uint64_t) {
        return std::uint64_t{0};
    };
    sluice_pipeline_options o = r.options();
    o.custom_policy = &policy;
    o.flags = SLUICE_PIPELINE_ENGINE_OWNS_L1;
    REQUIRE(r.open(o) == SLUICE_OK);
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 1, &id) == SLUICE_OK);
    CHECK(r.run_and_poll().size() == 1);  // it wants its pages, and is live meanwhile
    const std::uint32_t pages[] = {0, 1};
    REQUIRE(sluice_bind(r.pipe, id, pages, 2) == SLUICE_OK);
    const auto events = r.run_and_poll();
    REQUIRE(events.size() == 1);
    CHECK(events[0].kind == SLUICE_EVENT_READY);
}

TEST_CASE("sizes that nobody has are refused") {
    capi_rig r;
    const sluice_device_driver driver = idle_device();
    sluice_device* idle = nullptr;
    REQUIRE(sluice_device_open(&driver, &idle) == SLUICE_OK);
    const auto code = [&](sluice_device* device, std::uint64_t l2_bytes) {
        sluice_pipeline_options o = r.options();
        o.device = device;
        o.l2_bytes = l2_bytes;
        sluice_pipeline* p = nullptr;
        const sluice_status s = sluice_pipeline_open(&o, &p);
        CHECK(p == nullptr);
        return s;
    };
    for (sluice_device* const device : {r.device, idle}) {
        CHECK(code(device, UINT64_MAX) == SLUICE_E_INVALID_ARGUMENT);
        CHECK(says("l2_bytes"));
    }
    r.region.bytes = r.region.stride = std::uint64_t{1} << 40;
    r.region.base = 0;
    r.region.slots = 1;
    for (const std::uint64_t bytes : {std::uint64_t{1} << 60, UINT64_MAX}) {
        CHECK(code(idle, bytes) == SLUICE_E_RESOURCE_EXHAUSTED);
        CHECK(says("memory"));
    }
    r.region.bytes = r.region.stride = UINT64_MAX;
    CHECK(code(idle, UINT64_MAX) == SLUICE_E_INVALID_ARGUMENT);
    r.region.bytes = r.region.stride = 1;
    for (const std::uint32_t slots : {1U << 31, UINT32_MAX}) {
        r.region.slots = slots;
        CHECK(code(idle, 65536) == SLUICE_E_INVALID_ARGUMENT);
        CHECK(says("slots"));
    }
    CHECK(sluice_device_close(idle) == SLUICE_OK);
}

TEST_CASE("a struct whose size cuts a member in two is refused") {
    capi_rig r;
    sluice_pipeline_options o = r.options();
    o.struct_size = offsetof(sluice_pipeline_options, policy) + 4;  // half a pointer
    CHECK(sluice_pipeline_open(&o, &r.pipe) == SLUICE_E_INVALID_ARGUMENT);
    CHECK(says("struct_size"));
}

TEST_CASE("results are zero if there are none, also for handles that name nothing") {
    capi_rig r;
    sluice_progress progress = SLUICE_PROGRESS_INIT;
    progress.hit_blocks = 7;
    CHECK(sluice_query(nullptr, 1, &progress) == SLUICE_E_NOT_FOUND);
    CHECK(progress.hit_blocks == 0);
    CHECK(progress.struct_size == sizeof progress);
    sluice_stats stats = SLUICE_STATS_INIT;
    stats.submitted = 7;
    CHECK(sluice_pipeline_stats(nullptr, &stats) == SLUICE_E_NOT_FOUND);
    CHECK(stats.submitted == 0);
    sluice_batch batch = SLUICE_BATCH_INIT;
    std::uint64_t ticket = 7;
    CHECK(sluice_store_submit(nullptr, &batch, &ticket) == SLUICE_E_NOT_FOUND);
    CHECK(ticket == 0);
    std::uint32_t n = 7;
    CHECK(sluice_store_poll(nullptr, nullptr, 0, &n) == SLUICE_E_NOT_FOUND);
    CHECK(n == 0);
}

TEST_CASE("what is on another loop than the pipeline's would never end, so it is refused") {
    capi_rig r;
    capi_rig other;
    const auto refused = [&](auto change) {
        sluice_pipeline_options o = r.options();
        change(o);
        sluice_pipeline* p = nullptr;
        return sluice_pipeline_open(&o, &p) == SLUICE_E_INVALID_ARGUMENT && says("loop");
    };
    CHECK(refused([&](auto& o) { o.loop = other.loop; }));
    CHECK(refused([&](auto& o) { o.loop = nullptr; }));
    CHECK(refused([&](auto& o) { o.store = other.store; }));
    CHECK(refused([&](auto& o) { o.device = other.device; }));
    CHECK(r.open() == SLUICE_OK);
}

TEST_CASE("more users than an object can have are told so") {
    sluice_loop* loop = nullptr;
    REQUIRE(sluice_loop_create(nullptr, &loop) == SLUICE_OK);
    sluice_memory_store_options o = SLUICE_MEMORY_STORE_OPTIONS_INIT;
    o.loop = loop;
    o.capacity = 4096;
    std::vector<sluice_store*> stores;
    sluice_store* made = nullptr;
    sluice_status last = SLUICE_OK;
    while (stores.size() < 5000 && (last = sluice_store_open_memory(&o, &made)) == SLUICE_OK) {
        stores.push_back(made);
    }
    CHECK(last == SLUICE_E_RESOURCE_EXHAUSTED);
    CHECK(says("use the loop"));
    CHECK(stores.size() >= 1000);
    for (sluice_store* const s : stores) {
        CHECK(sluice_store_close(s) == SLUICE_OK);
    }
    CHECK(sluice_loop_close(loop) == SLUICE_OK);
}

TEST_CASE("a device that opens a pipeline on itself while it is shown a layout") {
    struct inside {
        capi_rig* rig = nullptr;
        sluice_device* device = nullptr;
        sluice_pipeline* nested = nullptr;
        sluice_status code = -99;
    } in;
    capi_rig r;
    in.rig = &r;
    sluice_device_driver d = idle_device();
    d.user = &in;
    d.register_layout = [](void* user, const sluice_group*, std::uint32_t) {
        auto& i = *static_cast<inside*>(user);
        if (i.code == -99) {
            i.code = SLUICE_OK;
            sluice_pipeline_options o = i.rig->options();
            o.device = i.device;
            i.code = sluice_pipeline_open(&o, &i.nested);
        }
        return SLUICE_OK;
    };
    REQUIRE(sluice_device_open(&d, &in.device) == SLUICE_OK);
    sluice_pipeline_options o = r.options();
    o.device = in.device;
    REQUIRE(r.open(o) == SLUICE_OK);
    CHECK(in.code == SLUICE_OK);
    CHECK(sluice_pipeline_close(in.nested) == SLUICE_OK);
    CHECK(sluice_pipeline_close(r.pipe) == SLUICE_OK);
    r.pipe = nullptr;
    CHECK(sluice_device_close(in.device) == SLUICE_OK);
}

TEST_CASE("a store that uses itself while it is told of memory is refused") {
    struct inside {
        sluice_store* store = nullptr;
        std::array<std::byte, 64> memory{};
        sluice_status submitted = 0, registered = 0;
    } in;
    sluice_status code = SLUICE_OK;
    sluice_store_driver d = full_store(&code);
    d.user = &in;
    d.get = [](void*, const sluice_transfer* t, std::uint32_t n) {
        for (std::uint32_t i = 0; i < n; ++i) {
            sluice_complete(t[i].op, SLUICE_OK);
        }
    };
    d.register_memory = [](void* user, void*, std::uint64_t) {
        auto& i = *static_cast<inside*>(user);
        sluice_batch b = SLUICE_BATCH_INIT;
        b.kind = SLUICE_BATCH_GET;
        b.keys = "12345678";
        b.key_size = 8;
        b.n = 1;
        void* at = i.memory.data();
        const std::uint64_t size = i.memory.size();
        b.memory = &at;
        b.bytes = &size;
        std::uint64_t ticket = 0;
        i.submitted = sluice_store_submit(i.store, &b, &ticket);
        i.registered = sluice_store_register(i.store, at, size);
        return SLUICE_OK;
    };
    d.unregister_memory = [](void*, void*, std::uint64_t) {};
    REQUIRE(sluice_store_open(&d, &in.store) == SLUICE_OK);
    std::array<std::byte, 64> other{};
    CHECK(sluice_store_register(in.store, other.data(), other.size()) == SLUICE_OK);
    CHECK(in.submitted == SLUICE_E_FAILED_PRECONDITION);
    CHECK(in.registered == SLUICE_E_FAILED_PRECONDITION);
    CHECK(sluice_store_close(in.store) == SLUICE_OK);
}

/// Calls everything that callbacks may call, on whatever is there.
struct caller {
    std::atomic<sluice_pipeline*> at{nullptr};
    std::atomic<sluice_request_id> id{0};
    std::atomic<int> calls{0};
    std::atomic<int> closed{0};

    void call() {
        sluice_pipeline* const pipe = at;
        if (pipe == nullptr) {
            return;
        }
        ++calls;
        sluice_request_id now = id;
        sluice_event event{};
        sluice_progress progress = SLUICE_PROGRESS_INIT;
        sluice_report report = SLUICE_REPORT_INIT;
        sluice_stats stats = SLUICE_STATS_INIT;
        std::uint32_t n = 0;
        std::uint32_t page = 0;
        std::uint64_t needed = 0;
        sluice_request_id out = 0;
        sluice_request request = SLUICE_REQUEST_INIT;
        request.prompt_tokens = 1;
        sluice_submit(pipe, &request, &out);
        sluice_cancel(pipe, out);
        sluice_query(pipe, now, &progress);
        sluice_set_rank(pipe, now, 1);
        sluice_pages(pipe, now, &page, 1, &n);
        sluice_request_report(pipe, now, &report);
        sluice_pipeline_stats(pipe, &stats);
        sluice_metrics(pipe, nullptr, 0, &needed);
        sluice_sort(pipe, &now, 1);
        sluice_next_ready(pipe, &out);
        sluice_store_blocks(pipe, "12345678", 8, &page, 1, 0, &out);
        sluice_poll(pipe, &event, 0, &n);
        closed += sluice_pipeline_close(pipe) == SLUICE_OK ? 1 : 0;
    }
};

TEST_CASE("every callback may call what does not close") {
    for (const bool on_loop : {true, false}) {
        caller c;
        capi_rig r;
        sluice_store_driver sd = SLUICE_STORE_DRIVER_INIT;
        sd.user = &c;
        sd.lookup = [](void* user, const sluice_keys* keys) {
            static_cast<caller*>(user)->call();
            std::memset(keys->present, 1, keys->n);
            sluice_complete(keys->op, SLUICE_OK);
            sluice_complete(keys->op, SLUICE_E_DATA_LOSS);  // ended already
        };
        sd.get = [](void* user, const sluice_transfer* t, std::uint32_t n) {
            static_cast<caller*>(user)->call();
            for (std::uint32_t i = 0; i < n; ++i) {
                sluice_complete(t[i].op, SLUICE_OK);
            }
            static_cast<caller*>(user)->call();
        };
        sluice_device_driver dd = idle_device();
        dd.user = &c;
        dd.copy_in = [](void* user, const sluice_copy* copies, std::uint32_t n) {
            static_cast<caller*>(user)->call();
            for (std::uint32_t i = 0; i < n; ++i) {
                sluice_complete(copies[i].op, SLUICE_OK);
            }
        };
        sluice_policy policy = SLUICE_POLICY_INIT;
        policy.user = &c;
        policy.rank = [](void* user, const sluice_request_view*, std::uint32_t, std::uint64_t) {
            static_cast<caller*>(user)->call();
            return 0.0;
        };
        policy.done = [](void* user, const sluice_request_view*, std::uint64_t) {
            static_cast<caller*>(user)->calls += 1;
        };
        sluice_cost_model cost = SLUICE_COST_MODEL_INIT;
        cost.user = &c;
        cost.predict = [](void* user, std::uint32_t, const sluice_demand*) {
            static_cast<caller*>(user)->call();
            return -std::numeric_limits<double>::infinity();
        };
        sluice_store* store = nullptr;
        sluice_device* device = nullptr;
        REQUIRE(sluice_store_open(&sd, &store) == SLUICE_OK);
        REQUIRE(sluice_device_open(&dd, &device) == SLUICE_OK);
        sluice_pipeline_options o = r.options();
        o.store = store;
        o.device = device;
        o.loop = on_loop ? r.loop : nullptr;
        o.custom_policy = &policy;
        o.custom_cost = &cost;
        o.max_requests = 64;
        REQUIRE(r.open(o) == SLUICE_OK);
        c.at = r.pipe;
        sluice_request_id id = 0;
        REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
        c.id = id;
        for (bool over = false; !over;) {
            if (on_loop) {
                REQUIRE(sluice_loop_run(r.loop, nullptr) == SLUICE_OK);
            }
            for (const sluice_event& e : r.poll()) {
                over |= e.request == id && e.kind == SLUICE_EVENT_READY;
            }
        }
        c.at = nullptr;
        CHECK(c.calls > 4);
        CHECK(sluice_pipeline_close(r.pipe) == SLUICE_OK);
        r.pipe = nullptr;
        CHECK(c.closed == 0);
        CHECK(sluice_store_close(store) == SLUICE_OK);
        CHECK(sluice_device_close(device) == SLUICE_OK);
    }
}

TEST_CASE("a thread that ends may still call") {
    capi_rig r;
    sluice_status code = SLUICE_E_DATA_LOSS;
    const sluice_store_driver driver = full_store(&code);
    sluice_store* store = nullptr;
    REQUIRE(sluice_store_open(&driver, &store) == SLUICE_OK);
    sluice_pipeline_options o = r.options();
    o.store = store;
    o.flags = SLUICE_PIPELINE_FAIL_ON_LOSS;
    REQUIRE(r.open(o) == SLUICE_OK);
    static sluice_event event;
    static sluice_status submitted;
    static std::string text;
    event = {};
    std::thread([&r] {
        struct last_words {
            ~last_words() {  // after the library's own are gone
                sluice_request_id id = 0;
                submitted = rig->submit(1, 3, &id);
                std::uint32_t n = 0;
                sluice_poll(rig->pipe, &event, 1, &n);
                text = event.text == nullptr ? "" : event.text;
            }
            capi_rig* rig;
        };
        thread_local last_words words{&r};
        words.rig = &r;
        sluice_request_id id = 0;
        r.submit(1, 2, &id);  // makes the library's
        std::uint32_t n = 0;
        sluice_event none{};
        sluice_poll(r.pipe, &none, 1, &n);
        r.run();
    }).join();
    CHECK(submitted == SLUICE_OK);
    CHECK(event.kind == SLUICE_EVENT_FAILED);
    CHECK(event.status != SLUICE_OK);
    CHECK(!text.empty());
    CHECK(sluice_pipeline_close(r.pipe) == SLUICE_OK);
    r.pipe = nullptr;
    CHECK(sluice_store_close(store) == SLUICE_OK);
}

TEST_CASE("more bytes than fit 64 bits in billionths are counted") {
    capi_rig r;
    constexpr std::uint64_t block = std::uint64_t{1} << 30;
    sluice_status code = SLUICE_OK;
    const sluice_store_driver sd = full_store(&code);
    const sluice_device_driver dd = idle_device();
    sluice_store* store = nullptr;
    sluice_device* device = nullptr;
    REQUIRE(sluice_store_open(&sd, &store) == SLUICE_OK);
    REQUIRE(sluice_device_open(&dd, &device) == SLUICE_OK);
    r.region = {std::uint64_t{1} << 40, block, block, 64, -1};  // memory that nobody touches
    sluice_pipeline_options o = r.options();
    o.store = store;
    o.device = device;
    o.l2_bytes = block;
    REQUIRE(r.open(o) == SLUICE_OK);
    for (std::uint64_t key = 1; key <= 40; ++key) {
        sluice_request_id id = 0;
        REQUIRE(r.submit(key, 1, &id, [](sluice_request& q) {
            q.flags = SLUICE_REQUEST_NO_WRITE_BACK;
        }) == SLUICE_OK);
        const auto events = r.run_and_poll();
        REQUIRE(events.size() == 1);
        CHECK(events[0].blocks == 1);
        REQUIRE(sluice_compute_done(r.pipe, id, 0) == SLUICE_OK);
        REQUIRE(sluice_release(r.pipe, id) == SLUICE_OK);
        r.run();
    }
    std::vector<char> text(65536);
    std::uint64_t needed = 0;
    REQUIRE(sluice_metrics(r.pipe, text.data(), text.size(), &needed) == SLUICE_OK);
    CHECK(std::string(text.data()).find("sluice_stage_bytes_total{stage=\"fetch\"} 42949672960") !=
          std::string::npos);
    CHECK(sluice_pipeline_close(r.pipe) == SLUICE_OK);
    r.pipe = nullptr;
    CHECK(sluice_store_close(store) == SLUICE_OK);
    CHECK(sluice_device_close(device) == SLUICE_OK);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLUICE_TEST_NO_THREADED_FORK  // their allocators do not survive it
#endif
#endif

#ifndef SLUICE_TEST_NO_THREADED_FORK
TEST_CASE("a fork in the middle of another thread's calls leaves a child that works") {
    capi_rig r;
    REQUIRE(r.open() == SLUICE_OK);
    std::atomic<bool> stop{false};
    std::thread busy([&] {
        while (!stop) {
            sluice_pipeline_options o = r.options();
            o.policy = "aging:after=30(no_such)";
            sluice_pipeline* p = nullptr;
            sluice_pipeline_open(&o, &p);
            sluice_complete(1, SLUICE_OK);
            sluice_loop* loop = nullptr;
            sluice_loop_create(nullptr, &loop);
            sluice_loop_close(loop);
        }
    });
    for (int i = 0; i < 50; ++i) {
        const pid_t child = ::fork();
        if (child == 0) {
            ::alarm(60);  // a lock that stays would keep it for ever
            capi_rig fresh;
            sluice_request_id id = 0;
            const bool good = fresh.open() == SLUICE_OK && fresh.submit(1, 1, &id) == SLUICE_OK &&
                              fresh.run_and_poll().size() == 1 &&
                              sluice_pipeline_close(r.pipe) == SLUICE_E_NOT_FOUND;
            ::_exit(good ? 0 : 1);
        }
        REQUIRE(child > 0);
        int status = -1;
        REQUIRE(::waitpid(child, &status, 0) == child);
        CHECK(WIFEXITED(status));
        CHECK(WEXITSTATUS(status) == 0);
    }
    stop = true;
    busy.join();
}
#endif

}  // namespace
}  // namespace sluice
