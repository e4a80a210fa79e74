// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include <sluice/observe/result.hpp>

namespace sluice {

// A page of tables and plots, whatever they show. Experiments, sweeps and benches describe their
// page with this and share one template.

struct plot_axis {
    std::string label;
    bool log = false;
    bool percent = false;   ///< values from 0 to 1, or changes, shown as percent
    bool from_zero = true;  ///< a linear axis shows 0, however far the values are from it
};

struct plot_point {
    double x = 0;
    double y = 0;
    std::string note;  ///< shown when pointed at; may be empty
    /// An interval around `y`, drawn if both ends are finite.
    double low = std::numeric_limits<double>::quiet_NaN();
    double high = std::numeric_limits<double>::quiet_NaN();
};

/// How a series is drawn.
enum class series_look : std::uint8_t { solid, dashed };

struct plot_series {
    std::string name;
    std::vector<plot_point> points;
    series_look look = series_look::solid;
    bool shown = true;    ///< at first; readers switch series on and off
    int colour = -1;      ///< index into the page's palette of ten; -1: its place among the series
    bool joined = false;  ///< of `scatter`: a line through its points in their place
};

/// A stretch of work in a Gantt chart.
struct plot_bar {
    std::uint32_t lane = 0;   ///< index into `gantt_series::lanes`
    std::uint64_t owner = 0;  ///< gives the colour; the same one everywhere
    double start = 0;
    double end = 0;
    std::string note;
};

struct gantt_series {
    std::string name;
    std::vector<std::string> lanes;
    std::vector<plot_bar> bars;
};

enum class plot_kind : std::uint8_t {
    lines,    ///< points joined in order
    steps,    ///< points joined by steps: a distribution
    scatter,  ///< points alone
    bars,     ///< for each x of a category, a bar per series; `categories` names them
    gantt,    ///< one of `gantts` at a time, with zoom
};

/// A cell; `best` ones stand out.
struct page_cell {
    std::string text;
    bool best = false;
};

/// A group of columns under one heading; an empty name gives its columns no heading.
struct page_column_group {
    std::string name;
    std::vector<std::string> columns;
};

struct page_table {
    std::string title;
    std::string caption;
    std::vector<page_column_group> groups;
    std::vector<std::vector<page_cell>> rows;  ///< the first cell of a row is its name
};

struct page_plot {
    plot_kind kind = plot_kind::lines;
    std::string title;
    std::string caption;
    plot_axis x;
    plot_axis y;
    std::vector<plot_series> series;
    std::vector<std::string> categories;  ///< of `bars`: names of x = 0, 1, ...
    std::vector<gantt_series> gantts;
    std::string owner = "request";    ///< what `plot_bar::owner` counts
    std::size_t first_gantt = 0;      ///< shown at first
    double window = 1;                ///< share of the time shown at first, around the middle
    std::optional<page_table> table;  ///< the figures drawn, folded away below
};

/// A figure to show large at the top of the page.
struct page_headline {
    std::string value;
    std::string label;
};

struct report_page {
    std::string title;
    std::vector<page_headline> headlines;
    std::vector<result_fact> facts;
    std::vector<std::string> notes;
    std::vector<page_table> tables;
    std::vector<page_plot> plots;
};

/// The page as one HTML file that refers to nothing outside itself. All text is escaped; without
/// scripts the tables remain.
[[nodiscard]] std::string render_page(const report_page& page);

}  // namespace sluice
