// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "trace.hpp"

namespace sluice::workload {

/// What a made-up trace is drawn from. The defaults are those of the Mooncake conversation trace.
struct trace_statistics {
    std::size_t requests = 200;
    double mean_input_tokens = 12'035;
    double input_cv = 1.3;
    std::uint32_t min_input_tokens = 891;
    std::uint32_t max_input_tokens = 126'195;
    double mean_output_tokens = 343;
    double requests_per_second = 3.4;  ///< arrivals are Poisson
    double reuse = 0.08;  ///< share of blocks that an earlier request had as its prefix, about
};

/// A trace drawn from `statistics` by `seed`: log-normal lengths, a first block that all requests
/// share, and conversations: some requests begin with all whole blocks of an earlier one.
///
/// \pre rates and means are positive, `min_input_tokens` is at least 1 and not above
/// `max_input_tokens`, 0 <= reuse < 1
[[nodiscard]] std::vector<trace_request> make_trace(const trace_statistics& statistics,
                                                    std::uint64_t seed);

/// The statistics in a line of text, for reports.
[[nodiscard]] std::string describe(const trace_statistics& statistics);

}  // namespace sluice::workload
