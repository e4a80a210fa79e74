// SPDX-License-Identifier: Apache-2.0
#include "sweep_figure_file.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <optional>
#include <set>
#include <string>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sluice/base/status.hpp>

#include "../json/object_reader.hpp"

namespace sluice::experiment {
namespace {

constexpr std::size_t most_runs = 10'000;
constexpr std::array<std::string_view, 5> kind_names{"lines", "distribution", "bars", "scatter_fit",
                                                     "table"};
constexpr std::string_view variant_key = "variant";

bool is_baseline(std::string_view config) { return config == "coupled" || config == "async"; }

bool is_name(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    });
}

std::string spaced(std::string text) {
    std::replace(text.begin(), text.end(), '_', ' ');
    return text;
}

/// A figure while it is read: an axis has, for each of its values, the settings that make it.
struct axis_draft {
    sweep_axis axis;
    std::vector<std::vector<json::member>> settings;
};

class figure_reader {
 public:
    figure_reader(const json::value& from, const sweep_draft& base, sweep_settings& settings)
        : from_(from), reader_(from), start_(base), settings_(settings) {}

    /// \param found  gets each of its runs, in the order of `figure_spec::runs`
    absl::StatusOr<figure_spec> read(std::vector<sweep_draft>& found) {
        figure_.name = reader_.text("name");
        if (reader_.ok() && !is_name(figure_.name)) {
            reader_.keep(reader_.find("name")->error(fmt::format(
                "key 'name' is {}; a-z, 0-9 and _ are allowed", json::quote(figure_.name))));
        }
        figure_.title = reader_.text("title");
        figure_.caption = reader_.text_or("caption", "");
        figure_.kind = static_cast<figure_kind>(reader_.choice("kind", kind_names));
        if (reader_.ok()) {
            read_variants();
            read_grid();
            read_panels();
            read_kind();
        }
        SLUICE_RETURN_IF_ERROR(reader_.finish());
        for (const axis_draft& a : axes_) {
            figure_.axes.push_back(a.axis);
        }
        SLUICE_RETURN_IF_ERROR(expand(0, start_, "", found));
        return std::move(figure_);
    }

 private:
    void keep(absl::Status fault) { reader_.keep(std::move(fault)); }

    void read_variants() {
        const json::value* variants = reader_.find("variants");
        if (variants == nullptr) {
            return;
        }
        if (!variants->is_array() || variants->items().empty()) {
            return keep(variants->error("key 'variants' is not a list with something in it"));
        }
        axis_draft a;
        a.axis.key = variant_key;
        for (const json::value& v : variants->items()) {
            json::object_reader one(v);
            const std::string label = one.text("label");
            bool baseline = is_baseline(config_of(start_.settings));
            a.settings.emplace_back();
            sweep_draft trial = start_;
            for (const json::member& m : v.members()) {
                if (m.key == "label") {
                    continue;
                }
                (void)one.find(m.key);
                one.keep(settings_.set(trial, m));
                a.settings.back().push_back(m);
                set_by_variants_.insert(std::string(setting_of(m.key)));
                if (m.key == "config") {
                    baseline = is_baseline(m.what.text().value_or(""));
                }
            }
            if (std::find(a.axis.values.begin(), a.axis.values.end(), label) !=
                a.axis.values.end()) {
                one.keep(v.error(fmt::format("the label {} stands twice", json::quote(label))));
            }
            keep(one.finish());
            add_value(a.axis, label, label, std::numeric_limits<double>::quiet_NaN(), baseline);
        }
        axes_.push_back(std::move(a));
    }

