// SPDX-License-Identifier: Apache-2.0
// The pipeline on threads of its own, with several engine threads: what ThreadSanitizer looks at.
#include <sluice/pipeline.hpp>

#include <poll.h>

#include <atomic>
#include <chrono>
#include <latch>
#include <map>
#include <memory>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/device/host_device.hpp>
#include <sluice/sched/policy_registry.hpp>
#include <sluice/stage/await_operation.hpp>
#include <sluice/stage/compute_thread.hpp>
#include <sluice/store/memory_store.hpp>

namespace sluice {
namespace {

constexpr std::uint64_t block_bytes = 2048;
constexpr std::uint32_t slots = 48;

/// Everything on real threads.
struct engine {
    engine() : kv(slots * block_bytes), model([](const compute_job&) { return absl::OkStatus(); }) {
        group_layout group;
        const auto base = reinterpret_cast<std::uintptr_t>(kv.data());
        group.regions.push_back({base, block_bytes, block_bytes, slots, -1});
        l1 = std::make_unique<layout>(*layout::create({group}));
        l3 = *memory_store::create();
        gpu = *host_device::create();
        REQUIRE(loop.start().ok());
        for (std::uint64_t id = 0; id < 64; ++id) {
            REQUIRE(sync_wait(loop, put(id)).ok());
        }
    }

    task<absl::Status> put(std::uint64_t id) {
        std::vector<std::byte> bytes(block_bytes, static_cast<std::byte>(id));
        awaited<store_put> op;
        op.key = block_key::from_u64(id);
        op.from = bytes;
        const auto start = [this](store_put& p) {
            store_put* const ops[] = {&p};
            l3->put(ops);
        };
        absl::Status status = co_await op.run(loop, start);
        co_return status;
    }

    void open(l1_owner owner, bool library_computes,
              std::unique_ptr<policy> order = *make_policy("aging:after=1(srpt)")) {
        pipeline_options o;
        o.l1 = l1.get();
        o.device = gpu.get();
        o.store = l3.get();
        o.owner = owner;
        o.compute = library_computes ? &model : nullptr;
        o.l2_bytes = 16 * block_bytes;
        o.policy = std::move(order);
        pipe = *pipeline::create(std::move(o));
    }

