// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/observe/report_page.hpp>

#include "run_options.hpp"
#include "sweep_figure.hpp"

namespace sluice::experiment {

/// What says how fast requests come.
enum class load_kind : std::uint8_t {
    qps,           ///< `run_options::qps`
    offered_load,  ///< of the coupled baseline: requests/s times the mean T0
    bottleneck,    ///< requests/s times the mean seconds of the busiest stage
};

/// A run of a sweep, which may belong to several figures.
struct sweep_run {
    run_options options;
    load_kind load = load_kind::qps;
    double load_value = 0;             ///< where `load` is not qps
    std::string name;                  ///< for messages: a figure, and where in it
    std::vector<std::string> figures;  ///< in which it appears
    bool wants_ttft = false;           ///< a figure shows the distribution
    bool wants_requests = false;       ///< a figure shows each request
};

/// What a sweep file says.
struct sweep_spec {
    std::string title;
    std::vector<std::string> notes;
    std::vector<sweep_run> runs;  ///< each once
    std::vector<figure_spec> figures;
};

/// Reads a sweep and checks all of it; docs/simulation.md says what it may hold. Files that it
/// names are looked for beside it first. The policies that it names have to be registered by now.
///
/// \param only  names of figures; the others are checked and left out. Empty: all.
/// \return kNotFound, kInvalidArgument: with file, line and key, or that there is no such figure
[[nodiscard]] absl::StatusOr<sweep_spec> load_sweep(const std::string& path,
                                                    std::span<const std::string> only = {});

/// How far a sweep is. Called by one thread at a time.
struct sweep_observer {
    std::function<void(std::string part, std::size_t steps)> begin;
    std::function<void()> step;
};

struct sweep_result {
    std::vector<run_figures> runs;  ///< as those of the spec
    std::vector<std::string> csv;   ///< lines without their ends; the first has the names
};

/// Runs all seeds of all runs on `jobs` threads, the longest first. The result does not depend on
/// their number.
///
/// \return the first failure, with the figure, the place in it, and the seed
[[nodiscard]] absl::StatusOr<sweep_result> run_sweep(const sweep_spec& sweep, unsigned jobs,
                                                     const sweep_observer& observer = {});

/// The result as a table has it that `run_sweep` has made, without single requests: there is
/// nothing to draw of distributions and fits. The table may have more runs than the sweep.
///
/// \param csv  the whole table, as text
/// \return kInvalidArgument: it is not such a table, or lacks a run
[[nodiscard]] absl::StatusOr<sweep_result> read_sweep(const sweep_spec& sweep,
                                                      std::string_view csv);

/// Leaves out the figures that `read_sweep` has nothing for.
void drop_request_figures(sweep_spec& sweep);

/// Runs those `lines` of a table again that took the fewest operations, of as many configurations
/// and policies as there are.
///
/// \return as `read_sweep`; kDataLoss: a line comes out differently
[[nodiscard]] absl::Status check_sweep(const sweep_spec& sweep, std::string_view csv,
                                       std::size_t lines, unsigned jobs);

/// Everything as a page.
[[nodiscard]] report_page sweep_page(const sweep_spec& sweep, const sweep_result& result);
/// The tables of all figures, for terminals. Two runs of a sweep give the same text.
[[nodiscard]] std::string sweep_text(const sweep_spec& sweep, const sweep_result& result);
/// The same in Markdown. Before each table stands `<!-- table FIGURE N -->`, N counting from 1.
[[nodiscard]] std::string sweep_markdown(const sweep_spec& sweep, const sweep_result& result);

}  // namespace sluice::experiment
