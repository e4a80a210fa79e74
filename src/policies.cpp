// SPDX-License-Identifier: Apache-2.0
#include <sluice/sched/policies.hpp>

#include <algorithm>
#include <cassert>
#include <limits>
#include <utility>

#include <sluice/sched/app_policies.hpp>

namespace sluice {

namespace {

double nanoseconds(time_point at) noexcept {
    return static_cast<double>(at.time_since_epoch().count());
}

// The last instant at which `r` can still make its deadline.
time_point latest_start(const request_view& r) noexcept {
    const duration left = std::max(from_seconds(r.remaining.alone()), duration{0});
    return r.deadline < time_point::min() + left ? time_point::min() : r.deadline - left;
}

}  // namespace

rank_value fifo_policy::do_rank(const request_view& r, stage_id, time_point) noexcept {
    return nanoseconds(r.arrival);
}

rank_value external_policy::do_rank(const request_view& r, stage_id, time_point) noexcept {
    return {r.rank, r.tier};
}

rank_value sjf_pt_policy::do_rank(const request_view& r, stage_id, time_point) noexcept {
    return static_cast<double>(r.prompt_tokens - std::min(r.prompt_tokens, r.load_tokens));
}

rank_value sjf_policy::do_rank(const request_view& r, stage_id, time_point) noexcept {
    return r.predicted.total();
}

rank_value srpt_policy::do_rank(const request_view& r, stage_id, time_point) noexcept {
    return r.remaining.total();
}

rank_value deadline_policy::do_rank(const request_view& r, stage_id, time_point now) noexcept {
    if (r.deadline == never) {
        return std::numeric_limits<double>::infinity();
    }
    if (late_last_ && now > latest_start(r)) {
        return {r.remaining.total(), rank_tier::hopeless};
    }
    return rank_in_time(r);
}

time_point deadline_policy::next_change(const request_view& r, time_point now) noexcept {
    if (!late_last_ || r.deadline == never) {
        return never;
    }
    const time_point latest = latest_start(r);
    return now > latest ? never : saturating_add(latest, duration{1});
}

edf_policy::edf_policy(const policy_options& options)
    : deadline_policy(options.flag("late_last", true)) {}

double edf_policy::rank_in_time(const request_view& r) const noexcept {
    return nanoseconds(r.deadline);
}

lstf_policy::lstf_policy(const policy_options& options)
    : deadline_policy(options.flag("late_last", true)) {}

double lstf_policy::rank_in_time(const request_view& r) const noexcept {
    return to_seconds(r.deadline.time_since_epoch()) -
           (late_last() ? r.predicted.compute : r.predicted.total());
}

on_time_policy::on_time_policy(const policy_options& options)
    : deadline_policy(options.flag("late_last", true)) {}

double on_time_policy::rank_in_time(const request_view& r) const noexcept {
    return to_seconds(r.deadline.time_since_epoch()) + r.remaining.total();
}

policy_wrapper::policy_wrapper(std::unique_ptr<policy> inner) noexcept : inner_(std::move(inner)) {
    assert(inner_ != nullptr);
}

rank_value policy_wrapper::do_rank(const request_view& r, stage_id stage, time_point now) noexcept {
    return inner_->rank(r, stage, now);
}
time_point policy_wrapper::next_change(const request_view& r, time_point now) noexcept {
    return inner_->next_change(r, now);
}
duration policy_wrapper::interval() const noexcept { return inner_->interval(); }
bool policy_wrapper::ranks_by_service() const noexcept { return inner_->ranks_by_service(); }
flow_share policy_wrapper::flow(const request_view& r) noexcept { return inner_->flow(r); }
bool policy_wrapper::ranks_applications() const noexcept { return inner_->ranks_applications(); }
rank_value policy_wrapper::rank_application(const demand::application_view& a,
                                            time_point now) noexcept {
    return inner_->rank_application(a, now);
}
time_point policy_wrapper::next_application_change(const demand::application_view& a,
                                                   time_point now) noexcept {
    return inner_->next_application_change(a, now);
}
void policy_wrapper::application_begun(const demand::application_view& a, time_point now) noexcept {
    inner_->application_begun(a, now);
}
void policy_wrapper::application_ended(app_handle a, time_point now) noexcept {
    inner_->application_ended(a, now);
}
void policy_wrapper::submitted(const request_view& r, time_point now) noexcept {
    inner_->submitted(r, now);
}
void policy_wrapper::served(const request_view& r, stage_id stage, double seconds) noexcept {
    inner_->served(r, stage, seconds);
}
void policy_wrapper::done(const request_view& r, time_point now) noexcept { inner_->done(r, now); }

aging_policy::aging_policy(std::unique_ptr<policy> inner, duration after) noexcept
    : policy_wrapper(std::move(inner)), after_(after) {
    assert(after >= duration{0});
}

aging_policy::aging_policy(const policy_options& options)
    : aging_policy(options.take_inner(), options.seconds("after", from_seconds(30))) {}

rank_value aging_policy::do_rank(const request_view& r, stage_id stage, time_point now) noexcept {
    if (now >= saturating_add(r.arrival, after_)) {
        return {nanoseconds(r.arrival), rank_tier::overdue};
    }
    return policy_wrapper::do_rank(r, stage, now);
}

time_point aging_policy::next_change(const request_view& r, time_point now) noexcept {
    const time_point overdue = saturating_add(r.arrival, after_);
    // Once overdue it stays so, whatever the inner policy says.
    return now >= overdue ? never : std::min(overdue, policy_wrapper::next_change(r, now));
}

fair_policy::fair_policy(std::unique_ptr<policy> inner) noexcept
    : policy_wrapper(std::move(inner)) {}

fair_policy::fair_policy(const policy_options& options) : fair_policy(options.take_inner()) {}

flow_share fair_policy::flow(const request_view& r) noexcept {
    return {r.tenant, r.tenant_weight > 0 ? r.tenant_weight : 1};
}

std::span<const detail::builtin_policy> detail::builtin_policies() noexcept {
    static constexpr builtin_policy all[] = {
        {"external", &construct_policy<external_policy>},
        {"fifo", &construct_policy<fifo_policy>},
        {"sjf_pt", &construct_policy<sjf_pt_policy>},
        {"sjf", &construct_policy<sjf_policy>},
        {"srpt", &construct_policy<srpt_policy>},
        {"edf", &construct_policy<edf_policy>},
        {"lstf", &construct_policy<lstf_policy>},
        {"on_time", &construct_policy<on_time_policy>},
        {"gittins", &construct_policy<gittins_policy>},
        {"gittins_artifact", &construct_policy<gittins_artifact_policy>},
        {"mean_srpt", &construct_policy<mean_srpt_policy>},
        {"app_fifo", &construct_policy<app_fifo_policy>},
        {"las", &construct_policy<las_policy>},
        {"vtc", &construct_policy<vtc_policy>},
        {"app_lstf", &construct_policy<app_lstf_policy>},
        {"oracle", &construct_policy<oracle_policy>},
        {"aging", &construct_policy<aging_policy>},
        {"fair", &construct_policy<fair_policy>},
    };
    return all;
}

}  // namespace sluice
