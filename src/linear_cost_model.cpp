// SPDX-License-Identifier: Apache-2.0
#include <sluice/cost/linear_cost_model.hpp>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <vector>

#include <sluice/cost/least_squares.hpp>

namespace sluice {

namespace {

// Starting points where nothing was profiled: a remote store on a fast network, PCIe, and an 8B
// model on one data-centre GPU. They also say at which size a regressor matters.
constexpr regressors fetch_guess = {500e-6, 1 / 2.5e9, 2e-6};
constexpr regressors copy_guess = {20e-6, 1 / 20e9, 1e-6};
constexpr regressors compute_guess = {5e-3, 1e-4, 1e-9};
// A guess is given up for the first observations.
constexpr double guess_covariance = 1e3;
constexpr double fit_covariance = 1;

const regressors& guess_of(stage_id stage) noexcept {
    switch (stage) {
    case stage_id::compute: return compute_guess;
    case stage_id::copy:
    case stage_id::copy_out: return copy_guess;
    default: return fetch_guess;
    }
}

bool starts_from_guess(stage_id stage) noexcept {
    return stage != stage_id::lookup && stage < stage_id::first_custom;
}

regressors regressors_of(stage_id stage, const demand_shape& shape) noexcept {
    if (stage == stage_id::compute) {
        const auto q = static_cast<double>(shape.query_tokens);
        const auto context = static_cast<double>(shape.context_tokens);
        return {1, q, q * (context + q / 2)};
    }
    return {1, static_cast<double>(shape.bytes), static_cast<double>(shape.descriptors)};
}

bool nothing_to_do(stage_id stage, const demand_shape& shape) noexcept {
    return stage == stage_id::compute ? shape.query_tokens == 0 : shape.empty();
}

std::size_t regressors_in(cost_form form) noexcept { return form == cost_form::calvo ? 2 : 3; }

absl::StatusOr<least_squares_fit> fit(std::span<const cost_sample> samples, stage_id stage,
                                      cost_form form) {
    const std::size_t count = regressors_in(form);
    std::vector<fit_sample> usable;
    usable.reserve(samples.size());
    for (const cost_sample& s : samples) {
        if (!nothing_to_do(stage, s.shape) && std::isfinite(s.seconds) && s.seconds > 0) {
            usable.push_back(
                {regressors_of(stage, s.shape), s.seconds, 1 / (s.seconds * s.seconds)});
        }
    }
    auto out = fit_least_squares(usable, count);
    if (out.ok()) {
        for (fit_sample& s : usable) {
            s.weight = 1;
        }
        out->r2 = explained_variance(usable, count, out->beta);
    }
    return out;
}

}  // namespace

struct linear_cost_model::stage_fit {
    stage_fit(const regressors& beta, const regressors& scale, std::size_t count, double covariance,
              double forgetting) noexcept
        : line(count, scale, beta, {.forgetting = forgetting, .prior_covariance = covariance}) {}

