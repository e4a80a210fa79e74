// SPDX-License-Identifier: Apache-2.0
#include "pipeline_bench.hpp"

#include <poll.h>
#include <sys/resource.h>
#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/coro/scope.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/task.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/device/host_device.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/stage/await_operation.hpp>
#include <sluice/stage/compute_thread.hpp>
#include <sluice/store/memory_store.hpp>

namespace sluice::bench {

namespace {

constexpr std::uint32_t layers = 4;
constexpr std::uint64_t piece = 16 * kib;
constexpr std::uint64_t block_bytes = 2 * layers * piece;  // 128 KiB
constexpr std::uint32_t request_blocks = 32;               // 4 MiB
constexpr std::uint32_t contexts = 24;                     // more than L2 and L1 keep
constexpr std::uint32_t slots = 8 * (request_blocks + 1);
constexpr std::uint32_t outstanding = 6;

/// Rates at which one stage is the slowest; 0: as fast as memory is.
struct rates {
    double fetch = 0;
    double copy = 0;
    duration compute{0};
};

double cpu_seconds() {
    rusage u{};
    ::getrusage(RUSAGE_SELF, &u);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
    };
    return seconds(u.ru_utime) + seconds(u.ru_stime);
}

double wall_seconds() {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

void wait_for(duration d) {
    // To an absolute instant, so that being late once does not add up over the jobs.
    timespec until{};
    ::clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += d.count();
    until.tv_sec += until.tv_nsec / 1'000'000'000;
    until.tv_nsec %= 1'000'000'000;
    ::clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, nullptr);
}

/// The seams and memory that the pipeline and the stages alone are measured on.
struct bench_rig {
    static absl::StatusOr<std::unique_ptr<bench_rig>> create(const rates& r) {
        auto rig = std::make_unique<bench_rig>();
        rig->kv.resize(std::size_t{slots} * block_bytes);
        group_layout group;
        for (std::uint32_t i = 0; i < 2 * layers; ++i) {
            group.regions.push_back({reinterpret_cast<std::uintptr_t>(rig->kv.data()) +
                                         std::uint64_t{i} * slots * piece,
                                     piece, piece, slots, static_cast<std::int32_t>(i / 2)});
        }
        auto l1 = layout::create({group});
        if (!l1.ok()) {
            return l1.status();
        }
        rig->l1.emplace(*std::move(l1));
        memory_store_options so;
        so.capacity = std::uint64_t{contexts} * request_blocks * block_bytes;
        auto store = memory_store::create(so);
        host_device_options device;
        device.rate = r.copy;
        auto gpu = host_device::create(device);
        if (!store.ok() || !gpu.ok()) {
            return store.ok() ? gpu.status() : store.status();
        }
        rig->store = *std::move(store);
        rig->gpu = *std::move(gpu);
        rig->model = std::make_unique<compute_thread>([d = r.compute](const compute_job&) {
            if (d > duration{0}) {
                wait_for(d);
            }
            return absl::OkStatus();
        });
        SLUICE_RETURN_IF_ERROR(rig->loop.start());
        SLUICE_RETURN_IF_ERROR(sync_wait(rig->loop, rig->fill()));
        SLUICE_RETURN_IF_ERROR(rig->store->set_link_rate(r.fetch));
        return rig;
    }

    static block_key key(std::uint64_t n) {
        return block_key::from_u64(n % (std::uint64_t{contexts} * request_blocks));
    }

    task<absl::Status> fill() {
        std::vector<std::byte> bytes(block_bytes);
        for (std::uint64_t n = 0; n < std::uint64_t{contexts} * request_blocks; ++n) {
            std::ranges::fill(bytes, static_cast<std::byte>(n));
            awaited<store_put> put;
            put.key = key(n);
            put.from = bytes;
            const auto start = [this](store_put& op) {
                store_put* const ops[] = {&op};
                store->put(ops);
            };
            absl::Status status = co_await put.run(loop, start);
            SLUICE_CO_RETURN_IF_ERROR(status);
        }
        co_return absl::OkStatus();
    }

    [[nodiscard]] std::span<std::byte> l2_slot(std::uint64_t n) const {
        return l2.subspan(n % (l2.size() / block_bytes) * block_bytes, block_bytes);
    }

