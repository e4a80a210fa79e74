// SPDX-License-Identifier: Apache-2.0
#include "summary.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include <sluice/base/status.hpp>

#include "parallel.hpp"

namespace sluice::experiment {
namespace {

case_summary::slo attained(std::span<const seed_result> seeds, std::optional<double> multiple) {
    run_result all;
    std::vector<double> by_seed;
    for (const seed_result& s : seeds) {
        if (const std::optional<double> share = attainment(s.result, multiple)) {
            by_seed.push_back(*share);
        }
        all.requests.insert(all.requests.end(), s.result.requests.begin(), s.result.requests.end());
    }
    return {attainment(all, multiple), estimate_of(by_seed).ci95};
}

double mean_of(std::span<const seed_result> seeds, double (*value)(const seed_result&)) {
    double total = 0;
    for (const seed_result& s : seeds) {
        total += value(s);
    }
    return total / static_cast<double>(seeds.size());
}

}  // namespace

double student_t(std::size_t degrees_of_freedom) noexcept {
    constexpr std::array table{0.0,   12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365,
                               2.306, 2.262,  2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
                               2.120, 2.110,  2.101, 2.093, 2.086, 2.080, 2.074, 2.069,
                               2.064, 2.060,  2.056, 2.052, 2.048, 2.045, 2.042};
    if (degrees_of_freedom < table.size()) {
        return table[degrees_of_freedom];
    }
    // The first terms of the expansion in 1/n; within 0.0005 here.
    const double n = static_cast<double>(degrees_of_freedom);
    return 1.95996 + 2.37227 / n + 2.82251 / (n * n);
}

estimate estimate_of(std::span<const double> by_seed) {
    estimate out;
    out.mean = mean(by_seed);
    if (by_seed.size() > 1) {
        double squares = 0;
        for (const double v : by_seed) {
            squares += (v - out.mean) * (v - out.mean);
        }
        const auto n = static_cast<double>(by_seed.size());
        out.ci95 = student_t(by_seed.size() - 1) * std::sqrt(squares / (n - 1) / n);
    }
    return out;
}

case_result summarize(run_options options, std::vector<seed_result> seeds) {
    case_result out{std::move(options), std::move(seeds), {}};
    const std::vector<seed_result>& all = out.seeds;
    case_summary& s = out.summary;
    std::vector<double> means;
    std::vector<double> ttfts;
    for (const seed_result& r : all) {
        const std::vector<double> some = sorted_ttft(r.result);
        means.push_back(mean(some));
        ttfts.insert(ttfts.end(), some.begin(), some.end());
        for (const request_result& q : r.result.requests) {
            s.rejected += q.outcome == request_outcome::rejected ? 1 : 0;
            s.failed += q.outcome == request_outcome::failed ? 1 : 0;
        }
        s.wall_s += r.wall_s;
        s.block_operations += r.block_operations;
    }
    std::sort(ttfts.begin(), ttfts.end());
    s.requests = all.front().result.requests.size();
    s.ttft = estimate_of(means);
    if (std::ranges::all_of(all, [](const seed_result& r) { return r.bound.has_value(); })) {
        s.ttft_bound_s = mean_of(all, [](const seed_result& r) { return r.bound->mean_s(); });
    }
    s.p50 = percentile(ttfts, 50);
    s.p95 = percentile(ttfts, 95);
    s.p99 = percentile(ttfts, 99);
    s.slo_2x = attained(all, 2);
    s.slo_4x = attained(all, 4);
    s.slo_8x = attained(all, 8);
    s.slo_all = attained(all, std::nullopt);
    s.qps = mean_of(all, [](const seed_result& r) { return r.qps; });
    s.coupled_offered_load =
        mean_of(all, [](const seed_result& r) { return r.coupled_offered_load; });
    s.l1_idle_slot_seconds = mean_of(all, [](const seed_result& r) {
        return r.l1_idle_slot_seconds / static_cast<double>(r.result.requests.size());
    });
    s.busy_fetch = mean_of(all, [](const seed_result& r) { return r.fetch.busy; });
    s.busy_copy = mean_of(all, [](const seed_result& r) { return r.copy.busy; });
    s.busy_compute = mean_of(all, [](const seed_result& r) { return r.compute.busy; });
    return out;
}

absl::StatusOr<case_result> run_case(const run_options& options, shared_facts& shared,
                                     unsigned jobs, const std::function<void()>& seed_done) {
    SLUICE_RETURN_IF_ERROR(check_run_options(options));
    std::vector<seed_result> seeds(options.seeds);
    SLUICE_RETURN_IF_ERROR(in_parallel(jobs, seeds.size(), seed_done, [&](std::size_t i) {
        auto one = run_seed(options, options.first_seed + i, shared);
        if (one.ok()) {
            seeds[i] = *std::move(one);
        }
        return one.status();
    }));
    return summarize(options, std::move(seeds));
}

}  // namespace sluice::experiment
