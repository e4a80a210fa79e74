// SPDX-License-Identifier: Apache-2.0
#include "summary.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/observe/result.hpp>

#include "../parallel.hpp"
#include "measures.hpp"

namespace sluice::experiment {
namespace {

template <class Wanted>
app_case::act act_of(const std::vector<app_run>& runs, const Wanted& wanted) {
    app_case::act out;
    std::vector<double> means;
    std::vector<double> all;
    for (const app_run& r : runs) {
        std::vector<double> here;
        for (const app_run::task& t : r.tasks) {
            if (wanted(t)) {
                here.push_back(t.completion_s);
            }
        }
        if (!here.empty()) {
            means.push_back(mean(here));
        }
        all.insert(all.end(), here.begin(), here.end());
    }
    if (all.empty()) {
        return out;
    }
    std::sort(all.begin(), all.end());
    out.mean = estimate_of(means);
    out.p50 = quantile_of(all, 0.5);
    out.p90 = quantile_of(all, 0.9);
    out.p95 = quantile_of(all, 0.95);
    out.p99 = quantile_of(all, 0.99);
    return out;
}

std::optional<estimate> satisfaction(const std::vector<app_run>& runs, double multiple) {
    std::vector<double> shares;
    for (const app_run& r : runs) {
        if (const double share = made_deadlines(r, multiple); !std::isnan(share)) {
            shares.push_back(share);
        }
    }
    return shares.empty() ? std::nullopt : std::optional(estimate_of(shares));
}

}  // namespace

absl::StatusOr<app_run> run_split(const app_options& options, std::uint64_t seed,
                                  const app_inputs& in) {
    if (options.prewarm == app_prewarm::hermes && options.cache == cache_use::prewarm) {
        return absl::InvalidArgumentError(
            "prewarm is hermes and cache is prewarm: one at a time, a tracker has one observer");
    }
    if (options.prewarm != app_prewarm::none && !options.cold_starts) {
        return absl::InvalidArgumentError(
            "prewarm: nothing has to be started; set cold-starts, or leave prewarm at none");
    }
    std::vector<std::vector<const demand::run_record*>> served;
    demand::model_set models;
    demand::demand_options learning;
    learning.rates = rates_of(options, in.hardware, in.model);
    for (const app_mix::share& s : in.mix.shares) {
        split_runs halves = split_halves(in.corpus.runs.find(s.application)->second, seed);
        auto model = demand::demand_model::learn(s.application, halves.learned, learning);
        SLUICE_RETURN_IF_ERROR(annotate(model.status(), s.application));
        models.add(*std::move(model));
        served.push_back(std::move(halves.served));
    }
    draw_options o;
    o.seed = seed;
    o.intensity = options.intensity;
    o.tasks = options.tasks.value_or(in.mix.tasks_of(in.hardware.name));
    o.window_s = options.window_s.value_or(in.mix.window_s);
    o.deadline_share = options.deadlines ? (*options.deadlines ? 1 : 0) : in.mix.deadline_share;
    o.block_tokens = in.hardware.block_tokens;
    o.ideal = {in.hardware.iteration.prefill_per_token_s,
               in.hardware.iteration.decode.back().seconds};
    o.rates = learning.rates;
    o.far = options.load_share > 0;
    const app_draw draw = draw_apps(in.mix, served, o);
    auto run = serve_apps({options, in.mix, in.hardware, in.model, draw, models, seed});
    SLUICE_RETURN_IF_ERROR(annotate(run.status(), fmt::format("split {}", seed)));
    return run;
}

absl::StatusOr<app_case> run_apps(const app_options& options, app_input_cache& inputs,
                                  unsigned jobs, const std::function<void()>& split_done) {
    const auto in = inputs.get(options);
    SLUICE_RETURN_IF_ERROR(in.status());
    std::vector<app_run> runs(options.splits);
    SLUICE_RETURN_IF_ERROR(in_parallel(jobs, options.splits, split_done, [&](std::size_t i) {
        auto run = run_split(options, options.split_seed + i, **in);
        SLUICE_RETURN_IF_ERROR(run.status());
        runs[i] = *std::move(run);
        return absl::OkStatus();
    }));
    return summarize(options, std::move(runs));
}

app_case summarize(app_options options, std::vector<app_run> runs) {
    app_case out;
    out.options = std::move(options);
    out.runs = std::move(runs);
    out.act_s = act_of(out.runs, [](const app_run::task&) { return true; });
    for (const app_run& r : out.runs) {
        for (const app_run::task& t : r.tasks) {
            const auto [it, fresh] = out.by_application.try_emplace(t.application);
            if (fresh) {
                it->second = act_of(out.runs, [&](const app_run::task& other) {
                    return other.application == t.application;
                });
            }
        }
    }
    out.tight = satisfaction(out.runs, 1.2);
    out.modest = satisfaction(out.runs, 1.5);
    out.loose = satisfaction(out.runs, 2.0);
    out.all = satisfaction(out.runs, 0);
    const auto n = static_cast<double>(out.runs.size());
    double prompts = 0;
    double computed = 0;
    double fetched = 0;
    for (const app_run& r : out.runs) {
        for (std::size_t b = 0; b < app_backends; ++b) {
            out.busy[b] += r.busy[b] / n;
        }
        out.makespan_s += r.makespan_s / n;
        prompts += static_cast<double>(r.prompt_tokens);
        computed += static_cast<double>(r.computed_tokens);
        fetched += static_cast<double>(r.fetched_tokens);
        out.ttft_s += r.ttft_s / n;
        if (r.cold) {
            if (!out.cold) {
                out.cold.emplace();
            }
            out.cold->add(*r.cold);
        }
        out.wall_s += r.wall_s;
    }
    out.near_share = prompts > 0 ? 1 - (computed + fetched) / prompts : 0;
    out.cached_share = prompts > 0 ? 1 - computed / prompts : 0;
    return out;
}

}  // namespace sluice::experiment
