// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <sluice/observe/report_page.hpp>

#include "sweep_measure.hpp"

namespace sluice::experiment {

enum class figure_kind : std::uint8_t {
    lines,         ///< measures over a number
    distribution,  ///< of TTFT
    bars,          ///< measures side by side
    scatter_fit,   ///< each request as a point, and the line through them
    table,
};

/// What is varied in a figure: a key with its values, or the variants.
struct sweep_axis {
    std::string key;                   ///< "variant": variants
    std::vector<std::string> values;   ///< as text; the labels of variants
    std::vector<std::string> phrases;  ///< such that they name a series: "hit ratio 0.5"
    std::vector<double> numbers;       ///< NaN for what is none
    std::vector<bool> dashed;          ///< how its series are drawn; those of baselines are
};

/// What of requests a scatter plot shows.
enum class request_fact : std::uint8_t { context_tokens, query_tokens, load_s, compute_s, t0_s };
using request_numbers = std::array<float, 5>;  ///< one request's, in this order
struct request_fact_info {
    request_fact id;
    std::string_view name;
    std::string_view label;
};
[[nodiscard]] std::span<const request_fact_info> request_facts() noexcept;

struct figure_spec {
    std::string name;  ///< a word; different for all figures of a sweep
    std::string title;
    std::string caption;
    figure_kind kind = figure_kind::table;
    std::vector<sweep_axis> axes;
    std::vector<std::size_t> runs;  ///< by the places on the axes, the last one fastest
    std::vector<shown_measure> shown;
    std::size_t x = 0;      ///< of lines and bars: an axis
    std::string x_measure;  ///< of lines: the measure at which points stand; empty: x's own
    std::vector<std::size_t> panels;  ///< axes of which each value has a plot or table of its own
    std::size_t across = no_axis;     ///< of tables: the axis whose values are groups of columns
    bool log = false;                 ///< the axis of times
    request_fact fact_x = request_fact::context_tokens;  ///< of scatter plots
    request_fact fact_y = request_fact::load_s;

    static constexpr std::size_t no_axis = SIZE_MAX;
};

/// What a sweep keeps of a run.
struct run_figures {
    std::vector<measured> seeds;
    std::vector<float> ttft;              ///< of all seeds, ascending; only where a figure shows it
    std::vector<request_numbers> points;  ///< of all seeds; only where a figure shows them
    std::vector<std::string> conditions;  ///< what it ran: workload, model, profile, and so on
};

/// A figure as it is shown: plots, each with its table folded below, or else tables.
struct drawn_figure {
    std::vector<page_plot> plots;
    std::vector<page_table> tables;  ///< the plots' too, for terminals
    std::string caption;             ///< the figure's, what it ran, and the loads
};

/// \pre every element of `figure.runs` is a place in `runs`
[[nodiscard]] drawn_figure draw(const figure_spec& figure, std::span<const run_figures> runs);

}  // namespace sluice::experiment
