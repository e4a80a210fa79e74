// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <map>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sluice/base/status.hpp>

#include "../json/object_reader.hpp"
#include "sweep.hpp"
#include "sweep_figure_file.hpp"

namespace sluice::experiment {
namespace {

/// Adds a figure and those of its runs that are new.
void add_figure(figure_spec figure, std::vector<sweep_draft> drafts,
                std::map<std::map<std::string, std::string>, std::size_t>& known,
                sweep_spec& sweep) {
    for (sweep_draft& draft : drafts) {
        const auto [it, fresh] = known.try_emplace(draft.settings, sweep.runs.size());
        if (fresh) {
            sweep.runs.push_back(draft.run);
        }
        sweep_run& run = sweep.runs[it->second];
        run.wants_ttft = run.wants_ttft || draft.run.wants_ttft;
        run.wants_requests = run.wants_requests || draft.run.wants_requests;
        if (run.figures.empty() || run.figures.back() != figure.name) {
            run.figures.push_back(figure.name);
        }
        figure.runs.push_back(it->second);
    }
    sweep.figures.push_back(std::move(figure));
}

absl::Status read_base(json::object_reader& top, sweep_settings& settings, sweep_draft& base) {
    const json::value* from = top.find("base");
    if (from == nullptr) {
        return absl::OkStatus();
    }
    if (!from->is_object()) {
        return from->error("key 'base' is not an object");
    }
    std::set<std::string_view> seen;
    for (const json::member& m : from->members()) {
        if (!seen.insert(setting_of(m.key)).second) {
            return m.what.error(fmt::format("key {}: the load is given twice", json::quote(m.key)));
        }
        SLUICE_RETURN_IF_ERROR(settings.set(base, m));
    }
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<sweep_spec> load_sweep(const std::string& path, std::span<const std::string> only) {
    auto file = json::parse_file(path);
    SLUICE_RETURN_IF_ERROR(file.status());
    json::object_reader top(*file);
    sweep_spec sweep;
    sweep.title = top.text("title");
    if (const json::value* notes = top.find("notes")) {
        for (const json::value& note : notes->items()) {
            sweep.notes.emplace_back(note.text().value_or(""));
        }
        if (!notes->is_array() ||
            std::find(sweep.notes.begin(), sweep.notes.end(), "") != sweep.notes.end()) {
            top.keep(notes->error("key 'notes' is not a list of texts"));
        }
    }
    sweep_settings settings(std::filesystem::path(path).parent_path());
    sweep_draft base;
    top.keep(read_base(top, settings, base));
    const json::value* figures = top.array("figures");
    SLUICE_RETURN_IF_ERROR(top.finish());
    if (figures->items().empty()) {
        return figures->error("key 'figures' is an empty list");
    }
    std::map<std::map<std::string, std::string>, std::size_t> known;
    std::set<std::string> names;
    for (const json::value& from : figures->items()) {
        std::vector<sweep_draft> drafts;
        auto figure = read_figure(from, base, settings, drafts);
        SLUICE_RETURN_IF_ERROR(figure.status());
        if (!names.insert(figure->name).second) {
            return from.error(
                fmt::format("key 'name' is {}, as of another figure", json::quote(figure->name)));
        }
        if (only.empty() || std::find(only.begin(), only.end(), figure->name) != only.end()) {
            add_figure(*std::move(figure), std::move(drafts), known, sweep);
        }
    }
    for (const std::string& wanted : only) {
        if (!names.contains(wanted)) {
            return absl::InvalidArgumentError(fmt::format(
                "{} has no figure {}, only {}", path, json::quote(wanted), fmt::join(names, ", ")));
        }
    }
    return sweep;
}

}  // namespace sluice::experiment
