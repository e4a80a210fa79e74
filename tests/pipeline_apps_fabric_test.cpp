// SPDX-License-Identifier: Apache-2.0
// Applications on real threads and over the fabric: engine threads run them, a memory node has
// their blocks, and every outcome must be right.
#include <sluice/pipeline.hpp>

#include <poll.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/demand/app_tracker.hpp>
#include <sluice/device/host_device.hpp>
#include <sluice/sched/policy_registry.hpp>
#include <sluice/stage/compute_thread.hpp>

#include "support/fabric_rig.hpp"

namespace sluice {
namespace {

using test::block_of;
using test::test_client;
using test::test_node;

constexpr std::uint64_t block_bytes = 4096;
constexpr std::uint32_t slots = 64;
constexpr std::uint32_t prefix = 6;  // blocks of each class's template
constexpr std::uint32_t block_tokens = 16;

/// What a request says of itself to the computation: the number of its first block.
void* user_of(std::uint64_t first) {
    return reinterpret_cast<void*>(static_cast<std::uintptr_t>(first));
}

/// A pipeline whose blocks are at a memory node, with threads of its own.
struct stand {
    explicit stand(const char* policy)
        : kv(slots * block_bytes), model([this](const compute_job& job) { return look(job); }) {
        {
            test_client client(test_client::of({&node}));
            for (std::uint64_t id = 1; id <= 8 * prefix; ++id) {
                REQUIRE(client.put(id, block_of(id, block_bytes)) == absl::StatusCode::kOk);
            }
        }
        group_layout group;
        group.regions.push_back(
            {reinterpret_cast<std::uintptr_t>(kv.data()), block_bytes, block_bytes, slots, -1});
        l1 = std::make_unique<layout>(*layout::create({group}));
        gpu = *host_device::create();
        l3 = *fabric_store::create(test_client::of({&node}));
        pipeline_options o;
        o.l1 = l1.get();
        o.block_tokens = block_tokens;
        o.device = gpu.get();
        o.store = l3.get();
        o.compute = &model;
        o.l2_bytes = 32 * block_bytes;
        o.policy = *make_policy(policy);
        o.applications = &tracker;
        pipe = *pipeline::create(std::move(o));
        poller = std::jthread([this](const std::stop_token& stop) { poll(stop); });
    }
    ~stand() {
        poller = {};  // it uses the pipeline
        pipe.reset();
    }

    // The loaded pages hold what they should.
    absl::Status look(const compute_job& job) {
        const auto first = static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(job.user));
        for (std::uint32_t i = 0; i < job.loaded_blocks; ++i) {
            const std::byte* const at = kv.data() + job.pages[i] * block_bytes;
            const std::vector<std::byte> right = block_of(first + i, block_bytes);
            wrong += std::equal(right.begin(), right.end(), at) ? 0 : 1;
        }
        return absl::OkStatus();
    }

