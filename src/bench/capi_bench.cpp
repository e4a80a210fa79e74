// SPDX-License-Identifier: Apache-2.0
#include "capi_bench.hpp"

#include <poll.h>

#include <algorithm>
#include <chrono>
#include <thread>
#include <utility>

#include <sluice/base/status.hpp>

#include "allocation_count.hpp"
#include "capi_engines.hpp"
#include "quantile.hpp"

namespace sluice::bench {

namespace {

double now_ns() {
    return std::chrono::duration<double, std::nano>(
               std::chrono::steady_clock::now().time_since_epoch())
        .count();
}

absl::Status not_ready(const char* what) {
    return absl::InternalError(std::string("bench capi: ") + what);
}

/// Waits until the pipeline has done with what was released.
template <class Engine>
void settle(Engine& e, bool threads) {
    while (e.live() > 0) {
        if (threads) {
            std::this_thread::yield();
        } else {
            e.run();
        }
    }
}

/// One request, from its submission to its release. \param ns  what it took to be ready
template <class Engine>
absl::Status serve_one(Engine& e, const engine_setup& setup, std::uint32_t blocks, double& ns) {
    typename Engine::id id{};
    pollfd readable{e.event_fd(), POLLIN, 0};
    const double from = now_ns();
    SLUICE_RETURN_IF_ERROR(e.submit(id));
    for (bool ready = false; !ready;) {
        if (!setup.threads) {
            e.run();
        } else if (::poll(&readable, 1, 10'000) == 0) {
            return not_ready("no event within 10 s");
        }
        const std::size_t n = e.poll();
        for (std::size_t i = 0; i < n; ++i) {
            if (e.is_ready(i)) {
                ready = true;
                if (e.blocks(i) != blocks) {
                    return not_ready("the block was not where it should be");
                }
            }
        }
        if (!ready && !setup.threads && n == 0) {
            return not_ready("the loop came to rest before the request was ready");
        }
    }
    ns = now_ns() - from;
    SLUICE_RETURN_IF_ERROR(e.compute_done(id));
    SLUICE_RETURN_IF_ERROR(e.release(id));
    settle(e, setup.threads);
    return absl::OkStatus();
}

/// An engine that has the block in L1.
template <class Engine>
absl::StatusOr<std::unique_ptr<Engine>> open_warm(const engine_setup& setup) {
    auto e = Engine::open(setup);
    SLUICE_RETURN_IF_ERROR(e.status());
    double ns = 0;
    if (!setup.engine_l1) {  // the first one computes it, and L1 keeps it
        SLUICE_RETURN_IF_ERROR(serve_one(**e, setup, 0, ns));
    }
    for (int i = 0; i < 100; ++i) {
        SLUICE_RETURN_IF_ERROR(serve_one(**e, setup, 1, ns));
    }
    return e;
}

/// Allocations per request.
template <class Engine>
absl::StatusOr<double> count_allocations(Engine& e, const engine_setup& setup) {
    constexpr int requests = 200;
    const allocation_count count;
    for (int i = 0; i < requests; ++i) {
        double ns = 0;
        SLUICE_RETURN_IF_ERROR(serve_one(e, setup, 1, ns));
    }
    return static_cast<double>(count.value()) / requests;
}

void quartiles(std::vector<double>& values, double& p25, double& p50, double& p75) {
    p25 = quantile(values, 0.25);
    p50 = quantile(values, 0.5);
    p75 = quantile(values, 0.75);
}

absl::Status run_case(const char* name, const engine_setup& setup,
                      const capi_bench_options& options, capi_bench_result& out) {
    auto cpp = open_warm<cpp_engine>(setup);
    SLUICE_RETURN_IF_ERROR(cpp.status());
    auto c = open_warm<c_engine>(setup);
    SLUICE_RETURN_IF_ERROR(c.status());
    const std::uint64_t moved = (*cpp)->moved_bytes() + (*c)->moved_bytes();
    std::vector<double> cpp_ns(options.requests);
    std::vector<double> c_ns(options.requests);
    std::vector<double> difference;
    for (std::uint64_t i = 0; i < options.requests; ++i) {
        for (const bool first : {true, false}) {
            if (first == (i % 2 == 0)) {
                SLUICE_RETURN_IF_ERROR(serve_one(**cpp, setup, 1, cpp_ns[i]));
            } else {
                SLUICE_RETURN_IF_ERROR(serve_one(**c, setup, 1, c_ns[i]));
            }
        }
        difference.push_back(c_ns[i] - cpp_ns[i]);
    }
    if ((*cpp)->moved_bytes() + (*c)->moved_bytes() != moved) {
        return not_ready("bytes were moved");
    }
    const auto cpp_allocations = count_allocations(**cpp, setup);
    SLUICE_RETURN_IF_ERROR(cpp_allocations.status());
    const auto c_allocations = count_allocations(**c, setup);
    SLUICE_RETURN_IF_ERROR(c_allocations.status());

    capi_bench_row row{name, "c++", 0, 0, 0, *cpp_allocations};
    quartiles(cpp_ns, row.p25_ns, row.p50_ns, row.p75_ns);
    out.rows.push_back(row);
    row = {name, "c", 0, 0, 0, *c_allocations};
    quartiles(c_ns, row.p25_ns, row.p50_ns, row.p75_ns);
    out.rows.push_back(row);
    capi_bench_overhead over{name, 0, 0, 0};
    quartiles(difference, over.p25_ns, over.p50_ns, over.p75_ns);
    out.overheads.push_back(over);
    return absl::OkStatus();
}

// ---- single calls

constexpr std::size_t batch = engine_events;
constexpr const char* call_names[] = {"submit",     "query",        "next_ready", "poll_empty",
                                      "poll_event", "compute_done", "release"};
constexpr std::size_t call_count = std::size(call_names);

/// Samples of each call, ns.
using samples = std::array<std::vector<double>, call_count>;

/// Makes each call `batch` times back to back, on a loop, on requests that are alike.
template <class Engine>
absl::Status call_all(Engine& e, samples& out) {
    std::array<typename Engine::id, batch> ids{};
    absl::Status status;
    std::size_t call = 0;
    const auto timed = [&](auto body) {
        const double from = now_ns();
        for (std::size_t i = 0; i < batch; ++i) {
            status.Update(body(i));
        }
        out[call++].push_back((now_ns() - from) / batch);
    };
    timed([&](std::size_t i) { return e.submit(ids[i]); });
    timed([&](std::size_t i) { return e.query(ids[i]); });
    timed([&](std::size_t) { return e.next_ready(); });
    timed([&](std::size_t) { return e.poll() == 0 ? absl::OkStatus() : not_ready("an event"); });
    SLUICE_RETURN_IF_ERROR(status);
    e.run();
    const double from = now_ns();
    const std::size_t n = e.poll();
    out[call++].push_back((now_ns() - from) / batch);
    if (n != batch) {
        return not_ready("not every request was ready");
    }
    timed([&](std::size_t i) { return e.compute_done(ids[i]); });
    timed([&](std::size_t i) { return e.release(ids[i]); });
    SLUICE_RETURN_IF_ERROR(status);
    settle(e, false);
    return absl::OkStatus();
}

absl::Status run_calls(const capi_bench_options& options, capi_bench_result& out) {
    const engine_setup setup;
    auto cpp = open_warm<cpp_engine>(setup);
    SLUICE_RETURN_IF_ERROR(cpp.status());
    auto c = open_warm<c_engine>(setup);
    SLUICE_RETURN_IF_ERROR(c.status());
    samples by_cpp;
    samples by_c;
    const std::uint64_t rounds = std::max<std::uint64_t>(3, options.requests / 16);
    for (std::uint64_t i = 0; i < rounds; ++i) {
        for (const bool first : {true, false}) {
            SLUICE_RETURN_IF_ERROR(first == (i % 2 == 0) ? call_all(**cpp, by_cpp)
                                                         : call_all(**c, by_c));
        }
    }
    for (std::size_t call = 0; call < call_count; ++call) {
        out.calls.push_back(
            {call_names[call], quantile(by_cpp[call], 0.5), quantile(by_c[call], 0.5)});
    }
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<capi_bench_result> run_capi_bench(const capi_bench_options& options) {
    if (options.requests == 0) {
        return absl::InvalidArgumentError("bench capi: at least one request is needed");
    }
    constexpr std::pair<const char*, engine_setup> cases[] = {
        {"loop_library_l1", {false, false}},
        {"loop_engine_l1", {false, true}},
        {"threads_library_l1", {true, false}},
        {"threads_engine_l1", {true, true}},
    };
    capi_bench_result out;
    for (const auto& [name, setup] : cases) {
        SLUICE_RETURN_IF_ERROR(annotate(run_case(name, setup, options, out), name));
    }
    SLUICE_RETURN_IF_ERROR(annotate(run_calls(options, out), "calls"));
    return out;
}

}  // namespace sluice::bench
