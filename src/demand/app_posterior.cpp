// SPDX-License-Identifier: Apache-2.0
#include "app_posterior.hpp"

#include <algorithm>
#include <utility>

namespace sluice::demand::detail {

namespace {

// What the unit that is under way has had so far; all its calls alike.
spent spent_so_far(const application& a, bool llm, const service_rates& rates, time_point now) {
    const std::uint32_t calls = a.visits.back().calls;
    if (!llm) {
        const double elapsed = std::max(to_seconds(now - a.since), 0.0);
        return {elapsed * calls, elapsed};
    }
    unit_visit v;
    v.prompt_tokens = a.so_far.prompt_tokens;
    v.cached_tokens = a.so_far.cached_tokens;
    v.completion_tokens = a.so_far.completion_tokens;
    const double all = service_seconds(v, rates);
    return {all, all / calls};
}

// The model's numbers for the units of a class.
void resolve(app_class& c, demand_model* model) {
    if (std::exchange(c.model, model) != model) {
        c.model_units.clear();
    }
    c.model_units.resize(c.units.size(), no_unit);
    for (std::size_t i = 0; model != nullptr && i < c.units.size(); ++i) {
        if (c.model_units[i] != no_unit) {
            continue;
        }
        const unit_id known = model->find_unit(c.units[i].name);
        const bool alike = known != no_unit && model->units()[known].llm() == c.units[i].llm;
        c.model_units[i] = alike ? known : no_unit;
    }
}

// A call of the largest, and the others alike: sums and maxima are what was reported.
void add_calls(const unit_visit& v, std::vector<call_record>& calls) {
    calls.clear();
    for (std::uint32_t i = 0; i < v.calls; ++i) {
        const auto share = [&](std::uint64_t sum, std::uint64_t largest) {
            if (i == 0) {
                return static_cast<std::uint32_t>(largest);
            }
            const std::uint64_t rest = sum - largest;
            return static_cast<std::uint32_t>(rest / (v.calls - 1) +
                                              (i <= rest % (v.calls - 1) ? 1 : 0));
        };
        call_record& c = calls.emplace_back();
        c.prompt_tokens = share(v.prompt_tokens, v.max_prompt_tokens);
        c.cached_tokens = std::min(c.prompt_tokens, share(v.cached_tokens, v.max_cached_tokens));
        c.completion_tokens = share(v.completion_tokens, v.max_completion_tokens);
        c.seconds = v.max_seconds;
    }
}

}  // namespace

void app_posterior::load(const application& a, app_class& in_class, const app_tracker_options& o,
                         time_point now) {
    models_ = o.models;
    model_ = o.models->find(in_class.name);
    if (model_ != nullptr && !(model_->rates() == o.rates)) {
        model_->set_rates(o.rates);
    }
    resolve(in_class, model_);
    asked_ = false;
    in_unit_ = a.in_unit;
    since_ = a.since;
    application_ = in_class.name;
    unit_.clear();
    backend_.clear();
    visits_ = a.visits;
    for (unit_visit& v : visits_) {
        v.unit = in_class.model_units[v.unit];
    }
    spent in_unit;
    if (a.in_unit) {
        const app_class::unit& u = in_class.units[a.in_local ? a.local_unit : a.visits.back().unit];
        unit_ = u.name;
        backend_ = u.backend;
    }
    const bool scheduled = a.in_unit && !a.in_local;
    if (scheduled) {
        in_unit = spent_so_far(a, in_class.units[a.visits.back().unit].llm, o.rates, now);
    }
    seen_.ended = std::span<const unit_visit>(visits_).first(visits_.size() - (scheduled ? 1 : 0));
    seen_.current = scheduled ? std::optional(visits_.back()) : std::nullopt;
    whole_ = a.irregular || model_ == nullptr;

    application_view& v = view_;
    v.id = {a.index, a.epoch};
    v.user = a.user;
    v.application = application_;
    v.arrival = a.arrival;
    v.deadline = a.deadline;
    v.tenant = a.tenant;
    v.tenant_weight = a.tenant_weight;
    v.service_s = a.before.service_s + in_unit.service_s;
    v.path_s = a.before.path_s + in_unit.path_s;
    v.unit_service_s = whole_ ? v.service_s : in_unit.service_s;
    v.unit_path_s = whole_ ? v.path_s : in_unit.path_s;
    v.prompt_tokens = a.prompt_tokens + a.so_far.prompt_tokens;
    v.completion_tokens = a.completion_tokens + a.so_far.completion_tokens;
    v.known_service_s = std::max(a.known_service_s - v.service_s, 0.0);  // NaN stays
    v.known_path_s = std::max(a.known_path_s - v.path_s, 0.0);
    v.irregular = a.irregular;
    v.source = this;
}

app_state app_posterior::state(rank_value rank) const {
    return {view_, seen_, model_, rank, unit_, backend_, since_, in_unit_};
}

const remaining_demand& app_posterior::posterior() noexcept {
    if (std::exchange(asked_, true)) {
        return remaining_;
    }
    if (!whole_) {
        model_->condition(seen_, remaining_);
        return remaining_;
    }
    remaining_.service.assign_sorted(prior_service().values());
    remaining_.path.assign_sorted(prior_path().values());
    remaining_.basis = demand_basis::whole;
    remaining_.conditioned = false;
    return remaining_;
}

const sample_set& app_posterior::prior_service() noexcept {
    return model_ != nullptr ? model_->service() : models_->pooled_service();
}

const sample_set& app_posterior::prior_path() noexcept {
    return model_ != nullptr ? model_->path() : models_->pooled_path();
}

// ---- learning

bool app_posterior::load_run(const application& a, const app_class& in_class, std::uint64_t id) {
    if (in_class.name.empty() || a.visits.empty()) {
        return false;
    }
    run_.application = in_class.name;
    run_.run = id;
    run_.units.resize(a.visits.size());
    for (std::size_t i = 0; i < a.visits.size(); ++i) {
        const app_class::unit& u = in_class.units[a.visits[i].unit];
        run_.units[i].unit = u.name;
        run_.units[i].backend = u.backend;
        add_calls(a.visits[i], run_.units[i].calls);
    }
    return true;
}

bool app_posterior::learn(model_set& models, const service_rates& rates) {
    if (demand_model* const known = models.find(run_.application)) {
        return known->add(run_).ok();
    }
    demand_options o;
    o.rates = rates;
    auto made = demand_model::learn(run_.application, std::span(&run_, 1), o);
    if (made.ok()) {
        models.add(*std::move(made));
    }
    return made.ok();
}

}  // namespace sluice::demand::detail