    void read_grid() {
        const json::value* grid = reader_.find("grid");
        if (grid == nullptr) {
            return;
        }
        if (!grid->is_object()) {
            return keep(grid->error("key 'grid' is not an object"));
        }
        std::set<std::string_view> seen;
        for (const json::member& m : grid->members()) {
            if (set_by_variants_.contains(std::string(setting_of(m.key))) ||
                !seen.insert(setting_of(m.key)).second) {
                keep(m.what.error(fmt::format("key {} is set by another part of the figure too",
                                              json::quote(m.key))));
            }
            if (!m.what.is_array()) {
                keep(settings_.set(start_, m));
                continue;
            }
            if (m.what.items().empty()) {
                keep(m.what.error(fmt::format("key {} is an empty list", json::quote(m.key))));
            }
            axis_draft a;
            a.axis.key = m.key;
            for (const json::value& v : m.what.items()) {
                sweep_draft trial = start_;
                keep(settings_.set(trial, m.key, v));
                const std::string text = sweep_settings::text_of(v);
                if (std::find(a.axis.values.begin(), a.axis.values.end(), text) !=
                    a.axis.values.end()) {
                    keep(v.error(
                        fmt::format("{} stands twice in key {}", text, json::quote(m.key))));
                }
                const std::string name = spaced(m.key);
                const std::string phrase = v.flag()     ? (*v.flag() ? name : "no " + name)
                                           : v.number() ? name + ' ' + text
                                                        : text;
                add_value(a.axis, text, phrase,
                          v.number().value_or(std::numeric_limits<double>::quiet_NaN()),
                          m.key == "config" && is_baseline(text));
                a.settings.push_back({json::member{m.key, v.line(), v}});
            }
            axes_.push_back(std::move(a));
        }
    }

    static std::string_view config_of(const std::map<std::string, std::string>& settings) {
        const auto it = settings.find("config");
        return it == settings.end() ? std::string_view() : std::string_view(it->second);
    }

    static void add_value(sweep_axis& axis, std::string text, std::string phrase, double number,
                          bool dashed) {
        axis.values.push_back(std::move(text));
        axis.phrases.push_back(std::move(phrase));
        axis.numbers.push_back(number);
        axis.dashed.push_back(dashed);
    }

    std::optional<std::size_t> find_axis(std::string_view key) const {
        for (std::size_t a = 0; a < axes_.size(); ++a) {
            if (axes_[a].axis.key == key) {
                return a;
            }
        }
        return std::nullopt;
    }

    std::string axis_names() const {
        std::vector<std::string> out;
        for (const axis_draft& a : axes_) {
            out.push_back(a.axis.key);
        }
        return out.empty() ? "nothing" : fmt::format("{}", fmt::join(out, ", "));
    }

    /// The axis of that name, which nothing else has used.
    std::size_t use_axis(const json::value& at, std::string_view key, std::string_view name) {
        const std::optional<std::size_t> found = find_axis(name);
        if (!found) {
            keep(at.error(fmt::format("key {} is {}, which the figure does not vary; it varies {}",
                                      json::quote(key), json::quote(name), axis_names())));
            return 0;
        }
        if (!used_.insert(*found).second) {
            keep(at.error(fmt::format("key {} is {}, which has another use in the figure",
                                      json::quote(key), json::quote(name))));
        }
        return *found;
    }

    void read_panels() {
        const json::value* panels = reader_.find("panels");
        if (panels == nullptr) {
            return;
        }
        if (!panels->is_array()) {
            return keep(panels->error("key 'panels' is not a list"));
        }
        for (const json::value& p : panels->items()) {
            figure_.panels.push_back(use_axis(p, "panels", p.text().value_or("")));
        }
    }

    void read_kind() {
        switch (figure_.kind) {
        case figure_kind::lines:
            read_line_axis();
            read_shown();
            figure_.log = reader_.flag_or("log", false);
            break;
        case figure_kind::bars: {
            const std::string name = reader_.text_or("x", variant_key);
            const json::value* x = reader_.find("x");
            figure_.x = use_axis(x != nullptr ? *x : from_, "x", name);
            read_shown();
            check_one_unit();
            break;
        }
        case figure_kind::distribution: figure_.log = reader_.flag_or("log", false); break;
        case figure_kind::scatter_fit:
            figure_.fact_x = read_fact("x");
            figure_.fact_y = read_fact("y");
            break;
        case figure_kind::table:
            if (const json::value* across = reader_.find("across")) {
                figure_.across = use_axis(*across, "across", across->text().value_or(""));
            }
            read_shown();
            break;
        }
    }

    void read_line_axis() {
        const std::string name = reader_.text("x");
        const json::value* x = reader_.find("x");
        if (x == nullptr || name.empty()) {
            return;
        }
        // A load may stand for the load that is varied, in its own measure.
        std::optional<std::size_t> load;
        for (std::size_t a = 0; a < axes_.size(); ++a) {
            if (setting_of(axes_[a].axis.key) == "load") {
                load = a;
            }
        }
        if (!find_axis(name) && setting_of(name) == "load" && load) {
            figure_.x = use_axis(*x, "x", axes_[*load].axis.key);
            figure_.x_measure = name;
            return;
        }
        figure_.x = use_axis(*x, "x", name);
        if (reader_.ok() &&
            std::any_of(axes_[figure_.x].axis.numbers.begin(), axes_[figure_.x].axis.numbers.end(),
                        [](double v) { return std::isnan(v); })) {
            keep(x->error(fmt::format("key 'x' is {}, whose values are no numbers: take bars",
                                      json::quote(name))));
        }
    }

