// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace sluice::bench {

struct demand_bench_options {
    std::vector<std::uint32_t> live = {100, 1'000, 10'000};  ///< applications at a time
    std::uint64_t events = 100'000;                          ///< ends of units per row
    std::size_t window = 1000;                               ///< runs of each class, all there
    std::string policy = "gittins";                          ///< for `make_policy`
    std::uint64_t seed = 1;
};

/// Microseconds until an event is worked out: reported, its application's remainder conditioned on
/// it, ranked, the rank given out.
struct demand_bench_row {
    std::uint32_t live_applications = 0;
    double event_us_p50 = 0;  ///< the end of a unit
    double event_us_p99 = 0;
    double begin_us_p50 = 0;  ///< the begin of a unit
    double begin_us_p99 = 0;
    double learn_us_p50 = 0;  ///< the end of an application, whose run becomes a sample
    double learn_us_p99 = 0;
};

/// Measures what following applications costs: live applications of four classes (a chain, a
/// fan-out, a loop, a tree of many calls) go through their units in random order, and a new one
/// begins where one has ended. All on one thread, without a pipeline.
///
/// \return a row per number of applications; none if there is no such policy
[[nodiscard]] std::vector<demand_bench_row> run_demand_bench(
    const demand_bench_options& options = {});

}  // namespace sluice::bench
