// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <fmt/format.h>

#include <sluice/observe/table.hpp>

#include "sweep.hpp"
#include "sweep_text.hpp"

namespace sluice::experiment {

report_page sweep_page(const sweep_spec& sweep, const sweep_result& result) {
    report_page page;
    page.title = sweep.title;
    page.notes = sweep.notes;
    for (const figure_spec& figure : sweep.figures) {
        drawn_figure drawn = draw(figure, result.runs);
        if (figure.kind == figure_kind::table) {
            for (page_table& table : drawn.tables) {
                page.tables.push_back(std::move(table));
            }
        }
        for (page_plot& plot : drawn.plots) {
            plot.table->title.clear();
            plot.table->caption.clear();
            page.plots.push_back(std::move(plot));
        }
    }
    std::size_t seeds = 0;
    for (const run_figures& run : result.runs) {
        seeds += run.seeds.size();
    }
    page.facts = {{"runs", fmt::format("{}, {} with their seeds", result.runs.size(), seeds)},
                  {"intervals", "95 %, by Student's t over the seeds"}};
    return page;
}

std::string sweep_text(const sweep_spec& sweep, const sweep_result& result) {
    std::string out;
    for (const figure_spec& figure : sweep.figures) {
        const drawn_figure drawn = draw(figure, result.runs);
        out += fmt::format("{}{}: {}\n{}\n", out.empty() ? "" : "\n", figure.name, figure.title,
                           drawn.caption);
        for (const page_table& table : drawn.tables) {
            // The title says which panel it is, where there are several.
            out += '\n';
            if (table.title != figure.title) {
                out += table.title + '\n';
            }
            out += render_table(table);
        }
    }
    return out;
}

std::string sweep_markdown(const sweep_spec& sweep, const sweep_result& result) {
    std::string out;
    for (const figure_spec& figure : sweep.figures) {
        const drawn_figure drawn = draw(figure, result.runs);
        out += fmt::format("{}## {}\n\n{}\n", out.empty() ? "" : "\n", figure.title, drawn.caption);
        std::size_t number = 0;
        for (const page_table& table : drawn.tables) {
            out += '\n';
            if (table.title != figure.title) {
                out += table.title + "\n\n";
            }
            out += fmt::format("<!-- table {} {} -->\n", figure.name, ++number);
            out += markdown_table(table);
        }
    }
    return out;
}

}  // namespace sluice::experiment
