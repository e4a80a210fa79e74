// SPDX-License-Identifier: Apache-2.0
#include <sluice/observe/json_report.hpp>

#include <optional>

#include <nlohmann/json.hpp>

namespace sluice {
namespace {

using json = nlohmann::ordered_json;

json or_null(std::optional<double> value) { return value ? json(*value) : json(nullptr); }

json stages_of(const run_result& run) {
    json out = json::array();
    for (const stage_result& s : run.stages) {
        out.push_back({{"name", s.name},
                       {"busy", s.busy},
                       {"operations", s.operations},
                       {"bytes", s.bytes},
                       {"predicted_s", s.predicted_s},
                       {"actual_s", s.actual_s},
                       {"relative_error", s.relative_error}});
    }
    return out;
}

json requests_of(const run_result& run) {
    json out = json::array();
    for (const request_result& r : run.requests) {
        const bool has_token = r.outcome == request_outcome::computed;
        out.push_back({{"id", r.id},
                       {"arrival_s", r.arrival_s},
                       {"ttft_s", has_token ? json(r.ttft_s) : json(nullptr)},
                       {"deadline_multiple", r.deadline_multiple},
                       {"t0_s", r.t0_s},
                       {"made_deadline", r.made_deadline()},
                       {"prompt_tokens", r.prompt_tokens},
                       {"loaded_blocks", r.loaded_blocks},
                       {"total_blocks", r.total_blocks},
                       {"outcome", to_string(r.outcome)}});
    }
    return out;
}

json row_of(const run_result& run, const json_report_options& options) {
    const ttft_summary ttft = summarize_ttft(run);
    json row{{"config", run.config},   {"policy", run.policy},
             {"split", run.split},     {"requests", run.requests.size()},
             {"computed", ttft.count}, {"duration_s", run.duration_s}};
    row["ttft_s"] = {{"mean", ttft.mean}, {"p50", ttft.p50}, {"p95", ttft.p95}, {"p99", ttft.p99}};
    row["slo_attainment"] = {{"2x", or_null(attainment(run, 2))},
                             {"4x", or_null(attainment(run, 4))},
                             {"8x", or_null(attainment(run, 8))},
                             {"all", or_null(attainment(run))}};
    row["busy"] = {
        {"fetch", run.busy("fetch")}, {"copy", run.busy("copy")}, {"compute", run.busy("compute")}};
    row["bytes_loaded"] = run.bytes_loaded;
    row["tokens_computed"] = run.tokens_computed;
    row["bytes_deduplicated"] = run.bytes_deduplicated;
    row["blocks_verified"] = run.blocks_verified;
    row["logits_compared"] = run.logits_compared;
    row["logits_mismatched"] = run.logits_mismatched;
    row["stages"] = stages_of(run);
    if (options.requests) {
        row["request_results"] = requests_of(run);
    }
    return row;
}

}  // namespace

std::string json_report(const experiment_result& experiment, json_report_options options) {
    json facts = json::object();
    for (const result_fact& fact : experiment.facts) {
        facts[fact.name] = fact.value;
    }
    json out{{"title", experiment.title}, {"facts", std::move(facts)}};
    out["notes"] = experiment.notes;
    out["coupled_offered_load"] = experiment.coupled_offered_load;
    out["rows"] = json::array();
    for (const run_result& run : experiment.rows) {
        out["rows"].push_back(row_of(run, options));
    }
    // Names come from files and plugins: bytes that are not UTF-8 are replaced, not fatal.
    return out.dump(options.indent, ' ', false, json::error_handler_t::replace) + '\n';
}

}  // namespace sluice
