// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include <absl/status/statusor.h>

#include "run.hpp"

namespace sluice::experiment {

/// A mean over seeds, and how far the true one may be from it.
struct estimate {
    double mean = 0;
    /// Half-width of the 95 % confidence interval, by Student's t over the seeds; absent for one.
    std::optional<double> ci95;
};
[[nodiscard]] estimate estimate_of(std::span<const double> by_seed);

/// The 97.5 % quantile of Student's t; 0 for no degrees of freedom.
[[nodiscard]] double student_t(std::size_t degrees_of_freedom) noexcept;

/// One configuration over all its seeds.
struct case_summary {
    std::size_t requests = 0;  ///< of a seed
    double qps = 0;
    double coupled_offered_load = 0;
    estimate ttft;  ///< of the means of each seed
    /// Mean over the seeds of what no schedule can beat; absent if it does not hold for one.
    std::optional<double> ttft_bound_s;
    double p50 = 0, p95 = 0, p99 = 0;  ///< over all requests of all seeds
    /// Share of requests that made their deadline; absent if there are none with that multiple.
    struct slo {
        std::optional<double> share;  ///< over all requests of all seeds
        std::optional<double> ci95;   ///< as of the share of each seed
    };
    slo slo_2x, slo_4x, slo_8x, slo_all;
    double l1_idle_slot_seconds = 0;                         ///< per request
    double busy_fetch = 0, busy_copy = 0, busy_compute = 0;  ///< means over the seeds
    std::uint64_t rejected = 0;                              ///< could never fit
    std::uint64_t failed = 0;
    double wall_s = 0;  ///< of the runs, added up
    std::uint64_t block_operations = 0;
};

struct case_result {
    run_options options;
    std::vector<seed_result> seeds;
    case_summary summary;
};

/// \pre `seeds` is not empty
[[nodiscard]] case_result summarize(run_options options, std::vector<seed_result> seeds);

/// Runs all seeds of a case, on up to `jobs` threads.
/// \param seed_done  called after each, one at a time; may be empty
[[nodiscard]] absl::StatusOr<case_result> run_case(const run_options& options, shared_facts& shared,
                                                   unsigned jobs,
                                                   const std::function<void()>& seed_done = {});

}  // namespace sluice::experiment