    std::vector<std::byte> kv;
    thread_loop loop{"test"};
    std::unique_ptr<layout> l1;
    std::unique_ptr<memory_store> l3;
    std::unique_ptr<host_device> gpu;
    compute_thread model;
    std::unique_ptr<pipeline> pipe;
};

/// Submits from several threads, cancels some, and drives all to their outcome.
struct history {
    std::uint32_t outcomes = 0;
    std::uint32_t wrong = 0;
};

history drive(engine& e, std::uint32_t threads, std::uint32_t each) {
    std::atomic<std::uint32_t> submitted{0};
    std::atomic<std::uint32_t> submitting{threads};
    std::vector<std::jthread> engines;
    for (std::uint32_t t = 0; t < threads; ++t) {
        engines.emplace_back([&, t] {
            std::mt19937 dice(t + 1);
            for (std::uint32_t i = 0; i < each; ++i) {
                std::vector<block_key> keys;
                const std::uint64_t first = dice() % 60;
                for (std::uint64_t id = first; id < first + 1 + dice() % 6; ++id) {
                    keys.push_back(block_key::from_u64(id));
                }
                request_spec spec;
                spec.keys = keys;
                spec.prompt_tokens = keys.size() * 16 + 1 + dice() % 20;
                spec.load_timeout = dice() % 8 == 0 ? std::chrono::milliseconds(1) : duration{0};
                const auto h = e.pipe->submit(spec);
                if (h.ok()) {
                    submitted.fetch_add(1);
                    if (dice() % 4 == 0) {
                        (void)e.pipe->cancel(*h);
                    }
                    request_handle queue[] = {*h, *h};
                    e.pipe->sort_by_rank(queue);
                    (void)e.pipe->report(*h);
                    (void)e.pipe->pages(*h);
                }
            }
            submitting.fetch_sub(1);
        });
    }
    history out;
    std::map<std::uint32_t, std::uint32_t> seen;
    pollfd readable{e.pipe->event_fd(), POLLIN, 0};
    request_event batch[8];
    while (submitting.load() > 0 || out.outcomes < submitted.load()) {
        ::poll(&readable, 1, 10);
        const std::size_t n = e.pipe->poll_events(batch);
        for (std::size_t i = 0; i < n; ++i) {
            const request_event& event = batch[i];
            if (event.kind == event_kind::want_pages) {
                const slot_id pages[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
                for (std::size_t p = 1;
                     p < 16 && !e.pipe->bind(event.request, std::span(pages).first(p)).ok(); ++p) {
                }
            }
            if (is_outcome(event.kind)) {
                ++out.outcomes;
                if (event.kind == event_kind::ready || event.kind == event_kind::detached) {
                    out.wrong += e.pipe->compute_done(event.request, 1e-5).ok() ? 0 : 1;
                }
                if (event.kind != event_kind::cancelled && event.kind != event_kind::failed) {
                    out.wrong += e.pipe->release(event.request).ok() ? 0 : 1;
                }
            }
        }
        (void)e.pipe->stats();
        (void)e.pipe->next_ready();
    }
    return out;
}

TEST_CASE("pipeline on threads: library-owned L1, the library computes") {
    engine e;
    e.open(l1_owner::library, true);
    const history h = drive(e, 3, 100);
    CHECK(h.outcomes == 300);
    CHECK(h.wrong == 0);
    CHECK(!e.pipe->metrics_text().empty());
}

TEST_CASE("pipeline on threads: engine-owned L1, the engine computes") {
    engine e;
    e.open(l1_owner::engine, false);
    const history h = drive(e, 2, 100);
    CHECK(h.outcomes == 200);
    CHECK(h.wrong == 0);
}

/// Does not return before it may.
class stuck_policy final : public policy {
 public:
    std::latch entered{1};
    std::latch may_return{1};

 private:
    rank_value do_rank(const request_view&, stage_id, time_point) noexcept override {
        if (!std::exchange(was_here_, true)) {
            entered.count_down();
        }
        may_return.wait();
        return 0;
    }
    bool was_here_ = false;
};

TEST_CASE("pipeline on threads: a policy that does not return delays no bytes") {
    engine e;
    auto made = std::make_unique<stuck_policy>();
    stuck_policy& stuck = *made;
    e.open(l1_owner::library, false, std::move(made));
    const auto submit = [&](std::uint64_t first) {
        const block_key keys[] = {block_key::from_u64(first), block_key::from_u64(first + 1)};
        request_spec spec;
        spec.keys = keys;
        spec.prompt_tokens = 40;
        return e.pipe->submit(spec).value();
    };
    submit(0);
    stuck.entered.wait();
    // What is submitted from now on has no rank, and nobody who could give it one.
    for (std::uint64_t first = 2; first < 16; first += 2) {
        submit(first);
    }
    std::uint32_t ready = 0;
    std::uint32_t wrong = 0;
    request_event events[8];
    pollfd readable{e.pipe->event_fd(), POLLIN, 0};
    while (ready < 8) {
        ::poll(&readable, 1, -1);
        const std::size_t n = e.pipe->poll_events(events);
        for (const request_event& event : std::span(events).first(n)) {
            if (event.kind != event_kind::ready) {
                continue;
            }
            ++ready;
            wrong += event.blocks == 2 ? 0 : 1;
            const std::vector<slot_id> pages = e.pipe->pages(event.request).value();
            const std::byte first = e.kv[pages[0] * block_bytes];
            wrong +=
                e.kv[pages[1] * block_bytes] == std::byte(std::to_integer<int>(first) + 1) ? 0 : 1;
            wrong += e.pipe->compute_done(event.request).ok() ? 0 : 1;
            wrong += e.pipe->release(event.request).ok() ? 0 : 1;
        }
    }
    CHECK(wrong == 0);
    stuck.may_return.count_down();
}

// Its event may still be on its way.
TEST_CASE("pipeline on threads: what next_ready gives can be computed at once") {
    engine e;
    e.open(l1_owner::library, false);
    std::uint32_t wrong = 0;
    for (int round = 0; round < 2000; ++round) {
        request_spec spec;
        spec.prompt_tokens = 1;
        const auto submitted = e.pipe->submit(spec);
        REQUIRE(submitted.ok());
        request_handle h;
        while (h == request_handle{}) {
            h = e.pipe->next_ready();
        }
        const bool good =
            e.pipe->report(h).ok() && e.pipe->pages(h).ok() && e.pipe->compute_done(h).ok();
        wrong += good && h == *submitted ? 0 : 1;
        CHECK(e.pipe->release(h).ok());
        request_event events[8];
        e.pipe->poll_events(events);
    }
    CHECK(wrong == 0);
}

TEST_CASE("pipeline on threads: destroyed with everything under way") {
    engine e;
    REQUIRE(e.l3->set_link_rate(1e6).ok());
    for (int round = 0; round < 5; ++round) {
        e.open(l1_owner::library, true);
        std::vector<block_key> keys;
        for (std::uint64_t id = 0; id < 20; ++id) {
            keys.push_back(block_key::from_u64(id));
        }
        for (int i = 0; i < 20; ++i) {
            request_spec spec;
            spec.keys = std::span(keys).subspan(0, 1 + static_cast<std::size_t>(i) % 20);
            spec.prompt_tokens = spec.keys.size() * 16 + 1;
            REQUIRE(e.pipe->submit(spec).ok());
        }
        e.pipe.reset();
    }
}

}  // namespace
}  // namespace sluice