    request_fact read_fact(std::string_view key) {
        std::vector<std::string_view> names;
        for (const request_fact_info& info : request_facts()) {
            names.push_back(info.name);
        }
        return static_cast<request_fact>(reader_.choice(key, names));
    }

    void read_shown() {
        const json::value* shown = reader_.array("show");
        if (shown == nullptr) {
            return;
        }
        if (shown->items().empty()) {
            keep(shown->error("key 'show' is an empty list"));
        }
        for (const json::value& one : shown->items()) {
            shown_measure out;
            std::string name(one.text().value_or(""));
            if (!one.text()) {
                json::object_reader parts(one);
                name = parts.text("measure");
                out.label = parts.text_or("label", "");
                out.against = parts.text_or("against", "");
                keep(parts.finish());
            }
            const measure_info* info = find_measure(name);
            if (info == nullptr) {
                std::vector<std::string_view> names;
                for (const measure_info& m : measures()) {
                    names.push_back(m.name);
                }
                return keep(one.error(fmt::format("there is no measure {}; known: {}",
                                                  json::quote(name), fmt::join(names, ", "))));
            }
            out.id = info->id;
            const std::optional<std::size_t> variants = find_axis(variant_key);
            if (!out.against.empty() &&
                (!variants ||
                 std::find(axes_[*variants].axis.values.begin(), axes_[*variants].axis.values.end(),
                           out.against) == axes_[*variants].axis.values.end())) {
                keep(one.error(fmt::format("key 'against' is {}, the label of no variant",
                                           json::quote(out.against))));
            }
            figure_.shown.push_back(std::move(out));
        }
    }

    void check_one_unit() {
        for (const shown_measure& m : figure_.shown) {
            if (m.unit() != figure_.shown.front().unit()) {
                keep(reader_.find("show")->error(
                    fmt::format("bars have one unit: {} and {} do not go together",
                                figure_.shown.front().title(), m.title())));
            }
        }
    }

    /// All runs below `draft`, which has the settings of the axes before this one.
    absl::Status expand(std::size_t axis, const sweep_draft& draft, const std::string& name,
                        std::vector<sweep_draft>& found) {
        if (axis == axes_.size()) {
            if (found.size() >= most_runs) {
                return from_.error(fmt::format("figure {} has more than {} runs",
                                               json::quote(figure_.name), most_runs));
            }
            found.push_back(draft);
            sweep_run& run = found.back().run;
            run.name = fmt::format("figure '{}'{}{}", figure_.name, name.empty() ? "" : ": ", name);
            run.wants_ttft = figure_.kind == figure_kind::distribution;
            run.wants_requests = figure_.kind == figure_kind::scatter_fit;
            if (absl::Status s = settings_.check(run); !s.ok()) {
                return from_.error(fmt::format("{}: {}", run.name, message_of(s)));
            }
            return absl::OkStatus();
        }
        const axis_draft& a = axes_[axis];
        for (std::size_t i = 0; i < a.settings.size(); ++i) {
            sweep_draft next = draft;
            for (const json::member& m : a.settings[i]) {
                SLUICE_RETURN_IF_ERROR(settings_.set(next, m));
            }
            SLUICE_RETURN_IF_ERROR(expand(
                axis + 1, next, name + (name.empty() ? "" : ", ") + a.axis.phrases[i], found));
        }
        return absl::OkStatus();
    }

    const json::value& from_;
    json::object_reader reader_;
    sweep_draft start_;
    sweep_settings& settings_;
    figure_spec figure_;
    std::vector<axis_draft> axes_;
    std::set<std::string> set_by_variants_;
    std::set<std::size_t> used_;  // axes
};

}  // namespace

absl::StatusOr<figure_spec> read_figure(const json::value& from, const sweep_draft& base,
                                        sweep_settings& settings, std::vector<sweep_draft>& runs) {
    return figure_reader(from, base, settings).read(runs);
}

}  // namespace sluice::experiment
