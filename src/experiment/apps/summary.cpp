// SPDX-License-Identifier: Apache-2.0
#include "summary.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/observe/result.hpp>

#include "../parallel.hpp"

namespace sluice::experiment {
namespace {

double quantile(const std::vector<double>& sorted, double q) {
    return sorted[std::min(sorted.size() - 1,
                           static_cast<std::size_t>(q * static_cast<double>(sorted.size())))];
}

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
    out.p50 = quantile(all, 0.5);
    out.p90 = quantile(all, 0.9);
    out.p95 = quantile(all, 0.95);
    out.p99 = quantile(all, 0.99);
    return out;
}

std::optional<estimate> satisfaction(const std::vector<app_run>& runs, double multiple) {
    std::vector<double> shares;
    for (const app_run& r : runs) {
        double with = 0;
        double met = 0;
        for (const app_run::task& t : r.tasks) {
            if (t.deadline_multiple > 0 && (multiple == 0 || t.deadline_multiple == multiple)) {
                ++with;
                met += t.completion_s <= t.allowed_s ? 1 : 0;
            }
        }
        if (with > 0) {
            shares.push_back(met / with);
        }
    }
    return shares.empty() ? std::nullopt : std::optional(estimate_of(shares));
}

}  // namespace

absl::StatusOr<app_case> run_apps(const app_options& options, unsigned jobs,
                                  const std::function<void()>& split_done) {
    auto mix = load_mix(options.mix);
    SLUICE_RETURN_IF_ERROR(mix.status());
    auto any = load_profile(options.engine);
    SLUICE_RETURN_IF_ERROR(any.status());
    if (any->model.empty() || any->compute != compute_kind::iteration) {
        return absl::InvalidArgumentError(
            fmt::format("engine {}: applications need a profile with a 'model' and a compute of "
                        "kind iteration",
                        any->name));
    }
    auto model = load_kv_model(any->model);
    SLUICE_RETURN_IF_ERROR(model.status());
    auto hardware = any->for_model(*model);
    SLUICE_RETURN_IF_ERROR(hardware.status());
    auto corpus = app_corpus::read(options.runs, *mix);
    SLUICE_RETURN_IF_ERROR(corpus.status());

    app_case out;
    out.options = options;
    out.runs.resize(options.splits);
    SLUICE_RETURN_IF_ERROR(in_parallel(jobs, options.splits, split_done, [&](std::size_t i) {
        const std::uint64_t seed = options.split_seed + i;
        std::vector<std::vector<const demand::run_record*>> served;
        demand::model_set models;
        for (const app_mix::share& s : mix->shares) {
            split_runs halves = split_halves(corpus->runs.find(s.application)->second, seed);
            auto model = demand::demand_model::learn(s.application, halves.learned);
            SLUICE_RETURN_IF_ERROR(annotate(model.status(), s.application));
            models.add(*std::move(model));
            served.push_back(std::move(halves.served));
        }
        draw_options o;
        o.seed = seed;
        o.intensity = options.intensity;
        o.tasks = options.tasks.value_or(mix->tasks_of(hardware->name));
        o.window_s = options.window_s.value_or(mix->window_s);
        o.deadline_share = options.deadlines ? (*options.deadlines ? 1 : 0) : mix->deadline_share;
        o.block_tokens = hardware->block_tokens;
        o.ideal = {hardware->iteration.prefill_per_token_s,
                   hardware->iteration.decode.back().seconds};
        const app_draw draw = draw_apps(*mix, served, o);
        auto run = serve_apps({options, *mix, *hardware, *model, draw, models, seed});
        SLUICE_RETURN_IF_ERROR(annotate(run.status(), fmt::format("split {}", seed)));
        out.runs[i] = *std::move(run);
        return absl::OkStatus();
    }));

    out.act_s = act_of(out.runs, [](const app_run::task&) { return true; });
    for (const app_mix::share& s : mix->shares) {
        out.by_application[s.application] = act_of(
            out.runs, [&](const app_run::task& t) { return t.application == s.application; });
    }
    out.tight = satisfaction(out.runs, 1.2);
    out.modest = satisfaction(out.runs, 1.5);
    out.loose = satisfaction(out.runs, 2.0);
    out.all = satisfaction(out.runs, 0);
    const auto n = static_cast<double>(out.runs.size());
    double prompts = 0;
    double computed = 0;
    for (app_run& r : out.runs) {
        for (std::size_t b = 0; b < app_backends; ++b) {
            out.busy[b] += r.busy[b] / n;
        }
        out.makespan_s += r.makespan_s / n;
        prompts += static_cast<double>(r.prompt_tokens);
        computed += static_cast<double>(r.computed_tokens);
        out.wall_s += r.wall_s;
        for (app_run::task& t : r.tasks) {
            // The corpus goes with this function.
            t.application = out.by_application.find(std::string(t.application))->first;
        }
    }
    out.cached_share = prompts > 0 ? 1 - computed / prompts : 0;
    return out;
}

}  // namespace sluice::experiment
