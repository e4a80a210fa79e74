// SPDX-License-Identifier: Apache-2.0
#include <sluice/sched/app_policies.hpp>

#include <algorithm>
#include <cmath>
#include <string_view>

#include <sluice/demand/application_view.hpp>
#include <sluice/demand/demand_model.hpp>
#include <sluice/demand/sample_set.hpp>

namespace sluice {

using demand::application_view;
using demand::sample_set;

namespace {

// Behind every rank that is an instant in seconds, and fine enough to add seconds to.
constexpr double no_deadline = 1e9;

double nanoseconds(time_point at) noexcept {
    return static_cast<double>(at.time_since_epoch().count());
}

double gittins_of(const application_view& a) noexcept {
    return a.remaining().service.gittins(a.unit_service_s);
}

}  // namespace

rank_value application_policy::do_rank(const request_view& r, stage_id, time_point now) noexcept {
    return r.application == app_handle{} ? rank_alone(r, now) : r.application_rank;
}

rank_value application_policy::rank_alone(const request_view& r, time_point) noexcept {
    return r.remaining.total();
}

gittins_policy::gittins_policy(const policy_options& options)
    : gittins_policy(options.flag("online", true)) {}

rank_value gittins_policy::rank_application(const application_view& a, time_point) noexcept {
    return online_ ? gittins_of(a) : a.whole_service().gittins(a.service_s);
}

rank_value gittins_artifact_policy::rank_application(const application_view& a,
                                                     time_point) noexcept {
    return a.whole_service().gittins_artifact(a.service_s);
}

mean_srpt_policy::mean_srpt_policy(const policy_options& options)
    : mean_srpt_policy(options.flag("online", true)) {}

rank_value mean_srpt_policy::rank_application(const application_view& a, time_point) noexcept {
    return online_ ? a.remaining().service.mean_remaining(a.unit_service_s)
                   : a.whole_service().mean() - a.service_s;
}

rank_value app_fifo_policy::rank_application(const application_view& a, time_point) noexcept {
    return nanoseconds(a.arrival);
}
rank_value app_fifo_policy::rank_alone(const request_view& r, time_point) noexcept {
    return nanoseconds(r.arrival);
}

rank_value las_policy::rank_application(const application_view& a, time_point) noexcept {
    return a.service_s;
}
rank_value las_policy::rank_alone(const request_view& r, time_point) noexcept {
    return r.attained.total();
}

// ---- vtc

rank_value vtc_policy::rank_application(const application_view& a, time_point) noexcept {
    counter& c = counters_[a.id.index];
    const double received =
        (static_cast<double>(a.prompt_tokens) / 10 + static_cast<double>(a.completion_tokens)) /
        a.tenant_weight;
    given_ += std::max(received - c.received, 0.0) / std::max(live_, 1U);
    c.received = received;
    return c.begun_at + c.received;
}

void vtc_policy::application_begun(const application_view& a, time_point) noexcept {
    if (counters_.size() <= a.id.index) {
        counters_.resize(std::size_t{a.id.index} + 1);
    }
    counters_[a.id.index] = {0, given_};
    ++live_;
}

void vtc_policy::application_ended(app_handle, time_point) noexcept { --live_; }

rank_value vtc_policy::rank_alone(const request_view&, time_point) noexcept { return given_; }

// ---- app_lstf

app_lstf_policy::app_lstf_policy(const policy_options& options)
    : app_lstf_policy(options.number("quantile", 0.9, 0.5, 1), options.flag("late_last", true),
                      options.number("pace", 0.4, 0, 10)) {}

rank_value app_lstf_policy::rank_application(const application_view& a, time_point now) noexcept {
    if (a.deadline == never) {
        return no_deadline + gittins_of(a);
    }
    const double deadline = to_seconds(a.deadline.time_since_epoch());
    if (!late_last_) {  // the present is the same for all
        return deadline - a.remaining().path.quantile_remaining(quantile_, a.unit_path_s);
    }
    const double left = a.remaining().service.mean_remaining(a.unit_service_s);
    if (now > latest(a)) {
        return {left, rank_tier::hopeless};
    }
    return deadline + left;
}

time_point app_lstf_policy::next_application_change(const application_view& a,
                                                    time_point now) noexcept {
    if (!late_last_ || a.deadline == never) {
        return never;
    }
    const time_point last = latest(a);
    return now > last ? never : saturating_add(last, duration{1});
}

// The last instant at which it may still make it.
time_point app_lstf_policy::latest(const application_view& a) const noexcept {
    const duration left =
        from_seconds(pace_ * a.remaining().path.quantile_remaining(1 - quantile_, a.unit_path_s));
    return a.deadline < time_point::min() + left ? time_point::min() : a.deadline - left;
}

rank_value app_lstf_policy::rank_alone(const request_view& r, time_point now) noexcept {
    if (r.deadline == never) {
        return no_deadline + r.remaining.total();
    }
    if (late_last_ && now > saturating_add(r.deadline, -from_seconds(r.remaining.alone()))) {
        return {r.remaining.total(), rank_tier::hopeless};
    }
    const double deadline = to_seconds(r.deadline.time_since_epoch());
    return late_last_ ? deadline + r.remaining.total() : deadline - r.remaining.alone();
}

// ---- oracle

oracle_policy::oracle_policy(const policy_options& options) {
    const std::string_view by = options.text("by", "sum");
    by_path_ = by == "path";
    if (by != "sum" && by != "path") {
        options.reject("by is sum or path");
    }
}

rank_value oracle_policy::rank_application(const application_view& a, time_point) noexcept {
    const double known = by_path_ ? a.known_path_s : a.known_service_s;
    if (!std::isnan(known)) {
        return known;
    }
    return by_path_ ? a.remaining().path.mean_remaining(a.unit_path_s)
                    : a.remaining().service.mean_remaining(a.unit_service_s);
}

}  // namespace sluice
