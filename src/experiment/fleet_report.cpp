// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/observe/table.hpp>

#include "fleet.hpp"

namespace sluice::experiment {
namespace {

using json = nlohmann::ordered_json;

json view_json(const fleet_view& v) {
    return {{"requests", v.requests},
            {"mean_ttft_s", v.mean_ttft_s},
            {"slo_attainment", v.attainment},
            {"failovers", v.failovers},
            {"timeouts", v.timeouts},
            {"lost_blocks", v.lost_blocks},
            {"tokens_computed", v.tokens_computed}};
}

std::string_view name_of(sim::node_change what) {
    return what == sim::node_change::die ? "dies" : "hangs";
}

std::string view_text(const fleet_view& v) {
    return fmt::format("{:>6} {:>8} {:>6.1f} {:>9} {:>8} {:>7} {:>8}", v.requests,
                       format_seconds(v.mean_ttft_s), v.attainment * 100, v.failovers, v.timeouts,
                       v.lost_blocks, format_count(v.tokens_computed));
}

}  // namespace

std::string fleet_json(const fleet_result& r) {
    const fleet_options& o = r.options;
    json out{{"workload", o.run.workload},
             {"model", o.run.model},
             {"profile", o.run.profile},
             {"policy", o.run.policy_spec()},
             {"engines", o.engines},
             {"nodes", o.nodes},
             {"replicas", o.replicas},
             {"node_rate", o.node_rate},
             {"soft_timeout_s", o.soft_timeout_s},
             {"qps", r.qps},
             {"seed", o.run.first_seed},
             {"coupled_offered_load", r.coupled_offered_load}};
    out["fault"] = nullptr;
    if (o.fault) {
        out["fault"] = {{"what", name_of(o.fault->what)},
                        {"node", o.fault->node},
                        {"at_s", *r.fault_at_s},
                        {"recover_at_s", r.recover_at_s ? json(*r.recover_at_s) : json(nullptr)}};
    }
    out["all"] = view_json(r.all);
    out["watched"] = o.watched;
    out["one"] = view_json(r.one);
    out["busy"] = {{"fetch", r.link_busy}, {"copy", r.copy_busy}, {"compute", r.compute_busy}};
    out["node_busy"] = {
        {"least", r.node_busy_least}, {"mean", r.node_busy_mean}, {"most", r.node_busy_most}};
    out["failed"] = r.failed;
    out["periods"] = json::array();
    for (const fleet_period& p : r.periods) {
        out["periods"].push_back({{"from_s", p.from_s},
                                  {"to_s", p.to_s},
                                  {"one", view_json(p.one)},
                                  {"all", view_json(p.all)}});
    }
    out["block_operations"] = r.block_operations;
    out["wall_s"] = r.wall_s;
    return out.dump(2, ' ', false, json::error_handler_t::replace) + '\n';
}

std::string fleet_text(const fleet_result& r) {
    const fleet_options& o = r.options;
    std::string out = fmt::format(
        "{} engines, {} nodes of {:g} x an engine's link, {} replica{}; {} at {:g} requests/s an "
        "engine, {}\n",
        o.engines, o.nodes, o.node_rate, o.replicas, o.replicas == 1 ? "" : "s", o.run.workload,
        r.qps, o.run.policy_spec());
    out += fmt::format(
        "coupled offered load {:.2f}; busy: links {:.0f} %, nodes {:.0f} % ({:.0f} "
        "to {:.0f}), copies {:.0f} %, compute {:.0f} %\n",
        r.coupled_offered_load, r.link_busy * 100, r.node_busy_mean * 100, r.node_busy_least * 100,
        r.node_busy_most * 100, r.copy_busy * 100, r.compute_busy * 100);
    if (o.fault) {
        out += fmt::format("node {} {} at {}\n", o.fault->node, name_of(o.fault->what),
                           format_seconds(*r.fault_at_s));
    }
    constexpr std::string_view columns =
        "requ.     TTFT  met, % failovers timeouts    lost computed";
    const auto table = [&](const std::string& name, fleet_view fleet_period::*view,
                           const fleet_view& whole) {
        out += fmt::format("\n{:<18}{}\n", name, columns);
        for (const fleet_period& p : r.periods) {
            out += fmt::format("{:<17}{}\n", fmt::format("{:.0f} to {:.0f} s", p.from_s, p.to_s),
                               view_text(p.*view));
        }
        out += fmt::format("{:<17}{}\n", "in all", view_text(whole));
    };
    table(fmt::format("engine {}", o.watched), &fleet_period::one, r.one);
    table("all engines", &fleet_period::all, r.all);
    if (r.failed > 0) {
        out += fmt::format("\n{} requests had no answer.\n", r.failed);
    }
    out += fmt::format("\n{} block operations in {} of real time\n",
                       format_count(r.block_operations), format_seconds(r.wall_s));
    return out;
}

}  // namespace sluice::experiment
