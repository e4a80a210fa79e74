// SPDX-License-Identifier: Apache-2.0
#include <sluice/observe/report_page.hpp>

#include <charconv>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "report_assets.hpp"

namespace sluice {
namespace {

using json = nlohmann::ordered_json;

std::string escaped(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (const char c : text) {
        switch (c) {
        case '&': out += "&amp;"; break;
        case '<': out += "&lt;"; break;
        case '>': out += "&gt;"; break;
        case '"': out += "&quot;"; break;
        case '\'': out += "&#39;"; break;
        default: out += c;
        }
    }
    return out;
}

/// JSON that may stand inside a script element: '<' starts no tag, '&' no entity.
std::string embedded(const json& value) {
    const std::string plain = value.dump(-1, ' ', true, json::error_handler_t::replace);
    std::string out;
    out.reserve(plain.size());
    for (const char c : plain) {
        switch (c) {
        case '<': out += "\\u003c"; break;
        case '>': out += "\\u003e"; break;
        case '&': out += "\\u0026"; break;
        default: out += c;
        }
    }
    return out;
}

/// Six digits are more than a screen shows, and a third of the bytes.
json rounded(double value) {
    if (!std::isfinite(value)) {
        return nullptr;
    }
    const std::string text = fmt::format("{:.6g}", value);
    double out = 0;
    std::from_chars(text.data(), text.data() + text.size(), out);
    return out;
}

std::string_view name_of(plot_kind kind) {
    switch (kind) {
    case plot_kind::lines: return "lines";
    case plot_kind::steps: return "steps";
    case plot_kind::scatter: return "scatter";
    case plot_kind::bars: return "bars";
    case plot_kind::gantt: return "gantt";
    }
    return "lines";
}

json axis_json(const plot_axis& axis) {
    return {{"label", axis.label},
            {"log", axis.log},
            {"percent", axis.percent},
            {"from_zero", axis.from_zero}};
}

json series_json(const plot_series& series, std::size_t place) {
    json points = json::array();
    for (const plot_point& p : series.points) {
        if (!std::isfinite(p.x) || !std::isfinite(p.y)) {
            continue;
        }
        json point = json::array({rounded(p.x), rounded(p.y)});
        const bool between = std::isfinite(p.low) && std::isfinite(p.high);
        if (!p.note.empty() || between) {
            point.push_back(p.note);
        }
        if (between) {
            point.push_back(rounded(p.low));
            point.push_back(rounded(p.high));
        }
        points.push_back(std::move(point));
    }
    return {{"name", series.name},
            {"dashed", series.look == series_look::dashed},
            {"shown", series.shown},
            {"joined", series.joined},
            {"colour", series.colour < 0 ? static_cast<int>(place) : series.colour},
            {"points", std::move(points)}};
}

json gantt_json(const gantt_series& gantt) {
    json bars = json::array();
    for (const plot_bar& b : gantt.bars) {
        if (!std::isfinite(b.start) || !std::isfinite(b.end)) {
            continue;
        }
        json bar = json::array({b.lane, b.owner, rounded(b.start), rounded(b.end - b.start)});
        if (!b.note.empty()) {
            bar.push_back(b.note);
        }
        bars.push_back(std::move(bar));
    }
    return {{"name", gantt.name}, {"lanes", gantt.lanes}, {"bars", std::move(bars)}};
}

json plot_json(const page_plot& plot) {
    json out{{"kind", name_of(plot.kind)},
             {"title", plot.title},
             {"x", axis_json(plot.x)},
             {"y", axis_json(plot.y)},
             {"categories", plot.categories}};
    out["series"] = json::array();
    for (const plot_series& series : plot.series) {
        out["series"].push_back(series_json(series, out["series"].size()));
    }
    if (plot.kind == plot_kind::gantt) {
        out["gantts"] = json::array();
        for (const gantt_series& gantt : plot.gantts) {
            out["gantts"].push_back(gantt_json(gantt));
        }
        out["owner"] = plot.owner;
        out["first"] = plot.first_gantt;
        out["window"] = plot.window;
    }
    return out;
}

void add_table(std::string& out, const page_table& table) {
    std::string groups;
    std::string columns;
    bool named = false;
    for (const page_column_group& group : table.groups) {
        named = named || !group.name.empty();
        groups +=
            fmt::format("<th colspan=\"{}\">{}</th>", group.columns.size(), escaped(group.name));
        for (const std::string& column : group.columns) {
            columns += fmt::format("<th scope=\"col\">{}</th>", escaped(column));
        }
    }
    out += "<div class=\"wide\"><table>\n<thead>";
    if (named) {
        out += fmt::format("<tr class=\"groups\">{}</tr>\n", groups);
    }
    out += fmt::format("<tr>{}</tr></thead>\n<tbody>\n", columns);
    for (const auto& row : table.rows) {
        out += "<tr>";
        for (const page_cell& cell : row) {
            out += fmt::format("<td{}>{}</td>", cell.best ? " class=\"best\"" : "",
                               escaped(cell.text));
        }
        out += "</tr>\n";
    }
    out += "</tbody></table></div>\n";
    if (!table.caption.empty()) {
        out += fmt::format("<p class=\"caption\">{}</p>\n", escaped(table.caption));
    }
}

void add_table_section(std::string& out, const page_table& table) {
    out += "<section>\n";
    if (!table.title.empty()) {
        out += fmt::format("<h2>{}</h2>\n", escaped(table.title));
    }
    add_table(out, table);
    out += "</section>\n";
}

void add_plot_section(std::string& out, const page_plot& plot, std::size_t place) {
    out += fmt::format("<section>\n<h2>{}</h2>\n", escaped(plot.title));
    if (!plot.caption.empty()) {
        out += fmt::format("<p class=\"caption\">{}</p>\n", escaped(plot.caption));
    }
    out += fmt::format("<div data-plot=\"{}\"></div>\n", place);
    if (plot.table) {
        out += "<details><summary>Figures</summary>\n";
        add_table(out, *plot.table);
        out += "</details>\n";
    }
    out += "</section>\n";
}

void add_description(std::string& out, const report_page& page) {
    if (page.facts.empty() && page.notes.empty()) {
        return;
    }
    out += "<section>\n<dl>\n";
    for (const result_fact& fact : page.facts) {
        out += fmt::format("<dt>{}</dt><dd>{}</dd>\n", escaped(fact.name), escaped(fact.value));
    }
    out += "</dl>\n";
    if (!page.notes.empty()) {
        out += "<div class=\"notes\">";
        for (const std::string& note : page.notes) {
            out += fmt::format("<p>{}</p>", escaped(note));
        }
        out += "</div>\n";
    }
    out += "</section>\n";
}

}  // namespace

std::string render_page(const report_page& page) {
    std::string out =
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n";
    out += fmt::format("<title>{}</title>\n<style>", escaped(page.title));
    out += detail::report_style();
    out += fmt::format("</style>\n</head>\n<body>\n<main>\n<h1>{}</h1>\n", escaped(page.title));
    if (!page.headlines.empty()) {
        out += "<div class=\"headlines\">\n";
        for (const page_headline& headline : page.headlines) {
            out += fmt::format("<div><b>{}</b><span>{}</span></div>\n", escaped(headline.value),
                               escaped(headline.label));
        }
        out += "</div>\n";
    }
    for (const page_table& table : page.tables) {
        add_table_section(out, table);
    }
    json plots = json::array();
    for (const page_plot& plot : page.plots) {
        add_plot_section(out, plot, plots.size());
        plots.push_back(plot_json(plot));
    }
    add_description(out, page);
    out +=
        "<noscript><p>The plots are drawn by a script inside this page; the tables need "
        "none.</p></noscript>\n</main>\n<script type=\"application/json\" id=\"data\">";
    out += embedded(json{{"plots", std::move(plots)}});
    out += "</script>\n<script>";
    out += detail::report_script();
    out += detail::report_gantt_script();
    out += "</script>\n</body>\n</html>\n";
    return out;
}

}  // namespace sluice
