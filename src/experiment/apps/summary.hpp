// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "../summary.hpp"
#include "inputs.hpp"
#include "serve.hpp"

namespace sluice::experiment {

/// An experiment with applications over all its splits.
struct app_case {
    app_options options;
    std::vector<app_run> runs;  ///< by split
    struct act {
        estimate mean;                              ///< of the means of each split
        double p50 = 0, p90 = 0, p95 = 0, p99 = 0;  ///< over all applications of all splits
    };
    act act_s;
    std::map<std::string, act> by_application;
    /// Shares of those that have such a deadline; absent without.
    std::optional<estimate> tight, modest, loose, all;
    std::array<double, app_backends> busy{};  ///< means over the splits
    double makespan_s = 0;                    ///< the same
    double cached_share = 0;                  ///< of prompt tokens
    double near_share = 0;                    ///< of prompt tokens: KV in L1 or L2 when needed
    double ttft_s = 0;                        ///< mean over splits of that of the calls
    std::optional<cold_start_result> cold;    ///< sums over the splits
    double wall_s = 0;
};

/// One split: models learn from one half of the records, applications are drawn from the other.
[[nodiscard]] absl::StatusOr<app_run> run_split(const app_options& options, std::uint64_t seed,
                                                const app_inputs& in);

/// \pre `runs` is not empty
[[nodiscard]] app_case summarize(app_options options, std::vector<app_run> runs);

/// Runs all splits of an experiment, on up to `jobs` threads.
/// \param split_done  called after each, one at a time; may be empty
/// \return what is wrong with the options or what they name
[[nodiscard]] absl::StatusOr<app_case> run_apps(const app_options& options, app_input_cache& inputs,
                                                unsigned jobs,
                                                const std::function<void()>& split_done = {});

/// The contract of `sluice sim apps --json`.
[[nodiscard]] std::string app_case_json(const app_case& result, int indent = 2);
/// For a terminal.
[[nodiscard]] std::string app_case_text(const app_case& result);

}  // namespace sluice::experiment
