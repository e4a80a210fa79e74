// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include "bench_node.hpp"
#include "fetch_cases.hpp"
#include "raw_fabric.hpp"

namespace sluice::bench {

struct fetch_bench_options {
    std::string provider = "tcp";
    std::vector<fetch_case> cases;         ///< as `fetch_cases` gives them
    std::uint64_t pool_bytes = 512 << 20;  ///< of our memory, of the raw target's, of blocks put
    std::uint32_t pairs = 7;               ///< of measurements, of which medians count
    double seconds = 0.2;     ///< of each measurement, as far as one pass over the pool goes
    double idle_seconds = 5;  ///< with nothing to do, at the end; 0: without
    std::uint64_t bytes_in_flight = 0;  ///< of the store; 0: the provider's
    std::uint64_t seed = 1;             ///< of the order of the blocks
    /// What runs the raw target: see raw_fabric_options.
    std::vector<std::string> target_command = raw_fabric_options{}.target_command;
};

/// One way to read the blocks of a case: medians over the pairs.
struct fetch_figures {
    double mb_s = 0;  ///< 10^6 bytes per second
    double p50_us = 0;
    double p99_us = 0;
    double cpu_s_per_gb = 0;         ///< per 10^9 bytes, of both processes
    double remote_cpu_s_per_gb = 0;  ///< of which the node's, or the raw target's
};

struct fetch_row {
    fetch_case what;
    fetch_figures ours;
    /// The baseline. At larger windows the faster way to complete, for one block the one that
    /// sleeps, as ours does.
    fetch_figures raw;
    raw_completion completion = raw_completion::wait;  ///< of the baseline
    fetch_figures raw_spin;
    double ratio = 0;  ///< ours to raw in MB/s: the median of the pairs', and its quartiles
    double ratio_p25 = 0;
    double ratio_p75 = 0;
    /// "single", "vectored", "merged" or "merged+vectored": what more than a tenth went by.
    std::string mode;
    double transfers_per_block = 0;
    double local_run = 1;     ///< blocks in reading order that go to neighbouring places, average
    bool huge_pages = false;  ///< most of our memory and of the node's lies on them
};

/// Of processes with nothing to do that stay connected.
struct fetch_idle {
    double node_cpu_percent = 0;  ///< of a core
    double client_cpu_percent = 0;
    double node_wakeups_per_s = 0;
    double client_wakeups_per_s = 0;
};

struct fetch_result {
    std::vector<fetch_row> rows;
    fetch_idle idle;
};

/// Reads blocks from a memory node in a child process through the whole path of `fabric_store`,
/// and the same blocks in the same order with the barest loop of `fi_read` (`raw_fabric`), in turn:
/// ours and raw change places from pair to pair. Checks that the right bytes came.
///
/// \return kInvalidArgument: a block size that is 0, no multiple of 8 or of which less than 128 fit
///         into the pool, a window or connections out of range, no pairs; kResourceExhausted: no
///         memory; kDataLoss: wrong bytes came; what `raw_fabric` and `fetch_client` return.
[[nodiscard]] absl::StatusOr<fetch_result> run_fetch_bench(const fetch_bench_options& options);

}  // namespace sluice::bench
