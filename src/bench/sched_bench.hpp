// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace sluice::bench {

struct sched_bench_options {
    /// Specs for `make_policy`.
    std::vector<std::string> policies = {"fifo", "sjf_pt", "sjf",        "srpt",
                                         "edf",  "lstf",   "aging(sjf)", "fair(sjf)"};
    std::vector<std::uint64_t> queued = {1'000, 10'000, 100'000, 1'000'000};
    std::uint32_t repeats = 5;           ///< of which the median counts; at least 1
    std::uint64_t operations = 200'000;  ///< per repeat
    std::uint32_t tenants = 100;
    std::uint64_t seed = 1;
};

struct sched_bench_row {
    std::string policy;
    std::uint64_t queued = 0;
    double ops_per_s = 0;          ///< per second of one thread's CPU time
    double bytes_per_request = 0;  ///< of a pipeline, not measured here
    double bytes_per_block = 0;    ///< of a pipeline, not measured here
};

/// Measures the scheduler's inner loop: take the best request of a ready queue, charge its flow,
/// let a new request with its id arrive, rank that by one virtual call, queue it.
///
/// The number queued stays the same, and keys are drawn as in the hold model (Vaucher and Duval,
/// CACM 1975): a request's cost or deadline grows with the time of its arrival, so that each one
/// waits for about as many operations as there are queued, and nothing stays in the cache only
/// because the same few requests come and go.
///
/// \return a row per policy and count, in that order; one that `make_policy` refuses has 0
/// ops_per_s
[[nodiscard]] std::vector<sched_bench_row> run_sched_bench(const sched_bench_options& options = {});

/// Puts the memory figures of a pipeline into every row.
void set_memory_figures(std::vector<sched_bench_row>& rows, double bytes_per_request,
                        double bytes_per_block) noexcept;

}  // namespace sluice::bench
