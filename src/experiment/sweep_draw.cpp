// SPDX-License-Identifier: Apache-2.0
#include "sweep_draw.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <set>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "sweep_draw_parts.hpp"

namespace sluice::experiment {
namespace {

constexpr std::array<request_fact_info, 5> all_facts{{
    {request_fact::context_tokens, "context_tokens", "context, tokens"},
    {request_fact::query_tokens, "query_tokens", "query, tokens"},
    {request_fact::load_s, "load_s", "load alone, s"},
    {request_fact::compute_s, "compute_s", "compute alone, s"},
    {request_fact::t0_s, "t0_s", "TTFT alone, s"},
}};

struct range {
    double low = std::numeric_limits<double>::infinity();
    double high = -std::numeric_limits<double>::infinity();
    void add(double v) {
        low = std::min(low, v);
        high = std::max(high, v);
    }
    [[nodiscard]] std::string text() const {
        const std::string a = fmt::format("{:.2f}", low);
        const std::string b = fmt::format("{:.2f}", high);
        return a == b ? a : a + " to " + b;
    }
};

std::string conditions_of(const figure_spec& figure, std::span<const run_figures> runs) {
    std::vector<std::vector<std::string>> what;  // for each condition those that there are
    std::set<std::size_t> seeds;
    std::set<std::size_t> requests;
    std::array<range, 3> loads;
    constexpr std::array ids{measure_id::offered_load, measure_id::bottleneck, measure_id::qps};
    for (const std::size_t r : figure.runs) {
        const run_figures& run = runs[r];
        what.resize(std::max(what.size(), run.conditions.size()));
        for (std::size_t i = 0; i < run.conditions.size(); ++i) {
            const std::string& one = run.conditions[i];
            if (!one.empty() && std::find(what[i].begin(), what[i].end(), one) == what[i].end()) {
                what[i].push_back(one);
            }
        }
        seeds.insert(run.seeds.size());
        const double each = estimate_of({measure_id::arrived, "", ""}, run.seeds, nullptr).mean;
        requests.insert(std::isfinite(each) ? static_cast<std::size_t>(each) : 0);
        for (std::size_t i = 0; i < ids.size(); ++i) {
            const double value = estimate_of({ids[i], "", ""}, run.seeds, nullptr).mean;
            if (std::isfinite(value)) {
                loads[i].add(value);
            }
        }
    }
    std::string out;
    for (const std::vector<std::string>& some : what) {
        if (!some.empty()) {
            out += fmt::format("{}{}", out.empty() ? "" : "; ", fmt::join(some, ", "));
        }
    }
    out += fmt::format(". {} requests, {} seeds", fmt::join(requests, " or "),
                       fmt::join(seeds, " or "));
    constexpr std::array<std::string_view, 3> names{"offered load of coupled",
                                                    "of the pipeline's bottleneck", "requests/s"};
    for (std::size_t i = 0; i < ids.size(); ++i) {
        if (loads[i].low <= loads[i].high) {
            out += fmt::format(", {} {}", names[i], loads[i].text());
        }
    }
    return out + ".";
}

}  // namespace

std::span<const request_fact_info> request_facts() noexcept { return all_facts; }

std::string titled(const figure_cells& cells, const figure_cells::place& panel) {
    const figure_spec& figure = cells.figure();
    return figure.panels.empty() ? figure.title
                                 : figure.title + ": " + cells.phrase(panel, figure.panels);
}

bool is_best(const figure_cells& cells, const figure_cells::place& p, const shown_measure& shown) {
    const int better = info_of(shown.id).better;
    const std::vector<sweep_axis>& axes = cells.figure().axes;
    const auto variants = static_cast<std::size_t>(
        std::find_if(axes.begin(), axes.end(),
                     [](const sweep_axis& a) { return a.key == "variant"; }) -
        axes.begin());
    if (better == 0 || variants == axes.size() || axes[variants].values.size() < 2) {
        return false;
    }
    const double own = cells.value(p, shown).mean;
    for (const figure_cells::place& other : cells.over({variants}, p)) {
        const double value = cells.value(other, shown).mean;
        if (!std::isfinite(own) || (std::isfinite(value) && (value - own) * better > 0)) {
            return false;
        }
    }
    return true;
}

drawn_figure draw(const figure_spec& figure, std::span<const run_figures> runs) {
    const figure_cells cells(figure, runs);
    drawn_figure out;
    out.caption =
        figure.caption + (figure.caption.empty() ? "" : " ") + conditions_of(figure, runs);
    for (const figure_cells::place& panel : cells.over(figure.panels, cells.origin())) {
        switch (figure.kind) {
        case figure_kind::lines: draw_lines(cells, panel, out); break;
        case figure_kind::bars: draw_bars(cells, panel, out); break;
        case figure_kind::distribution: draw_distribution(cells, panel, out); break;
        case figure_kind::scatter_fit: draw_scatter(cells, panel, out); break;
        case figure_kind::table: draw_table(cells, panel, out); break;
        }
    }
    for (page_plot& plot : out.plots) {
        plot.caption = out.caption;
        out.tables.push_back(*plot.table);
    }
    if (figure.kind == figure_kind::table) {
        for (page_table& table : out.tables) {
            table.caption = out.caption;
        }
    }
    return out;
}

}  // namespace sluice::experiment
