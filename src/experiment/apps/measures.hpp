// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "serve.hpp"

namespace sluice::experiment {

/// A number that a run is judged by.
struct app_measure {
    std::string_view name;
    bool is_share = false;  ///< 0 to 1; else seconds
    /// NaN: the run has none.
    double (*of)(const app_run& run);
};
[[nodiscard]] std::span<const app_measure> all_app_measures() noexcept;
/// Null: there is none of that name.
[[nodiscard]] const app_measure* find_app_measure(std::string_view name) noexcept;

/// Mean completion time of an application's runs; NaN: none came.
[[nodiscard]] double mean_completion_of(const app_run& run, std::string_view application);
/// Share of the applications with that multiple (0: any) that made their deadline; NaN: none has.
[[nodiscard]] double made_deadlines(const app_run& run, double multiple);
/// \pre `sorted` is not empty
[[nodiscard]] double quantile_of(std::span<const double> sorted, double q) noexcept;

}  // namespace sluice::experiment
