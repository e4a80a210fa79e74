// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "sweep_draw_parts.hpp"

namespace sluice::experiment {
namespace {

using place = figure_cells::place;

plot_axis axis_of(const shown_measure& shown, bool log) {
    const measure_unit unit = shown.unit();
    const bool percent =
        unit == measure_unit::share || unit == measure_unit::change || unit == measure_unit::points;
    return {shown.title(), log && !percent, percent};
}

plot_point point_of(double x, estimate y, measure_unit unit) {
    const double half = y.ci95.value_or(std::numeric_limits<double>::quiet_NaN());
    plot_point out{x, y.mean, "", y.mean - half, y.mean + half};
    if (unit != measure_unit::change && unit != measure_unit::points) {
        out.low = std::max(out.low, std::min(out.y, 0.0));
    }
    if (unit == measure_unit::share) {
        out.high = std::min(out.high, 1.0);
    }
    return out;
}

std::string spaced(std::string text) {
    std::replace(text.begin(), text.end(), '_', ' ');
    return text;
}

/// What the numbers along an axis are.
std::string axis_label(std::string_view key) {
    const measure_info* measure = find_measure(key);
    return measure != nullptr ? std::string(measure->label) : spaced(std::string(key));
}

/// Cells of one unit, so that they can be written alike.
struct cell_block {
    struct cell {
        std::size_t row;
        std::size_t column;
        estimate value;
        bool best;
    };
    measure_unit unit;
    std::vector<cell> cells;

