// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <utility>

#include <sluice/base/status.hpp>

#include "serve.hpp"

namespace sluice::experiment {
namespace {

/// As many intervals as there are between the arrivals; 0 if all are at once.
double arrival_rate(const load& l) {
    const std::size_t n = l.requests.size();
    const double span = n > 1 ? l.requests.back().arrival_s - l.requests.front().arrival_s : 0;
    return span > 0 ? static_cast<double>(n - 1) / span : 0;
}

/// Seconds in which at least one request had arrived and not got to `end`.
double needed(std::span<const request_report> reports, time_point request_report::*end) {
    std::vector<std::pair<time_point, time_point>> spans;
    for (const request_report& r : reports) {
        if (r.*end != never) {
            spans.emplace_back(r.arrival, r.*end);
        }
    }
    std::sort(spans.begin(), spans.end());
    duration total{0};
    time_point until{};
    for (const auto& [from, to] : spans) {
        total += std::max(to, until) - std::max(from, until);
        until = std::max(to, until);
    }
    return to_seconds(total);
}

/// A stage's row, from what was predicted and taken for each request.
stage_result row(const char* name, const stage_use& use, std::span<const request_report> reports,
                 double stage_seconds::*stage) {
    stage_result out;
    out.name = name;
    out.busy = use.busy;
    out.operations = use.operations;
    out.bytes = use.bytes;
    double error = 0;
    for (const request_report& r : reports) {
        if (r.first_token != never) {
            out.predicted_s += r.predicted.*stage;
            out.actual_s += r.attained.*stage;
            error += std::abs(r.predicted.*stage - r.attained.*stage);
        }
    }
    out.relative_error = out.actual_s > 0 ? error / out.actual_s : 0;
    return out;
}

}  // namespace

time_point run_setting::deadline(std::size_t i) const noexcept {
    if (each[i].query_tokens == 0) {
        return never;
    }
    const load_request& r = requests.requests[i];
    return time_point{from_seconds(r.arrival_s) + from_seconds(r.deadline_multiple * each[i].t0_s)};
}

run_recorder::run_recorder(const run_setting& s, testbed& bed)
    : s_(s), bed_(bed), open_(s.requests.requests.size()) {
    out_.seed = s.seed;
    out_.reports.resize(open_);
    run_result& run = out_.result;
    run.config = to_string(s.options.config);
    run.policy = s.options.policy_spec();
    run.split = s.options.split;
    run.requests.reserve(open_);
    double total_t0 = 0;
    for (std::size_t i = 0; i < open_; ++i) {
        const load_request& r = s.requests.requests[i];
        request_result q;
        q.id = i;
        q.arrival_s = r.arrival_s;
        q.t0_s = s.each[i].t0_s;
        q.deadline_multiple = s.each[i].query_tokens == 0 ? 0 : r.deadline_multiple;
        q.prompt_tokens = r.prompt_tokens;
        q.total_blocks = static_cast<std::uint32_t>(
            (r.prompt_tokens + s.requests.block_tokens - 1) / s.requests.block_tokens);
        run.requests.push_back(q);
        total_t0 += q.t0_s;
    }
    const double own = arrival_rate(s.requests);
    out_.qps = s.options.qps.value_or(s.options.is_trace() ? own : default_qps);
    out_.qps = out_.qps > 0 ? out_.qps : own;
    out_.coupled_offered_load = open_ > 0 ? out_.qps * total_t0 / static_cast<double>(open_) : 0;
}

void run_recorder::computed(std::size_t i, const request_report& report) {
    request_result& q = out_.result.requests[i];
    q.ttft_s = to_seconds(report.first_token - report.arrival);
    q.loaded_blocks = report.loaded_blocks;
    out_.reports[i] = report;
    ended(i, request_outcome::computed);
}

void run_recorder::ended(std::size_t i, request_outcome outcome) {
    out_.result.requests[i].outcome = outcome;
    if (--open_ > 0) {
        return;
    }
    const double seconds = to_seconds(bed_.home().now() - time_point{});
    out_.result.duration_s = seconds;
    const auto share = [seconds](double busy) { return seconds > 0 ? busy / seconds : 0; };
    out_.fetch.busy = share(bed_.l3().stats().busy_seconds);
    out_.copy.busy = share(bed_.gpu().stats().busy_seconds);
    out_.compute.busy = share(bed_.compute_busy_seconds());
}

seed_result run_recorder::finish(const pipeline_stats& stats) {
    const auto fill = [this](stage_use& use, const stage_counters& c,
                             time_point request_report::*end) {
        use.operations = c.operations;
        use.bytes = c.bytes;
        use.needed_s = needed(out_.reports, end);
    };
    fill(out_.fetch, stats.fetch, &request_report::fetched);
    fill(out_.copy, stats.copy, &request_report::loaded);
    fill(out_.compute, stats.compute, &request_report::first_token);
    out_.compute.bytes = 0;
    run_result& run = out_.result;
    run.stages = {row("fetch", out_.fetch, out_.reports, &stage_seconds::fetch),
                  row("copy", out_.copy, out_.reports, &stage_seconds::copy),
                  row("compute", out_.compute, out_.reports, &stage_seconds::compute)};
    run.bytes_loaded = stats.fetch.bytes;
    run.bytes_deduplicated = stats.bytes_deduplicated;
    run.blocks_verified = stats.blocks_verified;
    for (const request_result& r : run.requests) {
        if (r.outcome == request_outcome::computed) {
            run.tokens_computed +=
                r.prompt_tokens - std::uint64_t{r.loaded_blocks} * s_.requests.block_tokens;
        }
    }
    out_.l1_idle_slot_seconds = stats.l1_idle_slot_seconds;
    out_.block_operations = stats.fetch.operations + stats.copy.operations +
                            stats.copy_out.operations + stats.put.operations;
    return std::move(out_);
}

// ---- costs

informed_cost::change::change(informed_cost& o, load_coefficients f) noexcept
    : timer([](timer& t) noexcept {
          auto& self = static_cast<change&>(t);
          self.owner.told_->set_load(stage_id::fetch, self.fetch);
      }),
      owner(o),
      fetch(f) {}

informed_cost::informed_cost(std::unique_ptr<linear_cost_model> model, loop& home) noexcept
    : home_(home), model_(std::move(model)), told_(model_.get()) {}

absl::StatusOr<std::unique_ptr<informed_cost>> informed_cost::create(const run_setting& s,
                                                                     loop& home) {
    linear_cost_options options;
    options.refit = s.options.cost == cost_source::refit;
    const std::uint64_t block_bytes = s.model.kv_bytes_per_token() * s.requests.block_tokens;
    auto model = profiled_cost_model(s.hardware, block_bytes, options);
    SLUICE_RETURN_IF_ERROR(model.status());
    std::unique_ptr<informed_cost> out(new informed_cost(*std::move(model), home));
    if (s.options.cost != cost_source::knows) {
        return out;
    }
    for (const sim::rate_change& step : s.drift) {
        hardware_profile then = s.hardware;
        then.link.rate *= step.factor;
        auto known = profiled_cost_model(then, block_bytes, options);
        SLUICE_RETURN_IF_ERROR(known.status());
        out->changes_.push_back(std::make_unique<change>(*out, (*known)->load(stage_id::fetch)));
        home.arm(*out->changes_.back(), step.at);
    }
    return out;
}

informed_cost::~informed_cost() {
    for (const std::unique_ptr<change>& c : changes_) {
        home_.disarm(*c);
    }
}

}  // namespace sluice::experiment
