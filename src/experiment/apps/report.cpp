// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/observe/table.hpp>

#include "summary.hpp"

namespace sluice::experiment {
namespace {

using json = nlohmann::ordered_json;

json mean_of(const std::optional<estimate>& e) { return e ? json(e->mean) : json(nullptr); }
json ci_of(const std::optional<estimate>& e) {
    return e && e->ci95 ? json(*e->ci95) : json(nullptr);
}
json cold_json(const cold_start_counts& c) {
    return {{"uses", c.uses},
            {"warm", c.warm},
            {"hit_ratio", c.uses == 0
                              ? json(nullptr)
                              : json(static_cast<double>(c.warm) / static_cast<double>(c.uses))},
            {"waited_s", c.waited_s},
            {"wasted_s", c.wasted_s}};
}
json cold_json(const app_case& result) {
    json out{{"prewarm", prewarm_name(result.options.prewarm)}};
    for (std::size_t k = 0; k < cold_kinds; ++k) {
        out[std::string(to_string(static_cast<cold_kind>(k)))] = cold_json(result.cold->of[k]);
    }
    out["all"] = cold_json(result.cold->all());
    const demand::prewarmer_stats& p = result.cold->prewarmer;
    out["prewarmer"] = {{"started", p.started},
                        {"failed", p.failed},
                        {"cooled", p.cooled},
                        {"found_warm", p.found_warm},
                        {"found_warming", p.found_warming},
                        {"found_cold", p.found_cold},
                        {"withdrawn", p.withdrawn},
                        {"saved_s", p.saved_s},
                        {"wasted_s", p.wasted_s}};
    return out;
}
json act_json(const app_case::act& a) {
    return {{"mean", a.mean.mean}, {"mean_ci95", ci_of(a.mean)},
            {"p50", a.p50},        {"p90", a.p90},
            {"p95", a.p95},        {"p99", a.p99}};
}

}  // namespace

std::string app_case_json(const app_case& result, int indent) {
    const app_options& o = result.options;
    json out{{"policy", o.policy},       {"engine", o.engine}, {"mix", o.mix},
             {"intensity", o.intensity}, {"splits", o.splits}, {"split_seed", o.split_seed}};
    out["act_s"] = act_json(result.act_s);
    out["deadline_satisfaction"] = {{"tight", mean_of(result.tight)},
                                    {"modest", mean_of(result.modest)},
                                    {"loose", mean_of(result.loose)},
                                    {"all", mean_of(result.all)}};
    json busy;
    for (std::size_t b = 0; b + 1 < app_backends; ++b) {
        busy[std::string(to_string(static_cast<app_backend>(b)))] = result.busy[b];
    }
    out["backend_busy"] = busy;
    out["wall_s"] = result.wall_s;
    out["makespan_s"] = result.makespan_s;
    out["cached_share"] = result.cached_share;
    out["deadline_satisfaction_ci95"] = {{"tight", ci_of(result.tight)},
                                         {"modest", ci_of(result.modest)},
                                         {"loose", ci_of(result.loose)},
                                         {"all", ci_of(result.all)}};
    out["ttft_s"] = result.ttft_s;
    out["near_share"] = result.near_share;
    if (o.cache == cache_use::prewarm) {
        demand::prewarmer_stats all;
        for (const app_run& r : result.runs) {
            add_to(all, r.prewarmer);
        }
        out["prewarming"] = {{"started", all.started},
                             {"failed", all.failed},
                             {"cooled", all.cooled},
                             {"found_warm", all.found_warm},
                             {"found_warming", all.found_warming},
                             {"found_cold", all.found_cold},
                             {"withdrawn", all.withdrawn}};
    }
    if (result.cold) {
        out["cold_starts"] = cold_json(result);
    }
    json by;
    for (const auto& [name, a] : result.by_application) {
        by[name] = act_json(a);
    }
    out["by_application"] = by;
    return out.dump(indent, ' ', false, json::error_handler_t::replace) + '\n';
}

std::string app_case_text(const app_case& result) {
    const app_options& o = result.options;
    std::string out;
    const auto line = [&out](std::string_view name, const std::string& value) {
        out += fmt::format("{:<24}{}\n", name, value);
    };
    const auto seconds = [](const estimate& e) {
        return e.ci95 ? fmt::format("{} +- {}", format_seconds(e.mean), format_seconds(*e.ci95))
                      : format_seconds(e.mean);
    };
    const auto times = [&](const app_case::act& a) {
        return fmt::format("{}; p50 {}, p90 {}, p95 {}, p99 {}", seconds(a.mean),
                           format_seconds(a.p50), format_seconds(a.p90), format_seconds(a.p95),
                           format_seconds(a.p99));
    };
    line("policy, engine", fmt::format("{}, {}", o.policy, o.engine));
    line("mix", fmt::format("{} at intensity {:g}, {} splits from {}", o.mix, o.intensity, o.splits,
                            o.split_seed));
    line("completion time", times(result.act_s));
    for (const auto& [name, a] : result.by_application) {
        line("  " + name, times(a));
    }
    if (result.all) {
        const auto share = [](const std::optional<estimate>& e) {
            return e ? fmt::format("{:.1f}", e->mean * 100) : std::string("-");
        };
        line("deadlines made, %",
             fmt::format("tight {}, modest {}, loose {}, all {}", share(result.tight),
                         share(result.modest), share(result.loose), share(result.all)));
    }
    line("busy, %",
         fmt::format("llm {:.1f}, docker {:.1f}, dnn {:.1f}, search {:.1f}", result.busy[0] * 100,
                     result.busy[1] * 100, result.busy[2] * 100, result.busy[3] * 100));
    for (std::size_t k = 0; result.cold && k < cold_kinds; ++k) {
        const cold_start_counts& c = result.cold->of[k];
        if (c.uses > 0) {
            line(fmt::format("cold starts, {}", to_string(static_cast<cold_kind>(k))),
                 fmt::format("{} uses, {:.1f} % warm, waited {}, wasted {}", c.uses,
                             100 * static_cast<double>(c.warm) / static_cast<double>(c.uses),
                             format_seconds(c.waited_s), format_seconds(c.wasted_s)));
        }
    }
    line("makespan", format_seconds(result.makespan_s));
    line("prompt tokens cached", fmt::format("{:.1f} %", result.cached_share * 100));
    line("real time", format_seconds(result.wall_s));
    return out;
}

}  // namespace sluice::experiment