    std::vector<std::byte> kv;
    std::span<std::byte> l2;  // for the stages alone
    std::optional<layout> l1;
    std::unique_ptr<memory_store> store;
    std::unique_ptr<host_device> gpu;
    std::unique_ptr<compute_thread> model;
    thread_loop loop{"bench"};
};

/// Keeps operations of one seam in flight for a while, and counts what has ended.
class saturator {
 public:
    explicit saturator(bench_rig& rig) : rig_(rig) {}

    /// Operations per second with `workers` in flight.
    template <class Op, class Prepare, class Start>
    double run(std::uint64_t workers, double seconds, Prepare prepare, Start start) {
        std::jthread clock([this, seconds] {
            const auto pause = [](double s) {
                std::this_thread::sleep_for(std::chrono::duration<double>(s));
            };
            pause(0.1);  // warm
            const std::uint64_t before = ended_.load();
            const double from = wall_seconds();
            pause(seconds);
            rate_ = static_cast<double>(ended_.load() - before) / (wall_seconds() - from);
            stop_.store(true);
        });
        sync_wait(rig_.loop, all_workers<Op>(workers, prepare, start));
        clock.join();
        return rate_;
    }

 private:
    template <class Op, class Prepare, class Start>
    task<void> all_workers(std::uint64_t workers, Prepare prepare, Start start) {
        scope running(rig_.loop);
        for (std::uint64_t i = 0; i < workers; ++i) {
            running.spawn(worker<Op>(prepare, start));
        }
        co_await running.join();
    }

    template <class Op, class Prepare, class Start>
    task<void> worker(Prepare prepare, Start start) {
        awaited<Op> op;
        while (!stop_.load()) {
            prepare(rig_, op, next_++);
            const auto begin = [this, start](Op& o) { start(rig_, o); };
            absl::Status status = co_await op.run(rig_.loop, begin);
            ended_.fetch_add(status.ok() ? 1 : 0);
        }
    }

