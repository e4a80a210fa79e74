// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "summary.hpp"

namespace sluice::experiment {

/// A case as one JSON object. Its first keys are stable: workload, model, profile, config, policy,
/// qps, requests, seeds, first_seed, coupled_offered_load, ttft_s {mean, mean_ci95, p50, p95, p99},
/// slo_attainment {2x, 4x, 8x, all}, busy {fetch, copy, compute}, wall_s, block_operations. What
/// does not exist (an interval of one seed, the attainment of no deadlines) is null. Two runs of
/// the same options differ in wall_s alone.
[[nodiscard]] std::string case_json(const case_result& result, int indent = 2);

/// The same for people.
[[nodiscard]] std::string case_text(const case_result& result);

}  // namespace sluice::experiment
