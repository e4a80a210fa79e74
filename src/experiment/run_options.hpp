// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/pipeline.hpp>

#include "../workload/workload.hpp"

namespace sluice::experiment {

/// Who serves the requests of a simulated experiment.
enum class config_kind : std::uint8_t {
    coupled,    ///< baselines::baseline_kind::coupled
    async,      ///< baselines::baseline_kind::async
    pipelined,  ///< sluice::pipeline
};

/// From `at` on the engine's link has `factor` times its nominal rate.
struct drift_step {
    double at = 0;          ///< seconds, or a share of the time in which requests arrive
    bool is_share = false;  ///< of which it is
    double factor = 1;
};

/// What the cost model knows. It starts from the profile's coefficients.
enum class cost_source : std::uint8_t {
    fixed,  ///< nothing else
    refit,  ///< what it learns online
    knows,  ///< when the link's rate changes, and to what
};

/// Of workloads that have no pace of their own.
inline constexpr double default_qps = 1.2;
inline constexpr std::uint32_t default_requests = 2000;

/// One configuration of a simulated experiment: all that a run depends on.
struct run_options {
    std::string workload = "icl";
    std::string trace;
    std::string model = "llama3.1-8b";
    std::string profile = "calvo-testbed";
    config_kind config = config_kind::pipelined;
    std::string policy;             ///< empty: sjf for the pipeline, fifo for a baseline
    std::optional<bool> late_last;  ///< of every edf, lstf and on_time in `policy`
    reservation_mode reservation = reservation_mode::proactive;
    bool split = false;
    std::optional<double> qps;              ///< requests/s; absent: 1.2, or the trace's own pace
    std::optional<std::uint32_t> requests;  ///< absent: 2000; 0: all that a trace has
    std::uint32_t seeds = 5;
    std::uint64_t first_seed = 1;
    double hit_ratio = 1;
    workload::warm_mode warm = workload::warm_mode::trace;  ///< of a trace
    std::vector<drift_step> drift;
    cost_source cost = cost_source::refit;

    /// The policy's spec, with `late_last` in it where that is set.
    [[nodiscard]] std::string policy_spec() const;
    [[nodiscard]] bool is_trace() const noexcept { return workload == "mooncake"; }
};

[[nodiscard]] std::string_view to_string(config_kind config) noexcept;
[[nodiscard]] std::string_view to_string(reservation_mode mode) noexcept;
[[nodiscard]] std::string_view to_string(cost_source cost) noexcept;
/// As `parse` of the option "drift" reads it.
[[nodiscard]] std::string to_string(std::span<const drift_step> drift);

/// An option by its name, which is that of the flag and of the key in a file.
struct run_option {
    std::string_view name;
    std::string_view values;  ///< what it takes, in a word or two
    std::string_view help;
    /// Sets it from a text. \return kInvalidArgument: what it takes instead
    absl::Status (*set)(run_options& options, std::string_view text);
};
/// All that are set by a text, in the order in which they are to be shown.
[[nodiscard]] std::span<const run_option> all_run_options() noexcept;
/// By the name; `_` may stand for `-`.
/// \return kInvalidArgument: no such option, with their names; or its value is bad
[[nodiscard]] absl::Status set_run_option(run_options& options, std::string_view name,
                                          std::string_view text);

/// Whether the options fit one another.
/// \return kInvalidArgument, saying which do not and why; what `make_policy` says of the policy
[[nodiscard]] absl::Status check_run_options(const run_options& options);

}  // namespace sluice::experiment