    bench_rig& rig_;
    std::uint64_t next_ = 0;
    std::atomic<std::uint64_t> ended_{0};
    std::atomic<bool> stop_{false};
    double rate_ = 0;
};

/// Requests per second of one stage alone.
double stage_alone(bench_rig& rig, std::string_view stage, const pipeline_options& limits,
                   double seconds) {
    const auto window = [](const stage_limits& l) {
        return std::min<std::uint64_t>(l.operations,
                                       std::max<std::uint64_t>(1, l.bytes / block_bytes));
    };
    saturator s(rig);
    if (stage == "fetch") {
        return s.run<store_get>(
                   window(limits.fetch), seconds,
                   [](bench_rig& r, store_get& op, std::uint64_t n) {
                       op.key = bench_rig::key(n);
                       op.into = r.l2_slot(n);
                   },
                   [](bench_rig& r, store_get& op) {
                       store_get* const ops[] = {&op};
                       r.store->get(ops);
                   }) /
               request_blocks;
    }
    if (stage == "copy") {
        return s.run<device_copy>(
                   window(limits.copy), seconds,
                   [](bench_rig& r, device_copy& op, std::uint64_t n) {
                       op.host = r.l2_slot(n).data();
                       op.group = &r.l1->groups()[0];
                       op.slot = static_cast<slot_id>(n % slots);
                   },
                   [](bench_rig& r, device_copy& op) {
                       device_copy* const ops[] = {&op};
                       r.gpu->copy_in(ops);
                   }) /
               request_blocks;
    }
    return s.run<compute_job>(
        limits.concurrent_computes, seconds, [](bench_rig&, compute_job&, std::uint64_t) {},
        [](bench_rig& r, compute_job& op) { r.model->start(op); });
}

/// Requests per second, and cores used, of the whole pipeline.
absl::StatusOr<std::pair<double, double>> whole_pipeline(pipeline_options o, double seconds) {
    auto made = pipeline::create(std::move(o));
    if (!made.ok()) {
        return made.status();
    }
    pipeline& p = **made;
    std::uint64_t context = 0;
    const auto submit = [&]() -> absl::Status {
        block_key keys[request_blocks];
        for (std::uint64_t i = 0; i < request_blocks; ++i) {
            keys[i] = bench_rig::key(context * request_blocks + i);
        }
        ++context;
        request_spec spec;
        spec.keys = keys;
        spec.prompt_tokens = request_blocks * 16 + 16;
        spec.write_back = false;
        return p.submit(spec).status();
    };
    for (std::uint32_t i = 0; i < outstanding; ++i) {
        SLUICE_RETURN_IF_ERROR(submit());
    }
    const double warm_until = wall_seconds() + 0.3;
    double from = 0;
    double cpu = 0;
    std::uint64_t ended = 0;
    request_event batch[32];
    pollfd readable{p.event_fd(), POLLIN, 0};
    for (double now = wall_seconds(); from == 0 || now < from + seconds; now = wall_seconds()) {
        if (from == 0 && now >= warm_until) {
            from = now;
            cpu = cpu_seconds();
            ended = 0;
        }
        ::poll(&readable, 1, 1000);
        const std::size_t n = p.poll_events(batch);
        for (std::size_t i = 0; i < n; ++i) {
            if (batch[i].kind == event_kind::computed) {
                if (batch[i].blocks != request_blocks) {
                    return absl::InternalError("a request did not load all of its blocks");
                }
                ++ended;
                SLUICE_RETURN_IF_ERROR(p.release(batch[i].request));
                SLUICE_RETURN_IF_ERROR(submit());
            }
        }
    }
    const double elapsed = wall_seconds() - from;
    return std::pair{static_cast<double>(ended) / elapsed, (cpu_seconds() - cpu) / elapsed};
}

template <class T>
double median(std::vector<T> v) {
    std::ranges::sort(v);
    return v[v.size() / 2];
}

absl::StatusOr<pipeline_bench_case> run_case(std::string slowest, const rates& r,
                                             const pipeline_bench_options& options) {
    pipeline_bench_case out;
    out.slowest = std::move(slowest);
    std::vector<double> alone;
    std::vector<double> whole;
    std::vector<double> share;
    for (std::uint32_t i = 0; i < std::max(1U, options.repeats); ++i) {
        auto rig = bench_rig::create(r);
        if (!rig.ok()) {
            return rig.status();
        }
        pipeline_options o;
        o.l1 = &*(*rig)->l1;
        o.device = (*rig)->gpu.get();
        o.store = (*rig)->store.get();
        o.compute = (*rig)->model.get();
        o.l2_bytes = 128 * block_bytes;
        SLUICE_RETURN_IF_ERROR((*rig)->gpu->register_layout(*(*rig)->l1));
        auto l2 = (*rig)->gpu->allocate_pinned(o.l2_bytes);
        if (!l2.ok()) {
            return l2.status();
        }
        (*rig)->l2 = *l2;
        alone.push_back(stage_alone(**rig, out.slowest, o, options.seconds));
        (*rig)->gpu->free_pinned(*l2);
        auto measured = whole_pipeline(std::move(o), options.seconds);
        if (!measured.ok()) {
            return measured.status();
        }
        whole.push_back(measured->first);
        share.push_back(whole.back() / alone.back());
        out.cpu_cores = std::max(out.cpu_cores, measured->second);
    }
    out.alone_per_s = median(alone);
    out.pipeline_per_s = median(whole);
    out.busy = median(share);
    return out;
}

}  // namespace

absl::StatusOr<pipeline_bench_result> run_pipeline_bench(const pipeline_bench_options& options) {
    constexpr double mb = 1e6;
    const std::pair<const char*, rates> cases[] = {
        {"fetch", {400 * mb, 0, duration{0}}},
        {"copy", {0, 600 * mb, duration{0}}},
        {"compute", {800 * mb, 0, std::chrono::milliseconds(12)}},
    };
    pipeline_bench_result out;
    out.bottleneck_busy = 1e9;
    for (const auto& [name, r] : cases) {
        auto c = run_case(name, r, options);
        if (!c.ok()) {
            return annotate(c.status(), name);
        }
        out.bottleneck_busy = std::min(out.bottleneck_busy, c->busy);
        out.cpu_cores = std::max(out.cpu_cores, c->cpu_cores);
        out.facts.push_back(
            {fmt::format("{} slowest", name),
             fmt::format("{:.1f} requests/s of {:.1f} alone: {:.1f} %, {:.2f} cores",
                         c->pipeline_per_s, c->alone_per_s, c->busy * 100, c->cpu_cores)});
        out.cases.push_back(*std::move(c));
    }
    out.facts.push_back({"request", fmt::format("{} blocks of {} KiB in {} pieces", request_blocks,
                                                block_bytes / kib, 2 * layers)});
    out.facts.push_back({"requests outstanding", fmt::format("{}", outstanding)});
    return out;
}

}  // namespace sluice::bench
