// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/observe/result.hpp>

namespace sluice::bench {

struct pipeline_bench_options {
    double seconds = 2;         ///< of each measurement
    std::uint32_t repeats = 3;  ///< of each case, of which the median counts
};

/// One stage made the slowest.
struct pipeline_bench_case {
    std::string slowest;        ///< "fetch", "copy" or "compute"
    double alone_per_s = 0;     ///< requests per second of that stage alone
    double pipeline_per_s = 0;  ///< of the whole pipeline
    double busy = 0;            ///< median of pipeline / alone, each pair measured back to back
    double cpu_cores = 0;       ///< CPU seconds of the process per second, in the pipeline
};

struct pipeline_bench_result {
    double bottleneck_busy = 0;  ///< the worst case's
    double cpu_cores = 0;        ///< the highest of all cases
    std::vector<pipeline_bench_case> cases;
    std::vector<result_fact> facts;
};

/// Closed loop of requests through the whole pipeline (in-process store, host device, a compute
/// that takes a fixed time), against its slowest stage alone on the same operations: what is lost
/// between the stages.
[[nodiscard]] absl::StatusOr<pipeline_bench_result> run_pipeline_bench(
    const pipeline_bench_options& options);

}  // namespace sluice::bench
