// SPDX-License-Identifier: Apache-2.0
#include "inputs.hpp"

#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

namespace sluice::experiment {
namespace {

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
    return out;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const app_inputs>> app_input_cache::get(const app_options& o) {
    const std::scoped_lock lock(mutex_);
    std::shared_ptr<const app_inputs>& place =
        known_[fmt::format("{}\n{}\n{}", o.runs, o.mix, o.engine)];
    if (place == nullptr) {
        auto inputs = read_inputs(o);
        SLUICE_RETURN_IF_ERROR(inputs.status());
        place = std::make_shared<const app_inputs>(*std::move(inputs));
    }
    return place;
}

}  // namespace sluice::experiment
