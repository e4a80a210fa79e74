// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/cost/linear_cost_model.hpp>
#include <sluice/observe/result.hpp>

#include "progress.hpp"

namespace sluice::command {

struct profile_options {
    double link_mbps = 0;  ///< MB/s of the link to L3; 0: not limited
    std::uint64_t seed = 1;
    unsigned repeats = 5;  ///< of each measured point
    unsigned nodes = 2;    ///< L3, as in `replay_options`
    std::string provider = "tcp";
    std::string program;
    std::string json;  ///< file, "-" for standard output, or empty
    bool quiet = false;
};

struct profile_result {
    load_coefficients fetch;
    load_coefficients copy;
    compute_coefficients compute;
    std::vector<result_fact> facts;
};

/// Measures the stages of this machine and fits their costs.
[[nodiscard]] absl::StatusOr<profile_result> run_profile(const profile_options& options,
                                                         progress_bar& progress);

/// {"fetch": {"fixed_s", "per_byte_s", "per_descriptor_s", "r2"}, "copy": {...}, "compute":
/// {"c0_s", "c1_s", "c2_s", "r2"}, "facts": {...}}
[[nodiscard]] std::string profile_json(const profile_result& profile);

/// What `profile_json` wrote.
///
/// \return kInvalidArgument: not that, or coefficients that are not numbers; the message says what
/// is wrong and where.
[[nodiscard]] absl::StatusOr<profile_result> parse_profile(std::string_view json);

}  // namespace sluice::command
