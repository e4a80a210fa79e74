// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include "serve.hpp"

namespace sluice::replay {

std::unique_ptr<linear_cost_model> setting::cost_model() const {
    auto out = std::make_unique<linear_cost_model>();
    out->set_load(stage_id::fetch, fetch);
    out->set_load(stage_id::copy, copy);
    out->set_compute(compute);
    return out;
}

absl::StatusOr<row_store> row_store::open(const setting& s) {
    if (s.warm == workload::warm_mode::full) {
        return row_store(s.l3.get(), nullptr);
    }
    absl::StatusOr<std::unique_ptr<l3_store>> own = open_l3(s.where, s.l3_bytes, s.link_rate);
    if (!own.ok()) {
        return own.status();
    }
    return row_store(nullptr, std::move(*own));
}

row_recorder::row_recorder(const setting& s, std::string config, std::string policy, bool split)
    : s_(s) {
    out_.config = std::move(config);
    out_.policy = std::move(policy);
    out_.split = split;
    for (const workload::workload_request& r : s.load.requests) {
        request_result q;
        q.id = r.id;
        q.arrival_s = r.arrival_s;
        if (!s.t0_s.empty()) {
            q.t0_s = s.t0_s[r.id];
            q.deadline_multiple = r.deadline_multiple;
        }
        q.prompt_tokens = r.tokens.size();
        q.total_blocks = r.total_blocks;
        out_.requests.push_back(q);
    }
}

void row_recorder::stage_sum::add(double predicted_s, double actual_s) noexcept {
    predicted += predicted_s;
    actual += actual_s;
    error += std::abs(predicted_s - actual_s);
}

stage_result row_recorder::stage_sum::over(const char* name, const stage_counters& c,
                                           double seconds) const {
    stage_result out;
    out.name = name;
    out.busy = seconds > 0 ? std::min(1.0, to_seconds(c.busy) / seconds) : 0;
    out.operations = c.operations;
    out.bytes = c.bytes;
    out.predicted_s = predicted;
    out.actual_s = actual;
    out.relative_error = actual > 0 ? error / actual : 0;
    return out;
}

void row_recorder::add_span(const char* stage, std::size_t index, time_point from, time_point to,
                            std::uint64_t bytes) {
    if (from != never && to != never && to > from) {
        out_.add_span({stage, out_.requests[index].id, to_seconds(from - start_),
                       to_seconds(to - start_), bytes});
    }
}

void row_recorder::computed(std::size_t index, const request_report& report, time_point now) {
    request_result& q = out_.requests[index];
    q.ttft_s = to_seconds(report.first_token - report.arrival);
    q.loaded_blocks = report.loaded_blocks;
    fetch_.add(report.predicted.fetch, report.attained.fetch);
    copy_.add(report.predicted.copy, report.attained.copy);
    compute_.add(report.predicted.compute, report.attained.compute);
    add_span("fetch", index, report.first_fetch, report.fetched, report.bytes_fetched);
    add_span("copy", index, report.first_copy, report.loaded,
             report.loaded_blocks * s_.block_bytes());
    add_span("compute", index, report.compute_begin, report.first_token, 0);
    ended(index, request_outcome::computed, now);
}

void row_recorder::ended(std::size_t index, request_outcome outcome, time_point now) {
    out_.requests[index].outcome = outcome;
    last_ = std::max(last_, now);
}

run_result row_recorder::finish(const pipeline_stats& stats, const engine& e) {
    out_.duration_s = to_seconds(last_ - start_);
    out_.stages = {fetch_.over("fetch", stats.fetch, out_.duration_s),
                   copy_.over("copy", stats.copy, out_.duration_s),
                   compute_.over("compute", stats.compute, out_.duration_s)};
    out_.stages[2].bytes = 0;
    out_.bytes_loaded = stats.fetch.bytes;
    out_.tokens_computed = e.tokens_computed();
    out_.bytes_deduplicated = stats.bytes_deduplicated;
    out_.blocks_verified = stats.blocks_verified;
    out_.logits_compared = e.logits_compared();
    out_.logits_mismatched = e.logits_mismatched();
    return std::move(out_);
}

}  // namespace sluice::replay
