// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "options.hpp"

namespace sluice::experiment {

/// Figures of experiments with applications, as a file lists them; docs/applications.md has its
/// keys.
struct app_sweep {
    struct part {
        std::string label;
        std::vector<std::pair<std::string, std::string>> settings;
    };
    struct column {
        part what;
        std::string measure;      ///< empty: the column has what a paper says
        std::string application;  ///< of `act_mean`: of one application only
        std::string against;      ///< the row that others are compared with; empty: none
        std::string unit;         ///< s, ms, min or %
        std::map<std::pair<std::string, std::string>, double>
            paper;  ///< by panel and row, in that unit
    };
    struct figure {
        std::string name;
        std::string title;
        std::string caption;
        std::string rows_are;  ///< the heading of their labels
        part base;
        std::vector<part> panels;  ///< at least one
        std::vector<part> rows;
        std::vector<column> columns;
    };
    std::string title;
    std::vector<std::string> notes;
    part base;
    std::vector<figure> figures;
};

/// A run of a sweep and what it was measured by.
struct app_sweep_row {
    std::string key;             ///< the settings, in the order of `all_app_options`
    std::uint64_t split = 0;     ///< its seed
    std::vector<double> values;  ///< in the order of `all_app_measures`
    std::map<std::string, double, std::less<>> by_application;  ///< mean completion times
    bool operator==(const app_sweep_row&) const = default;
};

/// What was measured, by settings and split.
using app_sweep_results = std::map<std::string, std::vector<app_sweep_row>>;

/// \param only  names of figures; empty: all
/// \return what the file has wrong, with file, line and key
[[nodiscard]] absl::StatusOr<app_sweep> load_app_sweep(const std::string& path,
                                                       const std::vector<std::string>& only = {});

/// Settings of a cell. \pre the column has a measure
[[nodiscard]] absl::StatusOr<app_options> options_of(const app_sweep& sweep,
                                                     const app_sweep::figure& figure,
                                                     const app_sweep::part& panel,
                                                     const app_sweep::part& row,
                                                     const app_sweep::column& column);
[[nodiscard]] std::string key_of_options(const app_options& options);

/// Runs all that the figures need, each once, on up to `jobs` threads.
/// \param runs  the folder of run records
/// \param begin, step  how many runs, and after each; may be empty
[[nodiscard]] absl::StatusOr<app_sweep_results> run_app_sweep(
    const app_sweep& sweep, const std::string& runs, unsigned jobs,
    const std::function<void(std::size_t)>& begin = {}, const std::function<void()>& step = {});

/// A line for each run and split, behind one with the names of the columns.
[[nodiscard]] std::string app_sweep_csv(const app_sweep_results& results);
/// \return kInvalidArgument, with the line: not what `app_sweep_csv` writes
[[nodiscard]] absl::StatusOr<app_sweep_results> read_app_sweep_csv(std::string_view text);

/// Runs the first split of `lines` runs anew, spread over all of a table.
/// \return kFailedPrecondition: one comes out differently, or is not there
[[nodiscard]] absl::Status check_app_sweep(const app_sweep& sweep, const std::string& runs,
                                           const app_sweep_results& results, std::size_t lines,
                                           unsigned jobs);

/// The tables of all figures as Markdown. \return kNotFound: a run is not among the results
[[nodiscard]] absl::StatusOr<std::string> app_sweep_markdown(const app_sweep& sweep,
                                                             const app_sweep_results& results);

}  // namespace sluice::experiment
