// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/demand/app_tracker.hpp>
#include <sluice/demand/model_set.hpp>
#include <sluice/demand/prewarmer.hpp>

#include "../profile.hpp"
#include "cold_starts.hpp"
#include "draw.hpp"
#include "options.hpp"

namespace sluice::experiment {

/// What one run with applications is of.
struct app_setting {
    const app_options& options;
    const app_mix& mix;
    const hardware_profile& hardware;
    const kv_model& model;
    const app_draw& draw;
    demand::model_set& models;  ///< learned from the other half; may learn more
    std::uint64_t seed = 1;
};

/// What became of the applications of a run.
struct app_run {
    struct task {
        std::string application;
        double arrival_s = 0;
        double completion_s = 0;  ///< from its arrival
        double deadline_multiple = 0;
        double allowed_s = 0;  ///< until its deadline, from its arrival
    };
    std::uint64_t seed = 0;
    std::vector<task> tasks;  ///< by arrival
    double makespan_s = 0;
    std::array<double, app_backends> busy{};      ///< shares of the makespan, of what each can do
    std::array<double, app_backends> waited_s{};  ///< for a place of an external backend, by visit
    std::uint64_t prompt_tokens = 0;
    std::uint64_t computed_tokens = 0;  ///< of the prompts; KV of the rest was somewhere
    std::uint64_t fetched_tokens = 0;   ///< of the rest: from L3, when the call was there already
    double ttft_s = 0;                  ///< mean over the calls
    demand::prewarmer_stats prewarmer;
    demand::app_tracker_stats tracker;
    std::optional<cold_start_result> cold;  ///< if the options say so
    double wall_s = 0;
};

/// Of what is left of applications: those of the published evaluation, and loading by the link.
[[nodiscard]] demand::service_rates rates_of(const app_options& options,
                                             const hardware_profile& hardware,
                                             const kv_model& model) noexcept;

/// Replays the applications of a draw closed loop on the production pipeline, on virtual time.
/// \return what is wrong with the policy or the profile; kInternal: nothing moves any more
[[nodiscard]] absl::StatusOr<app_run> serve_apps(const app_setting& setting);

}  // namespace sluice::experiment
