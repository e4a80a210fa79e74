// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <sluice/base/clock.hpp>
#include <sluice/base/ids.hpp>
#include <sluice/sched/policy.hpp>
#include <sluice/sched/policy_registry.hpp>
#include <sluice/sched/request_view.hpp>

namespace sluice {

// Policies that order whole applications, after Hermes (arXiv 2506.14851). Their ranks go to all
// requests of an application; `make_policy` makes them by name.

/// What they share: a request ranks as its application does, and one that is part of none as an
/// application of its own.
class application_policy : public policy {
 public:
    [[nodiscard]] bool ranks_applications() const noexcept final { return true; }
    [[nodiscard]] rank_value rank_application(const demand::application_view& a,
                                              time_point now) noexcept override = 0;

 private:
    rank_value do_rank(const request_view& r, stage_id stage, time_point now) noexcept final;
    /// The default is what is left of its load and compute, in seconds.
    [[nodiscard]] virtual rank_value rank_alone(const request_view& r, time_point now) noexcept;
};

/// `gittins`: by the Gittins index of what is left: the least of E[min(X, d)] / P(X <= d) over all
/// d, in seconds of service. With `online` (`online=on|off`, on) X is what the runs of the class
/// that were like this one so far had left; without, what is left of all that were not shorter
/// (Hermes without refinement).
class gittins_policy final : public application_policy {
 public:
    explicit gittins_policy(bool online = true) noexcept : online_(online) {}
    explicit gittins_policy(const policy_options& options);
    [[nodiscard]] rank_value rank_application(const demand::application_view& a,
                                              time_point now) noexcept override;

 private:
    bool online_;
};

/// `gittins_artifact`: as the published artifact of Hermes computes it: over the whole class, in
/// ten buckets, without the cost of those that are not done at the end of one, and 0 beyond all
/// samples.
class gittins_artifact_policy final : public application_policy {
 public:
    [[nodiscard]] rank_value rank_application(const demand::application_view& a,
                                              time_point now) noexcept override;
};

/// `mean_srpt`: by the mean of what is left. `online` as in `gittins`; without it, by the mean of
/// the class less what has been received, which may be below 0.
class mean_srpt_policy final : public application_policy {
 public:
    explicit mean_srpt_policy(bool online = true) noexcept : online_(online) {}
    explicit mean_srpt_policy(const policy_options& options);
    [[nodiscard]] rank_value rank_application(const demand::application_view& a,
                                              time_point now) noexcept override;

 private:
    bool online_;
};

/// `app_fifo`: by the arrival of the application.
class app_fifo_policy final : public application_policy {
 public:
    [[nodiscard]] rank_value rank_application(const demand::application_view& a,
                                              time_point now) noexcept override;

 private:
    [[nodiscard]] rank_value rank_alone(const request_view& r, time_point now) noexcept override;
};

/// `las`: least attained service first, in seconds.
class las_policy final : public application_policy {
 public:
    [[nodiscard]] rank_value rank_application(const demand::application_view& a,
                                              time_point now) noexcept override;

 private:
    [[nodiscard]] rank_value rank_alone(const request_view& r, time_point now) noexcept override;
};

/// `vtc`: virtual token counters: least first of what an application has received, prompt tokens /
/// 10 + completion tokens over its tenant's weight, less its share of what was given out in its
/// time: each token is on everybody's budget, in equal parts of those that are there. So who comes
/// later does not go before all that were there.
class vtc_policy final : public application_policy {
 public:
    [[nodiscard]] rank_value rank_application(const demand::application_view& a,
                                              time_point now) noexcept override;
    void application_begun(const demand::application_view& a, time_point now) noexcept override;
    void application_ended(app_handle a, time_point now) noexcept override;

 private:
    [[nodiscard]] rank_value rank_alone(const request_view& r, time_point now) noexcept override;

    // The budget is the same for all, so it is kept once: a counter begins at what had been given
    // out before it, and no counter changes when others receive.
    struct counter {
        double received = 0;
        double begun_at = 0;
    };
    std::vector<counter> counters_;  // by index
    double given_ = 0;               // to one application, of equal parts, since the beginning
    std::uint32_t live_ = 0;
};

/// `app_lstf`: for deadlines of applications. With `late_last=off` least slack first: deadline
/// less what is left of the longest path, as a `quantile` (0.5 to 1, 0.9) of the runs that were
/// like this one so far has it; 1 is their worst case, as in Hermes. With `late_last` (on) by
/// deadline + what is left in seconds of service, its mean: of deadlines that are close the smaller
/// goes first, as under `on_time`; and who will hardly make it any more, now + `pace` (0 to 10,
/// 0.4) x what is left of the path by the opposite quantile > deadline, goes behind all others,
/// least remaining service first. The tracker's rates are those of a loaded engine; `pace` is what
/// a call takes of that if nobody else is there. An application without a deadline goes behind
/// those that can make theirs, as under `gittins`. Loading counts as the tracker's rates say.
class app_lstf_policy final : public application_policy {
 public:
    explicit app_lstf_policy(double quantile = 0.9, bool late_last = true,
                             double pace = 0.4) noexcept
        : quantile_(quantile), pace_(pace), late_last_(late_last) {}
    explicit app_lstf_policy(const policy_options& options);
    [[nodiscard]] rank_value rank_application(const demand::application_view& a,
                                              time_point now) noexcept override;
    [[nodiscard]] time_point next_application_change(const demand::application_view& a,
                                                     time_point now) noexcept override;

 private:
    [[nodiscard]] rank_value rank_alone(const request_view& r, time_point now) noexcept override;
    [[nodiscard]] time_point latest(const demand::application_view& a) const noexcept;

    double quantile_;
    double pace_;
    bool late_last_;
};

/// `oracle`: by what is really left, where the caller knows it (`app_spec::known_service_s`):
/// `by=sum|path`, sum. One of which it is not known goes by its mean.
class oracle_policy final : public application_policy {
 public:
    explicit oracle_policy(bool by_path = false) noexcept : by_path_(by_path) {}
    explicit oracle_policy(const policy_options& options);
    [[nodiscard]] rank_value rank_application(const demand::application_view& a,
                                              time_point now) noexcept override;

 private:
    bool by_path_;
};

}  // namespace sluice