    void poll(const std::stop_token& stop) {
        pollfd readable{pipe->event_fd(), POLLIN, 0};
        request_event batch[16];
        while (!stop.stop_requested()) {
            ::poll(&readable, 1, 10);
            const std::size_t n = pipe->poll_events(batch);
            for (std::size_t i = 0; i < n; ++i) {
                if (!is_outcome(batch[i].kind)) {
                    continue;
                }
                if (batch[i].kind == event_kind::computed) {
                    wrong += pipe->release(batch[i].request).ok() ? 0 : 1;
                }
                const std::scoped_lock lock(mutex);
                outcomes[batch[i].request] = batch[i].kind;
                changed.notify_all();
            }
        }
    }
    event_kind wait(request_handle h) {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return outcomes.contains(h); });
        return outcomes[h];
    }

    request_handle submit(app_handle app, std::uint64_t first, bool prewarm) {
        std::vector<block_key> keys;
        for (std::uint64_t id = first; id < first + prefix; ++id) {
            keys.push_back(block_key::from_u64(id));
        }
        request_spec spec;
        spec.keys = keys;
        spec.prompt_tokens = prefix * block_tokens + 5;
        spec.application = app;
        spec.prewarm = prewarm;
        spec.write_back = false;
        spec.user = user_of(first);
        return *pipe->submit(spec);
    }

    // One application: two units of calls side by side, a tool between them.
    void run_one(unsigned seed) {
        std::mt19937 dice(seed);
        const std::uint64_t kind = dice() % 4;
        const std::string name = "class" + std::to_string(kind);
        demand::app_spec spec;
        spec.application = name;
        const app_handle app = *tracker.begin(spec);
        for (std::uint64_t unit = 0; unit < 2; ++unit) {
            const std::uint64_t first = 1 + (2 * kind + unit) * prefix;
            const std::uint32_t calls = 1 + dice() % 3;
            demand::unit_begin begin;
            begin.unit = unit == 0 ? "plan" : "answer";
            begin.calls = calls;
            begin.prompt_tokens = calls * 100;
            wrong += tracker.begin_unit(app, begin).ok() ? 0 : 1;
            std::vector<request_handle> all;
            for (std::uint32_t c = 0; c < calls; ++c) {
                all.push_back(submit(app, first, false));
            }
            request_handle near;
            if (unit == 0) {
                near = submit(app, first + prefix, true);  // what the next unit begins with
            }
            for (std::uint32_t c = 0; c < calls; ++c) {
                wrong += wait(all[c]) == event_kind::computed ? 0 : 1;
                demand::unit_progress so_far;
                so_far.prompt_tokens = (c + 1) * 100;
                so_far.completion_tokens = c * 10;
                wrong += tracker.progress(app, so_far).ok() ? 0 : 1;
            }
            demand::unit_end end;
            end.completion_tokens = calls * (kind + 1) * 10;
            wrong += tracker.end_unit(app, end).ok() ? 0 : 1;
            if (unit == 0) {
                wrong += wait(near) == event_kind::ready ? 0 : 1;
                begin = {};
                begin.unit = "tool";
                begin.backend = "docker";
                wrong += tracker.begin_unit(app, begin).ok() ? 0 : 1;
                wrong += tracker.rank(app).ok() ? 0 : 1;
                end = {};
                end.seconds = 0.5;
                wrong += tracker.end_unit(app, end).ok() ? 0 : 1;
            }
        }
        wrong += tracker.end(app).ok() ? 0 : 1;
    }

    test_node node;
    std::vector<std::byte> kv;
    std::unique_ptr<layout> l1;
    std::unique_ptr<host_device> gpu;
    std::unique_ptr<fabric_store> l3;
    std::atomic<int> wrong{0};
    compute_thread model;
    demand::app_tracker tracker;
    std::unique_ptr<pipeline> pipe;
    std::mutex mutex;
    std::condition_variable changed;
    std::map<request_handle, event_kind, decltype([](request_handle a, request_handle b) {
                 return a.epoch != b.epoch ? a.epoch < b.epoch : a.index < b.index;
             })>
        outcomes;
    std::jthread poller;
};

TEST_CASE("applications over the fabric: every outcome and every count is right") {
    for (const char* policy : {"gittins", "app_lstf", "vtc"}) {
        INFO(policy);
        stand s(policy);
        constexpr unsigned threads = 4;
        constexpr unsigned each = 20;
        {
            std::vector<std::jthread> engines;
            for (unsigned t = 0; t < threads; ++t) {
                engines.emplace_back([&s, t] {
                    for (unsigned i = 0; i < each; ++i) {
                        s.run_one(t * 1000 + i);
                    }
                });
            }
        }
        CHECK(s.wrong == 0);
        const demand::app_tracker_stats a = s.tracker.stats();
        CHECK(a.begun == threads * each);
        CHECK(a.ended == threads * each);
        CHECK(a.live == 0);
        CHECK(a.refused_order + a.refused_value + a.refused_unknown + a.refused_full == 0);
        const pipeline_stats p = s.pipe->stats();
        CHECK(p.prewarm_requests == threads * each);
        CHECK(p.policy_faults == 0);
    }
}

}  // namespace
}  // namespace sluice
