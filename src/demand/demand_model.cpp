// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/demand_model.hpp>

#include <cmath>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "../json/located.hpp"
#include "demand_model_impl.hpp"

namespace sluice::demand {
namespace {

constexpr std::size_t max_window = 100000;
constexpr std::size_t max_units = 1024;
constexpr std::string_view local_backend = "env";

bool is_rate(double rate) noexcept { return rate >= 0 && rate <= 1e6; }

bool is_seconds(double seconds) noexcept {
    return seconds >= 0 && seconds <= max_call_seconds * max_calls_per_unit;
}

}  // namespace

absl::Status check_options(const demand_options& options) {
    if (options.window < 1 || options.window > max_window) {
        return absl::InvalidArgumentError(
            fmt::format("a window of {} runs; 1 to {} are possible", options.window, max_window));
    }
    if (options.drawn_runs < 1 || options.drawn_runs > max_window) {
        return absl::InvalidArgumentError(
            fmt::format("{} runs to draw; 1 to {} are possible", options.drawn_runs, max_window));
    }
    const service_rates& r = options.rates;
    if (!is_rate(r.prefill_s_per_token) || !is_rate(r.decode_s_per_token) ||
        !is_rate(r.load_s_per_token)) {
        return absl::InvalidArgumentError("rates are seconds per token from 0 on");
    }
    return absl::OkStatus();
}

demand_model::impl::impl(std::string application, const demand_options& options)
    : application(std::move(application)), runs(options.window, options.rates) {}

void demand_model::impl::add(std::span<const unit_visit> visits) {
    runs.add(visits);
    // The newest run's totals take the place of the oldest's.
    service.add(runs[runs.size() - 1].service_left.front(), runs.capacity());
    path.add(runs[runs.size() - 1].path_left.front(), runs.capacity());
}

demand_model::demand_model(std::unique_ptr<impl> i) : impl_(std::move(i)) {}
demand_model::~demand_model() = default;

absl::StatusOr<std::unique_ptr<demand_model>> demand_model::learn(std::string application,
                                                                  std::span<const run_record> runs,
                                                                  const demand_options& options) {
    SLUICE_RETURN_IF_ERROR(check_options(options));
    if (application.empty() || application.size() > max_name_bytes) {
        return absl::InvalidArgumentError(
            fmt::format("an application's name has 1 to {} bytes", max_name_bytes));
    }
    if (runs.empty()) {
        return absl::InvalidArgumentError(
            fmt::format("no run of {} to learn from", json::quote(application)));
    }
    std::unique_ptr<demand_model> model(
        new demand_model(std::make_unique<impl>(std::move(application), options)));
    for (const run_record& run : runs) {
        if (run.application != model->application()) {
            return absl::InvalidArgumentError(fmt::format("run {} is one of {}, not of {}", run.run,
                                                          json::quote(run.application),
                                                          json::quote(model->application())));
        }
        SLUICE_RETURN_IF_ERROR(model->add(run));
    }
    return model;
}

std::unique_ptr<demand_model> demand_model::clone() const {
    return std::unique_ptr<demand_model>(new demand_model(std::make_unique<impl>(*impl_)));
}

const std::string& demand_model::application() const noexcept { return impl_->application; }
const service_rates& demand_model::rates() const noexcept { return impl_->runs.rates(); }

void demand_model::set_rates(const service_rates& rates) {
    impl_->runs.set_rates(rates);
    impl_->service.clear();
    impl_->path.clear();
    for (std::size_t i = 0; i < size(); ++i) {
        impl_->service.add(impl_->runs[i].service_left.front(), impl_->runs.capacity());
        impl_->path.add(impl_->runs[i].path_left.front(), impl_->runs.capacity());
    }
}

std::span<const unit_facts> demand_model::units() const noexcept { return impl_->units; }

unit_id demand_model::find_unit(std::string_view name) const noexcept {
    const auto it = impl_->unit_names.find(name);
    return it == impl_->unit_names.end() ? no_unit : it->second;
}

unit_id demand_model::add_unit(std::string_view name, std::string_view backend) {
    if (const unit_id known = find_unit(name); known != no_unit) {
        return known;
    }
    if (name.empty() || name.size() > max_name_bytes || backend.empty() ||
        backend.size() > max_name_bytes || backend == local_backend ||
        impl_->units.size() == max_units) {
        return no_unit;
    }
    const auto number = static_cast<unit_id>(impl_->units.size());
    impl_->units.push_back({std::string(name), std::string(backend)});
    impl_->unit_names.emplace(name, number);
    return number;
}

absl::Status demand_model::add(const run_record& run) {
    SLUICE_RETURN_IF_ERROR(check_run(run));
    std::vector<unit_visit> visits;
    for (const unit_record& unit : run.units) {
        if (unit.backend == local_backend) {
            continue;
        }
        visits.push_back(visit_of(unit));
        visits.back().unit = add_unit(unit.unit, unit.backend);
    }
    return add(std::span<const unit_visit>(visits));
}

absl::Status demand_model::add(std::span<const unit_visit> visits) {
    if (visits.empty() || visits.size() > max_units_per_run) {
        return absl::InvalidArgumentError(fmt::format("a run of {} with {} units, not 1 to {}",
                                                      json::quote(application()), visits.size(),
                                                      max_units_per_run));
    }
    for (const unit_visit& v : visits) {
        constexpr std::uint64_t most = std::uint64_t{max_call_tokens} * max_calls_per_unit;
        if (v.unit >= impl_->units.size() || v.calls < 1 || v.calls > max_calls_per_unit ||
            v.prompt_tokens > most || v.completion_tokens > most ||
            v.cached_tokens > v.prompt_tokens || v.max_prompt_tokens > v.prompt_tokens ||
            v.max_cached_tokens > v.cached_tokens ||
            v.max_completion_tokens > v.completion_tokens || !is_seconds(v.seconds) ||
            !is_seconds(v.max_seconds)) {
            return absl::InvalidArgumentError(
                fmt::format("a run of {} with a unit that is unknown or numbers out of range",
                            json::quote(application())));
        }
    }
    impl_->add(visits);
    return absl::OkStatus();
}

std::size_t demand_model::size() const noexcept { return impl_->runs.size(); }
std::span<const unit_visit> demand_model::run(std::size_t i) const noexcept {
    return impl_->runs[i].visits;
}

const sample_set& demand_model::service() const { return impl_->service.samples(); }
const sample_set& demand_model::path() const { return impl_->path.samples(); }

void demand_model::condition(const observation& seen, remaining_demand& out) const {
    impl_->left.condition(impl_->runs, service(), path(), seen, out);
}

double demand_model::explained(const observation& seen) const {
    return impl_->left.explained(impl_->runs, seen);
}

void demand_model::runs_ahead(const observation& seen, std::vector<run_ahead>& out) const {
    impl_->left.runs_ahead(impl_->runs, seen, out);
}

std::span<const next_unit> demand_model::next(unit_id unit, std::uint32_t visit) const {
    impl_->graph.refresh(impl_->runs, impl_->units);
    return impl_->graph.next(unit, visit);
}

const sample_set& demand_model::duration(unit_id unit) const {
    impl_->graph.refresh(impl_->runs, impl_->units);
    return impl_->graph.duration(unit);
}

}  // namespace sluice::demand
