// SPDX-License-Identifier: Apache-2.0
#include "demand_report.hpp"

#include <algorithm>
#include <map>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/observe/table.hpp>

namespace sluice::command {
namespace {

using json = nlohmann::ordered_json;
using demand::unit_id;

sample_figures figures_of(const demand::sample_set& s) {
    constexpr double half = 0.5;
    constexpr double late = 0.95;
    return {s.mean(), s.quantile(half), s.quantile(late),
            s.max(),  s.gittins(0),     s.gittins_artifact(0)};
}

std::string next_of(const demand::demand_model& model, unit_id unit) {
    std::string out;
    for (const demand::next_unit& n : model.next(unit)) {
        const std::string name = n.unit == demand::no_unit ? "end" : model.units()[n.unit].name;
        out += fmt::format("{}{} {:.3g}", out.empty() ? "" : ", ", name, n.probability);
    }
    return out;
}

/// A run that went the commonest way; of equally common ones that of the oldest run.
std::size_t commonest_way(const demand::demand_model& model) {
    std::map<std::vector<unit_id>, std::pair<std::size_t, std::size_t>> ways;  // runs, first
    for (std::size_t r = 0; r < model.size(); ++r) {
        std::vector<unit_id> way;
        for (const demand::unit_visit& v : model.run(r)) {
            way.push_back(v.unit);
        }
        ++ways.try_emplace(std::move(way), 0, r).first->second.first;
    }
    std::pair<std::size_t, std::size_t> best{0, 0};
    for (const auto& [way, found] : ways) {
        if (found.first > best.first || (found.first == best.first && found.second < best.second)) {
            best = found;
        }
    }
    return best.second;
}

std::vector<place_figures> places_of(const demand::demand_model& model) {
    constexpr std::size_t most_visits = 12;
    const std::span<const demand::unit_visit> run = model.run(commonest_way(model));
    std::vector<place_figures> out;
    std::string seen;
    std::vector<demand::run_ahead> ahead;
    demand::remaining_demand left;
    for (std::size_t at = 0; at < std::min(run.size(), most_visits); ++at) {
        demand::observation o;
        o.ended = run.first(at);
        o.current = run[at];
        model.condition(o, left);
        model.runs_ahead(o, ahead);
        const std::string& unit = model.units()[run[at].unit].name;
        out.push_back(
            {seen + unit + " begun", ahead.size(), left.service.mean(), model.explained(o)});
        seen = unit + ", ";
    }
    return out;
}

}  // namespace

demand_report report_of(const demand::demand_model& model) {
    demand_report out;
    out.application = model.application();
    out.runs = model.size();
    out.service = figures_of(model.service());
    out.path = figures_of(model.path());
    for (unit_id u = 0; u < model.units().size(); ++u) {
        unit_figures f;
        f.unit = model.units()[u].name;
        f.backend = model.units()[u].backend;
        double visits = 0;
        double calls = 0;
        for (std::size_t r = 0; r < model.size(); ++r) {
            for (const demand::unit_visit& v : model.run(r)) {
                if (v.unit == u) {
                    visits += 1;
                    calls += v.calls;
                    f.prompt_tokens += static_cast<double>(v.prompt_tokens);
                    f.completion_tokens += static_cast<double>(v.completion_tokens);
                }
            }
        }
        f.visits = visits / static_cast<double>(model.size());
        f.calls = visits > 0 ? calls / visits : 0;
        f.prompt_tokens = calls > 0 ? f.prompt_tokens / calls : 0;
        f.completion_tokens = calls > 0 ? f.completion_tokens / calls : 0;
        f.duration_s = model.duration(u).mean();
        f.next = next_of(model, u);
        out.units.push_back(std::move(f));
    }
    out.places = places_of(model);
    return out;
}

std::string demand_text(std::span<const demand_report> reports) {
    std::string out;
    for (const demand_report& r : reports) {
        out += fmt::format("{}{}: {} runs\n\n", out.empty() ? "" : "\n", r.application, r.runs);
        page_table totals;
        totals.groups = {{"", {"seconds", "mean", "p50", "p95", "max", "gittins", "artifact"}}};
        for (const auto& [name, f] : {std::pair("service", r.service), std::pair("path", r.path)}) {
            std::vector<page_cell> row{{name}};
            for (const double x : {f.mean, f.p50, f.p95, f.max, f.gittins, f.gittins_artifact}) {
                row.push_back({fmt::format("{:.2f}", x)});
            }
            totals.rows.push_back(std::move(row));
        }
        out += render_table(totals) + '\n';
        page_table units;
        units.groups = {
            {"",
             {"unit", "backend", "visits", "calls", "prompt", "completion", "duration s", "next"}}};
        for (const unit_figures& u : r.units) {
            units.rows.push_back({{u.unit},
                                  {u.backend},
                                  {fmt::format("{:.2f}", u.visits)},
                                  {fmt::format("{:.1f}", u.calls)},
                                  {fmt::format("{:.0f}", u.prompt_tokens)},
                                  {fmt::format("{:.0f}", u.completion_tokens)},
                                  {fmt::format("{:.2f}", u.duration_s)},
                                  {u.next}});
        }
        out += render_table(units) + '\n';
        page_table places;
        places.groups = {{"", {"seen", "runs like it", "left, mean s", "explained"}}};
        for (const place_figures& p : r.places) {
            places.rows.push_back({{p.seen},
                                   {fmt::format("{}", p.runs)},
                                   {fmt::format("{:.2f}", p.mean_s)},
                                   {fmt::format("{:.2f}", p.explained)}});
        }
        out += render_table(places);
    }
    return out;
}

std::string demand_json(std::span<const demand_report> reports) {
    json out = json::array();
    for (const demand_report& r : reports) {
        const auto figures = [](const sample_figures& f) {
            return json{{"mean", f.mean}, {"p50", f.p50},         {"p95", f.p95},
                        {"max", f.max},   {"gittins", f.gittins}, {"artifact", f.gittins_artifact}};
        };
        json one{{"application", r.application},
                 {"runs", r.runs},
                 {"service_s", figures(r.service)},
                 {"path_s", figures(r.path)}};
        one["units"] = json::array();
        for (const unit_figures& u : r.units) {
            one["units"].push_back({{"unit", u.unit},
                                    {"backend", u.backend},
                                    {"visits", u.visits},
                                    {"calls", u.calls},
                                    {"prompt_tokens", u.prompt_tokens},
                                    {"completion_tokens", u.completion_tokens},
                                    {"duration_s", u.duration_s},
                                    {"next", u.next}});
        }
        one["places"] = json::array();
        for (const place_figures& p : r.places) {
            one["places"].push_back({{"seen", p.seen},
                                     {"runs", p.runs},
                                     {"left_mean_s", p.mean_s},
                                     {"explained", p.explained}});
        }
        out.push_back(std::move(one));
    }
    return out.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
}

}  // namespace sluice::command