    void write(page_table& table) const {
        std::vector<estimate> values;
        for (const cell& c : cells) {
            values.push_back(c.value);
        }
        const int decimals = decimals_of(unit, values);
        for (const cell& c : cells) {
            auto& row = table.rows[c.row];
            row.resize(std::max(row.size(), c.column + 1));
            row[c.column] = {text_of(c.value, unit, decimals), c.best};
        }
    }
};

/// What stands left of the figures when a row is a load: the same load in its other measures.
std::vector<shown_measure> loads_beside(const figure_spec& figure) {
    const std::string& key = figure.axes[figure.x].key;
    std::vector<shown_measure> out;
    if (key != "qps" && key != "offered_load" && key != "bottleneck") {
        return out;
    }
    for (const measure_id id :
         {measure_id::offered_load, measure_id::bottleneck, measure_id::qps}) {
        if (info_of(id).name != key) {
            out.push_back({id, std::string(info_of(id).name), ""});
        }
    }
    return out;
}

/// One measure, a row for each value of x, a column for each series.
page_table table_of_lines(const figure_cells& cells, const place& panel,
                          const std::vector<place>& series, const shown_measure& shown) {
    const figure_spec& figure = cells.figure();
    const sweep_axis& x = figure.axes[figure.x];
    const std::vector<shown_measure> beside = loads_beside(figure);
    page_table table;
    table.title = titled(cells, panel);
    table.groups = {{"", {spaced(x.key)}}, {shown.title(), {}}};
    for (const shown_measure& load : beside) {
        table.groups[0].columns.push_back(spaced(load.label));
    }
    std::vector<cell_block> blocks;
    for (const shown_measure& load : beside) {
        blocks.push_back({load.unit(), {}});
    }
    blocks.push_back({shown.unit(), {}});
    for (const place& s : series) {
        table.groups[1].columns.push_back(cells.phrase(s, cells.others({figure.x})));
    }
    for (std::size_t i = 0; i < x.values.size(); ++i) {
        table.rows.push_back({{x.values[i]}});
        for (std::size_t b = 0; b < beside.size(); ++b) {
            place p = series.front();
            p[figure.x] = i;
            blocks[b].cells.push_back({i, 1 + b, {cells.value(p, beside[b]).mean, {}}, false});
        }
        for (std::size_t s = 0; s < series.size(); ++s) {
            place p = series[s];
            p[figure.x] = i;
            blocks.back().cells.push_back(
                {i, 1 + beside.size() + s, cells.value(p, shown), is_best(cells, p, shown)});
        }
    }
    for (const cell_block& block : blocks) {
        block.write(table);
    }
    return table;
}

}  // namespace

void draw_lines(const figure_cells& cells, const place& panel, drawn_figure& out) {
    const figure_spec& figure = cells.figure();
    const sweep_axis& x = figure.axes[figure.x];
    const std::vector<std::size_t> rest = cells.others({figure.x});
    const std::vector<place> series = cells.over(rest, panel);
    const measure_info* where = find_measure(figure.x_measure);
    for (const shown_measure& shown : figure.shown) {
        page_plot plot;
        plot.title = titled(cells, panel);
        if (figure.shown.size() > 1) {
            plot.title += ": " + shown.name();
        }
        plot.x = {axis_label(where != nullptr ? where->name : x.key), false, false, false};
        plot.y = axis_of(shown, figure.log);
        for (const place& s : series) {
            plot_series line{cells.phrase(s, rest), {}};
            line.look = cells.dashed(s) ? series_look::dashed : series_look::solid;
            for (place p : cells.over({figure.x}, s)) {
                const double at = where != nullptr ? cells.value(p, {where->id, "", ""}).mean
                                                   : x.numbers[p[figure.x]];
                line.points.push_back(point_of(at, cells.value(p, shown), shown.unit()));
            }
            plot.series.push_back(std::move(line));
        }
        plot.table = table_of_lines(cells, panel, series, shown);
        out.plots.push_back(std::move(plot));
    }
}

void draw_bars(const figure_cells& cells, const place& panel, drawn_figure& out) {
    const figure_spec& figure = cells.figure();
    const sweep_axis& x = figure.axes[figure.x];
    const std::vector<std::size_t> rest = cells.others({figure.x});
    page_plot plot;
    plot.kind = plot_kind::bars;
    plot.title = titled(cells, panel);
    plot.categories = x.values;
    plot.y = axis_of(figure.shown.front(), false);
    page_table table;
    table.title = plot.title;
    table.groups = {{"", {spaced(x.key)}}};
    table.rows.resize(x.values.size());
    for (std::size_t i = 0; i < x.values.size(); ++i) {
        table.rows[i] = {{x.values[i]}};
    }
    std::size_t column = 1;
    for (const place& s : cells.over(rest, panel)) {
        const std::string name = cells.phrase(s, rest);
        table.groups.push_back({name, {}});
        for (const shown_measure& shown : figure.shown) {
            const bool many = figure.shown.size() > 1;
            plot_series bars{many && !name.empty() ? name + ", " + shown.title()
                             : name.empty()        ? shown.title()
                                                   : name,
                             {}};
            cell_block block{shown.unit(), {}};
            for (const place& p : cells.over({figure.x}, s)) {
                const estimate value = cells.value(p, shown);
                bars.points.push_back(
                    point_of(static_cast<double>(p[figure.x]), value, shown.unit()));
                block.cells.push_back({p[figure.x], column, value, is_best(cells, p, shown)});
            }
            table.groups.back().columns.push_back(shown.title());
            block.write(table);
            plot.series.push_back(std::move(bars));
            ++column;
        }
    }
    plot.table = std::move(table);
    out.plots.push_back(std::move(plot));
}

void draw_table(const figure_cells& cells, const place& panel, drawn_figure& out) {
    const figure_spec& figure = cells.figure();
    std::vector<std::size_t> across;
    if (figure.across != figure_spec::no_axis) {
        across.push_back(figure.across);
    }
    const std::vector<std::size_t> down = cells.others(across);
    const std::vector<place> rows = cells.over(down, panel);
    page_table table;
    table.title = titled(cells, panel);
    std::string name;
    for (const std::size_t a : down) {
        name += (name.empty() ? "" : ", ") + spaced(figure.axes[a].key);
    }
    table.groups = {{"", {name}}};
    for (const place& p : rows) {
        table.rows.push_back({{cells.phrase(p, down)}});
    }
    std::size_t column = 1;
    for (const place& c : cells.over(across, panel)) {
        table.groups.push_back({cells.phrase(c, across), {}});
        for (const shown_measure& shown : figure.shown) {
            cell_block block{shown.unit(), {}};
            for (std::size_t r = 0; r < rows.size(); ++r) {
                place p = rows[r];
                if (!across.empty()) {
                    p[figure.across] = c[figure.across];
                }
                block.cells.push_back({r, column, cells.value(p, shown), is_best(cells, p, shown)});
            }
            table.groups.back().columns.push_back(shown.title());
            block.write(table);
            ++column;
        }
    }
    out.tables.push_back(std::move(table));
}

}  // namespace sluice::experiment
