// SPDX-License-Identifier: Apache-2.0
#include "inputs.hpp"

#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "sharing.hpp"

namespace sluice::experiment {
namespace {

// Bytes/s of the link with which loading is that share of the TTFT of calls that load: each run as
// often as its application's weight says, and nobody in the way.
double link_rate(const app_inputs& in, double share) {
    const sim::iteration_options& engine = in.hardware.iteration;
    double loaded = 0;
    double compute_s = 0;
    for (const app_mix::share& s : in.mix.shares) {
        const auto& runs = in.corpus.runs.find(s.application)->second;
        const double weight = s.weight / static_cast<double>(runs.size());
        for (const demand::run_record& r : runs) {
            for (const demand::unit_record& u : r.units) {
                for (const demand::call_record& c : u.calls) {
                    if (c.cached_tokens > 0) {
                        loaded += weight * c.cached_tokens;
                        compute_s += weight * (engine.prefill_fixed_s +
                                               engine.prefill_per_token_s *
                                                   (c.prompt_tokens - c.cached_tokens));
                    }
                }
            }
        }
    }
    const double load_s = compute_s * share / (1 - share);
    return loaded * static_cast<double>(in.model.kv_bytes_per_token()) / load_s;
}

absl::StatusOr<app_inputs> read_inputs(const app_options& o) {
    app_inputs out;
    auto mix = load_mix(o.mix);
    SLUICE_RETURN_IF_ERROR(mix.status());
    out.mix = *std::move(mix);
    auto engine = load_profile(o.engine);
    SLUICE_RETURN_IF_ERROR(engine.status());
    if (engine->model.empty() || engine->compute != compute_kind::iteration) {
        return absl::InvalidArgumentError(
            fmt::format("engine {}: applications need a profile with a key 'model' and a compute "
                        "of kind iteration",
                        engine->name));
    }
    auto model = load_kv_model(engine->model);
    SLUICE_RETURN_IF_ERROR(model.status());
    out.model = *std::move(model);
    auto hardware = engine->for_model(out.model);
    SLUICE_RETURN_IF_ERROR(hardware.status());
    out.hardware = *std::move(hardware);
    auto corpus = app_corpus::read(o.runs, out.mix);
    SLUICE_RETURN_IF_ERROR(corpus.status());
    out.corpus = *std::move(corpus);
    if (o.load_share > 0) {
        for (auto& [application, runs] : out.corpus.runs) {
            mark_cached(runs, out.hardware.block_tokens);
        }
        out.hardware.link.rate = link_rate(out, o.load_share);
    }
    return out;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const app_inputs>> app_input_cache::get(const app_options& o) {
    const std::scoped_lock lock(mutex_);
    std::shared_ptr<const app_inputs>& place =
        known_[fmt::format("{}\n{}\n{}\n{}", o.runs, o.mix, o.engine, o.load_share)];
    if (place == nullptr) {
        auto inputs = read_inputs(o);
        SLUICE_RETURN_IF_ERROR(inputs.status());
        place = std::make_shared<const app_inputs>(*std::move(inputs));
    }
    return place;
}

}  // namespace sluice::experiment
