// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "raw_fabric.hpp"

namespace sluice::bench {

struct fetch_bench_options {
    std::vector<std::string> providers{"tcp"};
    raw_kind kind = raw_kind::any;
    std::vector<std::uint64_t> block_bytes{64 << 10, 256 << 10, 1 << 20, 2 << 20};
    std::vector<std::uint32_t> windows{1, 16};
    std::uint64_t pool_bytes = 512 << 20;  ///< on each side; scattered over, all touched
    std::uint32_t repeats = 7;             ///< of each measurement, of which the median counts
    double seconds = 0.2;                  ///< of each, as far as one pass over the pool goes
};

/// The barest loop of reads, at one size and window: medians over the repeats.
struct raw_fetch_row {
    std::string provider;
    raw_kind kind = raw_kind::any;
    std::uint64_t block_bytes = 0;
    std::uint32_t window = 0;
    raw_completion completion = raw_completion::wait;
    bool best = false;  ///< the faster of the two ways to complete: this is the baseline
    double mb_s = 0;    ///< 10^6 bytes per second
    double p50_us = 0;
    double p99_us = 0;
    double cpu_s_per_gb = 0;         ///< of the reader, per 10^9 bytes
    double target_cpu_s_per_gb = 0;  ///< of the process that is read
};

/// Reads blocks scattered over patterned pools from a child process, both ways of completion in
/// turn, and checks that the right bytes came.
///
/// \return kInvalidArgument: a block size that is 0, no multiple of 8 or over half the pool, a
/// window
///         that `raw_fabric` does not take, no repeats; kResourceExhausted: no memory;
///         kDataLoss: wrong bytes came; what `raw_fabric` returns.
[[nodiscard]] absl::StatusOr<std::vector<raw_fetch_row>> run_raw_fetch_bench(
    const fetch_bench_options& options);

}  // namespace sluice::bench
