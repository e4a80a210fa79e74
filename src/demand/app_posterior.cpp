// SPDX-License-Identifier: Apache-2.0
#include "app_posterior.hpp"

#include <algorithm>

#include "app_tracker_impl.hpp"

namespace sluice::demand::detail {

namespace {

// What the unit that is under way has had so far.
spent spent_so_far(const application& a, bool llm, const service_rates& rates, time_point now) {
    visit v = a.visits.back();
    v.prompt_tokens = a.so_far.prompt_tokens;
    v.cached_tokens = a.so_far.cached_tokens;
    v.completion_tokens = a.so_far.completion_tokens;
    v.seconds = std::max(to_seconds(now - a.since), 0.0);
    const spent all = spent_on(rates, v, llm);
    return {all.service_s, all.service_s / v.calls};  // all calls alike
}

}  // namespace

void app_posterior::load(const application& a, app_class& in_class, const app_tracker_options& o,
                         time_point now) {
    if (!in_class.resolved || in_class.model == nullptr) {
        in_class.resolved = true;
        in_class.model = o.models->find(in_class.name);
    }
    model_ = in_class.model;
    asked_ = false;
    in_unit_ = a.in_unit;
    since_ = a.since;
    application_ = in_class.name;
    unit_.clear();
    backend_.clear();
    spent in_unit;
    if (a.in_unit) {
        const app_class::unit& u = in_class.units[a.visits.back().unit];
        unit_ = u.name;
        backend_ = u.backend;
        in_unit = spent_so_far(a, u.llm, o.rates, now);
    }
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
    v.unit_service_s = a.irregular ? v.service_s : in_unit.service_s;
    v.unit_path_s = a.irregular ? v.path_s : in_unit.path_s;
    v.prompt_tokens = a.prompt_tokens + a.so_far.prompt_tokens;
    v.completion_tokens = a.completion_tokens + a.so_far.completion_tokens;
    v.known_service_s = std::max(a.known_service_s - v.service_s, 0.0);
    v.known_path_s = std::max(a.known_path_s - v.path_s, 0.0);
    v.irregular = a.irregular;
    v.source = this;
}

app_state app_posterior::state(rank_value rank) const {
    return {view_, seen_, model_, rank, unit_, backend_, since_, in_unit_};
}

bool app_posterior::load_run(const application& a, const app_class& in_class, std::uint64_t id) {
    if (in_class.name.empty() || a.visits.empty()) {
        return false;
    }
    run_.application = in_class.name;
    run_.run = id;
    return true;
}

bool app_posterior::learn(model_set& models) {
    demand_model* const m = models.find(run_.application);
    if (m == nullptr) {
        return false;
    }
    m->add(run_);
    return true;
}

const remaining_demand& app_posterior::posterior() noexcept {
    if (!asked_) {
        asked_ = true;
        if (model_ != nullptr) {
            model_->condition(seen_, remaining_);
        }
    }
    return remaining_;
}

const sample_set& app_posterior::prior_service() noexcept {
    return model_ != nullptr ? model_->service() : nothing_;
}

const sample_set& app_posterior::prior_path() noexcept {
    return model_ != nullptr ? model_->path() : nothing_;
}

}  // namespace sluice::demand::detail
