// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include <sluice/observe/result.hpp>

#include "sweep_draw_parts.hpp"

namespace sluice::experiment {
namespace {

using place = figure_cells::place;

struct point {
    double x;
    double y;
};

std::vector<point> points_of(const run_figures& run, const figure_spec& figure) {
    std::vector<point> out;
    for (const request_numbers& r : run.points) {
        out.push_back({static_cast<double>(r[static_cast<std::size_t>(figure.fact_x)]),
                       static_cast<double>(r[static_cast<std::size_t>(figure.fact_y)])});
    }
    return out;
}

struct fitted_line {
    double intercept;
    double slope;
    double r2;
};

fitted_line fit(const std::vector<point>& points) {
    const double n = static_cast<double>(points.size());
    point middle{0, 0};
    for (const point& p : points) {
        middle.x += p.x / n;
        middle.y += p.y / n;
    }
    double xx = 0;
    double xy = 0;
    double yy = 0;
    for (const point& p : points) {
        xx += (p.x - middle.x) * (p.x - middle.x);
        xy += (p.x - middle.x) * (p.y - middle.y);
        yy += (p.y - middle.y) * (p.y - middle.y);
    }
    const double slope = xx > 0 ? xy / xx : 0;
    return {middle.y - slope * middle.x, slope, xx > 0 && yy > 0 ? xy * xy / (xx * yy) : 1};
}

std::string label_of(request_fact fact) {
    return std::string(request_facts()[static_cast<std::size_t>(fact)].label);
}

/// TTFTs are drawn at these many places of the curve.
constexpr std::size_t curve_points = 200;
/// Points of a series that a page can bear.
constexpr std::size_t most_points = 500;

}  // namespace

void draw_distribution(const figure_cells& cells, const place& panel, drawn_figure& out) {
    const figure_spec& figure = cells.figure();
    const std::vector<std::size_t> rest = cells.others({});
    constexpr std::array percentiles{10.0, 25.0, 50.0, 75.0, 90.0, 95.0, 99.0};
    page_plot plot;
    plot.kind = plot_kind::steps;
    plot.title = titled(cells, panel);
    plot.x = {"TTFT, s", figure.log, false};
    plot.y = {"requests", false, true};
    page_table table;
    table.title = plot.title;
    table.groups = {
        {"", {"run"}}, {"TTFT, s, at percentile", {}}, {"", {"longest", "finished, %"}}};
    for (const double p : percentiles) {
        table.groups[1].columns.push_back(fmt::format("{:g}", p));
    }
    for (const place& s : cells.over(rest, panel)) {
        const run_figures& run = cells.at(s);
        plot_series curve{cells.phrase(s, rest), {}};
        curve.look = cells.dashed(s) ? series_look::dashed : series_look::solid;
        const std::vector<double> sorted(run.ttft.begin(), run.ttft.end());
        // Requests without a first token keep the curve below one.
        double arrived = 0;
        for (const measured& seed : run.seeds) {
            arrived += seed[static_cast<std::size_t>(measure_id::arrived)];
        }
        const double share = arrived > 0 ? static_cast<double>(sorted.size()) / arrived : 0;
        for (std::size_t i = 0; i <= curve_points && !sorted.empty(); ++i) {
            const double at = static_cast<double>(i) / curve_points;
            curve.points.push_back({percentile(sorted, at * 100), at * share, ""});
        }
        std::vector<page_cell> row{{curve.name}};
        for (const double p : percentiles) {
            row.push_back({sorted.empty() ? "-" : fmt::format("{:.3f}", percentile(sorted, p))});
        }
        row.push_back({sorted.empty() ? "-" : fmt::format("{:.3f}", sorted.back())});
        row.push_back({fmt::format("{:.1f}", share * 100)});
        table.rows.push_back(std::move(row));
        plot.series.push_back(std::move(curve));
    }
    plot.table = std::move(table);
    out.plots.push_back(std::move(plot));
}

void draw_scatter(const figure_cells& cells, const place& panel, drawn_figure& out) {
    const figure_spec& figure = cells.figure();
    const std::vector<std::size_t> rest = cells.others({});
    page_plot plot;
    plot.kind = plot_kind::scatter;
    plot.title = titled(cells, panel);
    plot.x = {label_of(figure.fact_x), false, false};
    plot.y = {label_of(figure.fact_y), false, false};
    page_table table;
    table.title = plot.title;
    table.groups = {{"", {"run", "requests"}},
                    {label_of(figure.fact_y) + ", over " + label_of(figure.fact_x),
                     {"at 0", "per 1000", "R2"}}};
    for (const place& s : cells.over(rest, panel)) {
        const std::vector<point> all = points_of(cells.at(s), figure);
        const std::string name = cells.phrase(s, rest);
        const fitted_line line = fit(all);
        const auto colour = static_cast<int>(plot.series.size() / 2) + 3;
        plot_series points{name.empty() ? "requests" : name, {}, series_look::solid, true, colour};
        const std::size_t step = std::max<std::size_t>(1, all.size() / most_points);
        for (std::size_t i = 0; i < all.size(); i += step) {
            points.points.push_back({all[i].x, all[i].y, ""});
        }
        const std::string r2 = fmt::format("{:.5f}", line.r2);
        plot_series through{fmt::format("{}{}fit, R2 = {}", name, name.empty() ? "" : ", ", r2),
                            {},
                            series_look::dashed,
                            true,
                            colour,
                            true};
        if (!all.empty()) {
            const auto [least, most] = std::minmax_element(
                all.begin(), all.end(), [](const point& a, const point& b) { return a.x < b.x; });
            for (const double x : {least->x, most->x}) {
                through.points.push_back({x, line.intercept + line.slope * x, ""});
            }
        }
        table.rows.push_back({{points.name},
                              {std::to_string(all.size())},
                              {fmt::format("{:.6f}", line.intercept)},
                              {fmt::format("{:.6f}", line.slope * 1000)},
                              {r2}});
        plot.series.push_back(std::move(points));
        plot.series.push_back(std::move(through));
    }
    plot.table = std::move(table);
    out.plots.push_back(std::move(plot));
}

}  // namespace sluice::experiment