    recursive_least_squares line;
    double r2 = 0;
    stage_accuracy accuracy;
    regressors typical{};      // running mean of what was observed
    regressors remembered{};   // `typical` when the generation last grew
    double remembered_s = -1;  // its prediction then; negative: none yet
};

std::optional<linear_cost_options> linear_cost_options::preset(std::string_view name) noexcept {
    linear_cost_options out;
    if (name == "calvo") {
        out.form = cost_form::calvo;
    } else if (name != "linear") {
        return std::nullopt;
    }
    return out;
}

linear_cost_model::linear_cost_model(const linear_cost_options& options) : options_(options) {
    for (const stage_id stage : {stage_id::lookup, stage_id::fetch, stage_id::copy,
                                 stage_id::compute, stage_id::copy_out, stage_id::put}) {
        fit_of(stage);
    }
}

linear_cost_model::~linear_cost_model() = default;

const linear_cost_model::stage_fit* linear_cost_model::find(stage_id stage) const noexcept {
    return stages_[static_cast<std::size_t>(stage)].get();
}

linear_cost_model::stage_fit& linear_cost_model::fit_of(stage_id stage) {
    auto& slot = stages_[static_cast<std::size_t>(stage)];
    if (slot == nullptr) {
        const regressors& guess = guess_of(stage);
        regressors scale;
        for (std::size_t i = 0; i < scale.size(); ++i) {
            scale[i] = 1 / guess[i];
        }
        slot = std::make_unique<stage_fit>(starts_from_guess(stage) ? guess : regressors{}, scale,
                                           regressors_in(options_.form), guess_covariance,
                                           options_.forgetting);
    }
    return *slot;
}

void linear_cost_model::set_line(stage_id stage, regressors beta, double r2) {
    const regressors& guess = guess_of(stage);
    regressors scale;
    for (std::size_t i = 0; i < beta.size(); ++i) {
        beta[i] = std::isfinite(beta[i]) ? std::max(beta[i], 0.0) : 0;
        // Uncertainty is relative to the coefficient; one that was found to be 0 may still become
        // something, but has little to say.
        scale[i] = 1 / std::max(beta[i], 0.01 * guess[i]);
    }
    const stage_accuracy accuracy = fit_of(stage).accuracy;
    auto& slot = stages_[static_cast<std::size_t>(stage)];
    slot = std::make_unique<stage_fit>(beta, scale, regressors_in(options_.form), fit_covariance,
                                       options_.forgetting);
    slot->r2 = r2;
    slot->accuracy = accuracy;
    ++generation_;
}

void linear_cost_model::set_load(stage_id stage, const load_coefficients& c) {
    assert(stage != stage_id::compute);
    set_line(stage, {c.fixed_s, c.per_byte_s, c.per_descriptor_s}, c.r2);
}

void linear_cost_model::set_compute(const compute_coefficients& c) {
    set_line(stage_id::compute, {c.c0_s, c.c1_s, c.c2_s}, c.r2);
}

load_coefficients linear_cost_model::load(stage_id stage) const noexcept {
    assert(stage != stage_id::compute);
    const stage_fit* fit = find(stage);
    if (fit == nullptr) {
        return {};
    }
    const regressors beta = fit->line.beta();
    return {beta[0], beta[1], beta[2], fit->r2};
}

compute_coefficients linear_cost_model::compute() const noexcept {
    const stage_fit& fit = *find(stage_id::compute);
    const regressors beta = fit.line.beta();
    return {beta[0], beta[1], beta[2], fit.r2};
}

double linear_cost_model::predict(stage_id stage, const demand_shape& shape) const noexcept {
    const stage_fit* fit = find(stage);
    if (fit == nullptr || nothing_to_do(stage, shape)) {
        return 0;
    }
    return std::max(fit->line.predict(regressors_of(stage, shape)), 0.0);
}

void linear_cost_model::observe(stage_id stage, const demand_shape& shape,
                                double seconds) noexcept {
    stage_fit& fit = fit_of(stage);
    if (nothing_to_do(stage, shape) || !std::isfinite(seconds) || seconds <= 0) {
        ++fit.accuracy.ignored;
        return;
    }
    const regressors x = regressors_of(stage, shape);
    const double predicted = std::max(fit.line.predict(x), 0.0);

    stage_accuracy& a = fit.accuracy;
    ++a.samples;
    a.predicted_s = predicted;
    a.actual_s = seconds;
    const double weight = std::max(options_.error_smoothing, 1 / static_cast<double>(a.samples));
    a.relative_error += weight * (std::abs(predicted - seconds) / seconds - a.relative_error);

    if (options_.refit) {
        // Relative to the prediction: to the measurement would favour the short ones.
        fit.line.update(x, seconds, std::max(predicted, 0.1 * seconds));
        watch(fit, x, predicted);
    }
}

// `before`: the prediction for `x` before it was learnt from.
void linear_cost_model::watch(stage_fit& fit, const regressors& x, double before) noexcept {
    if (fit.remembered_s < 0) {
        fit.typical = fit.remembered = x;
        fit.remembered_s = before;
    }
    constexpr double adapt = 0.05;
    for (std::size_t i = 0; i < x.size(); ++i) {
        fit.typical[i] += adapt * (x[i] - fit.typical[i]);
    }
    const double now = fit.line.predict(fit.remembered);
    if (std::abs(now - fit.remembered_s) > options_.generation_threshold * fit.remembered_s) {
        ++generation_;
        fit.remembered = fit.typical;
        fit.remembered_s = fit.line.predict(fit.typical);
    }
}

stage_accuracy linear_cost_model::accuracy(stage_id stage) const noexcept {
    const stage_fit* fit = find(stage);
    return fit == nullptr ? stage_accuracy{} : fit->accuracy;
}

absl::StatusOr<load_coefficients> fit_load(std::span<const cost_sample> samples, cost_form form) {
    auto out = fit(samples, stage_id::fetch, form);
    if (!out.ok()) {
        return out.status();
    }
    return load_coefficients{out->beta[0], out->beta[1], out->beta[2], out->r2};
}

absl::StatusOr<compute_coefficients> fit_compute(std::span<const cost_sample> samples,
                                                 cost_form form) {
    auto out = fit(samples, stage_id::compute, form);
    if (!out.ok()) {
        return out.status();
    }
    return compute_coefficients{out->beta[0], out->beta[1], out->beta[2], out->r2};
}

}  // namespace sluice
