// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/base/clock.hpp>
#include <sluice/sim/network.hpp>

#include "run.hpp"
#include "run_options.hpp"

namespace sluice::experiment {

/// What happens to one memory node in the middle of a run.
struct node_fault {
    sim::node_change what = sim::node_change::die;  ///< die or hang
    std::uint32_t node = 0;
    double at = 0.5;                ///< share of the time in which requests arrive at all engines
    std::optional<double> recover;  ///< as `at`, and later
};

/// Many engines, each with a link, a GPU and requests of its own, over the same memory nodes.
struct fleet_options {
    /// Of each engine. Requests are drawn for each with a seed of its own; those of a trace would
    /// be the same everywhere, and are refused.
    run_options run;
    std::uint32_t engines = 64;    ///< 1 to 1024
    std::uint32_t nodes = 32;      ///< 1 to 1024
    std::uint32_t replicas = 2;    ///< of each block: 1 to 8, at most `nodes`
    double node_rate = 2;          ///< of a node, in rates of an engine's link; 0.01 to 1000
    double soft_timeout_s = 0.25;  ///< after which an engine asks the next replica
    std::optional<node_fault> fault;
    /// That the run is told in: equal shares of the time in which requests arrive at all engines,
    /// and what comes later belongs to the last.
    std::uint32_t periods = 10;
    std::uint32_t watched = 0;  ///< the engine whose view is told
};

/// What an engine, or all, saw in a period.
struct fleet_view {
    std::uint64_t requests = 0;         ///< that arrived in it
    double mean_ttft_s = 0;             ///< of those
    double attainment = 0;              ///< share of those that made their deadline
    std::uint64_t failovers = 0;        ///< gets that went on to another replica
    std::uint64_t timeouts = 0;         ///< nodes that did not answer in time
    std::uint64_t lost_blocks = 0;      ///< gets for which no replica could be had
    std::uint64_t tokens_computed = 0;  ///< by those requests
};

struct fleet_period {
    double from_s = 0;
    double to_s = 0;
    fleet_view one;  ///< the watched engine
    fleet_view all;
};

struct fleet_result {
    fleet_options options;
    std::optional<double> fault_at_s, recover_at_s;
    double qps = 0;                   ///< of an engine
    double coupled_offered_load = 0;  ///< mean over engines
    std::vector<fleet_period> periods;
    fleet_view one, all;                                    ///< over the whole run
    double link_busy = 0, copy_busy = 0, compute_busy = 0;  ///< means over engines
    double node_busy_least = 0, node_busy_mean = 0, node_busy_most = 0;
    std::uint64_t failed = 0;  ///< requests without an answer
    std::uint64_t block_operations = 0;
    double wall_s = 0;
};

/// \return what is wrong with the options
[[nodiscard]] absl::Status check_fleet_options(const fleet_options& options);

/// Runs a fleet on one virtual clock, on the calling thread.
/// \param progress  called now and then with the share of requests that have ended; may be empty
/// \return as `run_seed`
[[nodiscard]] absl::StatusOr<fleet_result> run_fleet(
    const fleet_options& options, const std::function<void(double)>& progress = {});

/// The result as JSON, and as text for people.
[[nodiscard]] std::string fleet_json(const fleet_result& result);
[[nodiscard]] std::string fleet_text(const fleet_result& result);

}  // namespace sluice::experiment
