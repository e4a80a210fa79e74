// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/observe/result.hpp>

namespace sluice::bench {

struct pipeline_bench_options {
    double seconds = 5;  ///< of measurement
    std::uint64_t seed = 1;
};

struct pipeline_bench_result {
    double bottleneck_busy = 0;  ///< share of the time in which the slowest stage worked
    double cpu_cores = 0;        ///< CPU seconds of the process per second
    std::vector<result_fact> facts;
};

/// How busy the pipeline keeps its slowest stage, and what that costs.
[[nodiscard]] absl::StatusOr<pipeline_bench_result> run_pipeline_bench(
    const pipeline_bench_options& options);

}  // namespace sluice::bench
