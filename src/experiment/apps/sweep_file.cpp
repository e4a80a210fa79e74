// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <set>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sluice/base/status.hpp>

#include "../../json/object_reader.hpp"
#include "measures.hpp"
#include "sweep.hpp"

namespace sluice::experiment {
namespace {

absl::StatusOr<std::string> setting_text(const json::member& m) {
    if (const auto text = m.what.text()) {
        return std::string(*text);
    }
    if (const auto flag = m.what.flag()) {
        return std::string(*flag ? "on" : "off");
    }
    if (const auto number = m.what.number()) {
        return fmt::format("{}", *number);
    }
    return m.what.error(
        fmt::format("key {}: {} is no setting", json::quote(m.key), m.what.type_name()));
}

absl::Status read_settings(const json::value& from, app_sweep::part& out) {
    if (!from.is_object()) {
        return from.error("settings are an object");
    }
    for (const json::member& m : from.members()) {
        auto text = setting_text(m);
        SLUICE_RETURN_IF_ERROR(text.status());
        app_options probe;
        if (absl::Status fault = set_app_option(probe, m.key, *text); !fault.ok()) {
            return m.what.error(message_of(fault));
        }
        out.settings.emplace_back(m.key, *std::move(text));
    }
    return absl::OkStatus();
}

absl::Status read_part(json::object_reader& from, app_sweep::part& out) {
    out.label = from.text("label");
    if (const json::value* settings = from.find("settings")) {
        SLUICE_RETURN_IF_ERROR(read_settings(*settings, out));
    }
    return absl::OkStatus();
}

absl::Status read_parts(const json::value& list, std::string_view key,
                        std::vector<app_sweep::part>& out) {
    std::set<std::string> labels;
    for (const json::value& item : list.items()) {
        json::object_reader from(item);
        app_sweep::part part;
        from.keep(read_part(from, part));
        SLUICE_RETURN_IF_ERROR(from.finish());
        if (!labels.insert(part.label).second) {
            return item.error(
                fmt::format("key '{}': two are called {}", key, json::quote(part.label)));
        }
        out.push_back(std::move(part));
    }
    return out.empty() ? list.error(fmt::format("key '{}' is empty", key)) : absl::OkStatus();
}

bool has(const std::vector<app_sweep::part>& parts, std::string_view label) {
    return std::any_of(parts.begin(), parts.end(),
                       [label](const app_sweep::part& p) { return p.label == label; });
}

absl::Status read_paper(const json::value& from, const app_sweep::figure& figure,
                        app_sweep::column& out) {
    for (const json::member& panel : from.members()) {
        if (!has(figure.panels, panel.key)) {
            return panel.what.error(
                fmt::format("key 'paper': no panel is called {}", json::quote(panel.key)));
        }
        for (const json::member& row : panel.what.members()) {
            if (!has(figure.rows, row.key)) {
                return row.what.error(
                    fmt::format("key 'paper': no row is called {}", json::quote(row.key)));
            }
            SLUICE_RETURN_IF_ERROR(json::check_number(row.what, json::quote(row.key), -1e9, 1e9));
            out.paper[{panel.key, row.key}] = *row.what.number();
        }
    }
    return absl::OkStatus();
}

absl::Status read_column(const json::value& item, const app_sweep::figure& figure,
                         app_sweep::column& out) {
    constexpr std::array<std::string_view, 4> units{"s", "min", "ms", "%"};
    json::object_reader from(item);
    from.keep(read_part(from, out.what));
    out.measure = from.text_or("measure", "");
    out.application = from.text_or("application", "");
    out.against = from.text_or("against", "");
    out.unit = std::string(units[from.choice("unit", units)]);
    if (const json::value* paper = from.find("paper")) {
        from.keep(read_paper(*paper, figure, out));
    }
    SLUICE_RETURN_IF_ERROR(from.finish());
    if (out.measure.empty() == out.paper.empty()) {
        return item.error("a column has a 'measure' or what a 'paper' says");
    }
    if (!out.measure.empty() && find_app_measure(out.measure) == nullptr) {
        std::vector<std::string_view> names;
        for (const app_measure& m : all_app_measures()) {
            names.push_back(m.name);
        }
        return item.error(fmt::format("key 'measure' is {}, not one of {}",
                                      json::quote(out.measure), fmt::join(names, ", ")));
    }
    if (!out.application.empty() && out.measure != "act_mean") {
        return item.error("key 'application' is for the measure act_mean");
    }
    if (!out.against.empty() && !has(figure.rows, out.against)) {
        return item.error(
            fmt::format("key 'against': no row is called {}", json::quote(out.against)));
    }
    return absl::OkStatus();
}

absl::StatusOr<app_sweep::figure> read_figure(const json::value& item) {
    json::object_reader from(item);
    app_sweep::figure out;
    out.name = from.text("name");
    out.title = from.text("title");
    out.caption = from.text_or("caption", "");
    out.rows_are = from.text_or("rows_are", "order");
    if (const json::value* settings = from.find("settings")) {
        from.keep(read_settings(*settings, out.base));
    }
    if (const json::value* panels = from.find("panels")) {
        from.keep(read_parts(*panels, "panels", out.panels));
    } else {
        out.panels.emplace_back();
    }
    if (const json::value* rows = from.array("rows")) {
        from.keep(read_parts(*rows, "rows", out.rows));
    }
    const json::value* columns = from.array("columns");
    SLUICE_RETURN_IF_ERROR(from.finish());
    for (const json::value& c : columns->items()) {
        app_sweep::column column;
        SLUICE_RETURN_IF_ERROR(read_column(c, out, column));
        out.columns.push_back(std::move(column));
    }
    if (out.columns.empty()) {
        return columns->error("key 'columns' is empty");
    }
    return out;
}

}  // namespace

absl::StatusOr<app_sweep> load_app_sweep(const std::string& path,
                                         const std::vector<std::string>& only) {
    auto file = json::parse_file(path);
    SLUICE_RETURN_IF_ERROR(file.status());
    json::object_reader top(*file);
    app_sweep out;
    out.title = top.text("title");
    if (const json::value* notes = top.find("notes")) {
        for (const json::value& note : notes->items()) {
            out.notes.emplace_back(note.text().value_or(""));
        }
    }
    if (const json::value* base = top.find("settings")) {
        top.keep(read_settings(*base, out.base));
    }
    const json::value* figures = top.array("figures");
    SLUICE_RETURN_IF_ERROR(top.finish());
    std::set<std::string> names;
    for (const json::value& item : figures->items()) {
        auto figure = read_figure(item);
        SLUICE_RETURN_IF_ERROR(figure.status());
        if (!names.insert(figure->name).second) {
            return item.error(
                fmt::format("key 'name' is {}, as of another figure", json::quote(figure->name)));
        }
        if (only.empty() || std::find(only.begin(), only.end(), figure->name) != only.end()) {
            out.figures.push_back(*std::move(figure));
        }
    }
    for (const std::string& wanted : only) {
        if (!names.contains(wanted)) {
            return absl::InvalidArgumentError(fmt::format(
                "{} has no figure {}, only {}", path, json::quote(wanted), fmt::join(names, ", ")));
        }
    }
    return out;
}

absl::StatusOr<app_options> options_of(const app_sweep& sweep, const app_sweep::figure& figure,
                                       const app_sweep::part& panel, const app_sweep::part& row,
                                       const app_sweep::column& column) {
    app_options out;
    for (const app_sweep::part* part : {&sweep.base, &figure.base, &panel, &row, &column.what}) {
        for (const auto& [name, text] : part->settings) {
            SLUICE_RETURN_IF_ERROR(set_app_option(out, name, text));
        }
    }
    return out;
}

}  // namespace sluice::experiment
