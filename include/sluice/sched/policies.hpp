// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <sluice/base/clock.hpp>
#include <sluice/base/ids.hpp>
#include <sluice/sched/policy.hpp>
#include <sluice/sched/policy_registry.hpp>
#include <sluice/sched/request_view.hpp>

namespace sluice {

// The built-in policies; `make_policy` makes them by name. Each ranks alike at every stage. Ranks
// are nanoseconds (fifo, edf), tokens (sjf_pt) or seconds, and compare within one policy only.

/// `fifo`: by arrival. Exact: instants too close for a rank to tell go in arrival order anyway.
class fifo_policy final : public policy {
    rank_value do_rank(const request_view&, stage_id, time_point) noexcept override;
};

/// `external`: by the rank that the engine gives at submit, and may change by
/// `pipeline::set_rank`; for engines and schedulers with an order of their own.
class external_policy final : public policy {
    rank_value do_rank(const request_view&, stage_id, time_point) noexcept override;
};

/// `sjf_pt`: fewest tokens to compute first, loading unseen. A baseline (CALVO, arXiv 2603.21257,
/// section 2.3) that can be worse than fifo where loading dominates.
class sjf_pt_policy final : public policy {
    rank_value do_rank(const request_view&, stage_id, time_point) noexcept override;
};

/// `sjf`: shortest load + compute, as predicted at admission, first (CALVO, section 3.2).
class sjf_policy final : public policy {
    rank_value do_rank(const request_view&, stage_id, time_point) noexcept override;
};

/// `srpt`: shortest *remaining* load + compute first.
class srpt_policy final : public policy {
 public:
    [[nodiscard]] bool ranks_by_service() const noexcept override { return true; }

 private:
    rank_value do_rank(const request_view&, stage_id, time_point) noexcept override;
};

/// What edf, lstf and on_time share: requests with deadlines, and what becomes of those that will
/// miss them.
///
/// With `late_last` (option `late_last=on|off`, on) a request that can no longer make its deadline,
/// now + what remains of it, alone > deadline, ranks behind all that still can, by remaining cost:
/// what is lost anyway must not make others late too. Off is the form of the papers. A request
/// without a deadline goes behind those that can make theirs, in arrival order.
class deadline_policy : public policy {
 public:
    [[nodiscard]] time_point next_change(const request_view& r, time_point now) noexcept final;

 protected:
    explicit deadline_policy(bool late_last) noexcept : late_last_(late_last) {}
    [[nodiscard]] bool late_last() const noexcept { return late_last_; }

 private:
    rank_value do_rank(const request_view& r, stage_id stage, time_point now) noexcept final;
    /// The rank of one that has a deadline and can make it.
    [[nodiscard]] virtual double rank_in_time(const request_view& r) const noexcept = 0;

    bool late_last_;
};

/// `edf`: earliest deadline first.
class edf_policy final : public deadline_policy {
 public:
    explicit edf_policy(bool late_last = true) noexcept : deadline_policy(late_last) {}
    explicit edf_policy(const policy_options& options);

 private:
    [[nodiscard]] double rank_in_time(const request_view& r) const noexcept override;
};

/// `lstf`: least slack first. With `late_last=off` by the latest start, deadline - (load + compute
/// as predicted at admission); CALVO, section 3.2. With `late_last`, by when a stage has to be done
/// with the request: deadline - compute. Stages are preemptive, and there the end is what counts:
/// of two with the same deadline the latest start favours the larger, and when not both can make it
/// that is the wrong one. Service does not re-rank: slack that grew with service would share the
/// processor.
class lstf_policy final : public deadline_policy {
 public:
    explicit lstf_policy(bool late_last = true) noexcept : deadline_policy(late_last) {}
    explicit lstf_policy(const policy_options& options);

 private:
    [[nodiscard]] double rank_in_time(const request_view& r) const noexcept override;
};

/// `on_time`: deadline + remaining load + compute: between edf and srpt. Of two deadlines that are
/// close the smaller request goes first: it makes the other wait less, and if something has to be
/// given up later it is one large request in place of several. More make their deadlines than under
/// edf, and the mean TTFT is lower.
class on_time_policy final : public deadline_policy {
 public:
    explicit on_time_policy(bool late_last = true) noexcept : deadline_policy(late_last) {}
    explicit on_time_policy(const policy_options& options);

    [[nodiscard]] bool ranks_by_service() const noexcept override { return true; }

 private:
    [[nodiscard]] double rank_in_time(const request_view& r) const noexcept override;
};

/// A policy around another: everything is passed on; subclasses change what they mean to change.
class policy_wrapper : public policy {
 public:
    [[nodiscard]] time_point next_change(const request_view& r, time_point now) noexcept override;
    [[nodiscard]] duration interval() const noexcept override;
    [[nodiscard]] bool ranks_by_service() const noexcept override;
    [[nodiscard]] flow_share flow(const request_view& r) noexcept override;
    [[nodiscard]] bool ranks_applications() const noexcept override;
    [[nodiscard]] rank_value rank_application(const demand::application_view& a,
                                              time_point now) noexcept override;
    [[nodiscard]] time_point next_application_change(const demand::application_view& a,
                                                     time_point now) noexcept override;
    void application_begun(const demand::application_view& a, time_point now) noexcept override;
    void application_ended(app_handle a, time_point now) noexcept override;
    void submitted(const request_view& r, time_point now) noexcept override;
    void served(const request_view& r, stage_id stage, double seconds) noexcept override;
    void done(const request_view& r, time_point now) noexcept override;

 protected:
    /// \pre `inner` is not null
    explicit policy_wrapper(std::unique_ptr<policy> inner) noexcept;
    [[nodiscard]] policy& inner() const noexcept { return *inner_; }

    rank_value do_rank(const request_view& r, stage_id stage, time_point now) noexcept override;

 private:
    std::unique_ptr<policy> inner_;
};

/// `aging:after=SECONDS(inner)`: a request that has waited that long since its arrival goes before
/// all that have not, oldest first; until then the inner policy ranks. So nothing that arrives
/// after that moment starts an operation before it at a stage where it has work. Also when it is
/// wrapped in `fair`: the overdue wait for no tenant.
class aging_policy final : public policy_wrapper {
 public:
    /// \pre `inner` is not null, `after` is not negative
    aging_policy(std::unique_ptr<policy> inner, duration after) noexcept;
    explicit aging_policy(const policy_options& options);

    [[nodiscard]] time_point next_change(const request_view& r, time_point now) noexcept override;

 private:
    rank_value do_rank(const request_view& r, stage_id stage, time_point now) noexcept override;

    duration after_;
};

/// `fair(inner)`: tenants share every stage by weight (start-time fair queueing in the stages'
/// queues); the inner policy orders the requests of one tenant.
class fair_policy final : public policy_wrapper {
 public:
    /// \pre `inner` is not null
    explicit fair_policy(std::unique_ptr<policy> inner) noexcept;
    explicit fair_policy(const policy_options& options);

    [[nodiscard]] flow_share flow(const request_view& r) noexcept override;
};

}  // namespace sluice
