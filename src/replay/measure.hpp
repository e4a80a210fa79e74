// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <absl/status/statusor.h>

#include <sluice/cost/linear_cost_model.hpp>

#include <tiny_llm/model.hpp>

#include "l3_store.hpp"

namespace sluice::replay {

// Measures a stage on this machine and fits its cost. The best of `repeats` counts at each point:
// what other programs take of the machine is none of the stage's cost.

/// Prefills of several sizes behind contexts of several sizes, of at most `max_tokens` together.
[[nodiscard]] absl::StatusOr<compute_coefficients> measure_compute(const tiny_llm::model& model,
                                                                   std::uint32_t block_tokens,
                                                                   std::uint32_t max_tokens,
                                                                   unsigned repeats);

/// Copies of 1 to 32 blocks, of two sizes, into the pages of an engine.
[[nodiscard]] absl::StatusOr<load_coefficients> measure_copy(const tiny_llm::model& model,
                                                             std::uint32_t block_tokens,
                                                             unsigned repeats);

/// Gets of 1 to 32 blocks, of two sizes, from an L3 of that kind, over a link of that rate (0:
/// unlimited).
[[nodiscard]] absl::StatusOr<load_coefficients> measure_fetch(const l3_spec& where,
                                                              std::uint64_t block_bytes,
                                                              double link_rate, unsigned repeats);

}  // namespace sluice::replay
