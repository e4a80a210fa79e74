// SPDX-License-Identifier: Apache-2.0
#include "case_report.hpp"

#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/observe/table.hpp>

namespace sluice::experiment {
namespace {

using json = nlohmann::ordered_json;

json or_null(std::optional<double> value) { return value ? json(*value) : json(nullptr); }

std::string seconds(const estimate& e) {
    return e.ci95 ? fmt::format("{} +- {}", format_seconds(e.mean), format_seconds(*e.ci95))
                  : format_seconds(e.mean);
}

std::string per_cent(const case_summary::slo& slo) {
    if (!slo.share) {
        return "-";
    }
    const std::string share = fmt::format("{:.1f}", *slo.share * 100);
    return slo.ci95 ? fmt::format("{} +- {:.1f} %", share, *slo.ci95 * 100) : share + " %";
}

}  // namespace

std::string case_json(const case_result& result, int indent) {
    const run_options& o = result.options;
    const case_summary& s = result.summary;
    json out{{"workload", o.workload},     {"model", o.model},
             {"profile", o.profile},       {"config", to_string(o.config)},
             {"policy", o.policy_spec()},  {"qps", s.qps},
             {"requests", s.requests},     {"seeds", result.seeds.size()},
             {"first_seed", o.first_seed}, {"coupled_offered_load", s.coupled_offered_load}};
    out["ttft_s"] = {{"mean", s.ttft.mean},
                     {"mean_ci95", or_null(s.ttft.ci95)},
                     {"p50", s.p50},
                     {"p95", s.p95},
                     {"p99", s.p99}};
    out["slo_attainment"] = {{"2x", or_null(s.slo_2x.share)},
                             {"4x", or_null(s.slo_4x.share)},
                             {"8x", or_null(s.slo_8x.share)},
                             {"all", or_null(s.slo_all.share)}};
    out["busy"] = {{"fetch", s.busy_fetch}, {"copy", s.busy_copy}, {"compute", s.busy_compute}};
    out["wall_s"] = s.wall_s;
    out["block_operations"] = s.block_operations;

    out["slo_attainment_ci95"] = {{"2x", or_null(s.slo_2x.ci95)},
                                  {"4x", or_null(s.slo_4x.ci95)},
                                  {"8x", or_null(s.slo_8x.ci95)},
                                  {"all", or_null(s.slo_all.ci95)}};
    out["ttft_bound_s"] = or_null(s.ttft_bound_s);
    out["l1_idle_slot_seconds"] = s.l1_idle_slot_seconds;
    out["rejected"] = s.rejected;
    out["failed"] = s.failed;
    out["late_last"] = o.late_last ? json(*o.late_last) : json(nullptr);
    out["reservation"] = to_string(o.reservation);
    out["split"] = o.split;
    out["hit_ratio"] = o.hit_ratio;
    out["drift"] = to_string(o.drift);
    out["cost"] = to_string(o.cost);
    if (o.is_trace()) {
        out["trace"] = o.trace;
        out["warm"] = o.warm == workload::warm_mode::full ? "full" : "trace";
    }
    // Names come from files and plugins: bytes that are not UTF-8 are replaced, not fatal.
    return out.dump(indent, ' ', false, json::error_handler_t::replace) + '\n';
}

std::string case_text(const case_result& result) {
    const run_options& o = result.options;
    const case_summary& s = result.summary;
    std::string out;
    const auto line = [&out](std::string_view name, const std::string& value) {
        out += fmt::format("{:<24}{}\n", name, value);
    };
    line("configuration",
         fmt::format("{} {}{}, reservation {}, costs {}", to_string(o.config), o.policy_spec(),
                     o.split ? " split" : "", to_string(o.reservation), to_string(o.cost)));
    line("workload", fmt::format("{}, {} requests x {} seeds from {}, {:.4g} requests/s{}",
                                 o.workload, s.requests, result.seeds.size(), o.first_seed, s.qps,
                                 o.hit_ratio < 1 ? fmt::format(", hit ratio {:g}", o.hit_ratio)
                                                 : std::string()));
    line("model, hardware",
         fmt::format("{}, {}{}", o.model, o.profile,
                     o.drift.empty() ? std::string() : ", drift " + to_string(o.drift)));
    line("coupled offered load", fmt::format("{:.3f}", s.coupled_offered_load));
    line("mean TTFT", seconds(s.ttft));
    if (s.ttft_bound_s) {
        line("  no schedule below", fmt::format("{}, {:+.1f} %", format_seconds(*s.ttft_bound_s),
                                                (s.ttft.mean / *s.ttft_bound_s - 1) * 100));
    }
    line("TTFT p50, p95, p99", fmt::format("{}, {}, {}", format_seconds(s.p50),
                                           format_seconds(s.p95), format_seconds(s.p99)));
    line("deadlines made: all", per_cent(s.slo_all));
    line("  2 x, 4 x, 8 x T0",
         fmt::format("{}, {}, {}", per_cent(s.slo_2x), per_cent(s.slo_4x), per_cent(s.slo_8x)));
    line("busy", fmt::format("fetch {:.1f} %, copy {:.1f} %, compute {:.1f} %", s.busy_fetch * 100,
                             s.busy_copy * 100, s.busy_compute * 100));
    if (s.l1_idle_slot_seconds > 0) {
        line("L1 before its use",
             fmt::format("{:.1f} slot-seconds a request", s.l1_idle_slot_seconds));
    }
    if (s.rejected > 0 || s.failed > 0) {
        line("without an answer",
             fmt::format("{} that can never fit, {} that failed", s.rejected, s.failed));
    }
    line("block operations",
         fmt::format("{} in {} of real time: {}/s", format_count(s.block_operations),
                     format_seconds(s.wall_s),
                     format_count(static_cast<std::uint64_t>(
                         s.wall_s > 0 ? static_cast<double>(s.block_operations) / s.wall_s : 0))));
    return out;
}

}  // namespace sluice::experiment
