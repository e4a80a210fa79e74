// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>

#include <sluice/base/clock.hpp>
#include <sluice/base/ids.hpp>
#include <sluice/base/rank.hpp>
#include <sluice/sched/request_view.hpp>

namespace sluice {

namespace demand {
struct application_view;
}

/// Who pays for service, for policies that share a stage between tenants.
struct flow_share {
    std::uint32_t flow = 0;
    double weight = 1;  ///< greater than 0
};

/// The order of requests: subclass it, override `do_rank`, register a name
/// (`SLUICE_REGISTER_POLICY`, policy_registry.hpp); it then works wherever a policy is named.
///
/// \par Calls
/// All on the pipeline's control loop, so a policy keeps state without locks. A slow policy delays
/// ranks, never bytes. Overrides are noexcept.
///
/// \par Errors
/// A rank that is NaN sends the request to the end of its tier and is counted in `faults()`.
class policy {
 public:
    policy() = default;
    policy(const policy&) = delete;
    policy& operator=(const policy&) = delete;
    virtual ~policy() = default;

    /// The rank of `r` at a stage. Until it is admitted (lookup is done, and the policy has been
    /// asked) a request goes behind those that are, by arrival, and `do_rank` is not called. One
    /// that prewarms is in the tier `background`, whatever the policy says.
    [[nodiscard]] rank_value rank(const request_view& r, stage_id stage, time_point now) noexcept;

    /// Ranks that were not a number.
    [[nodiscard]] std::uint64_t faults() const noexcept {
        return faults_.load(std::memory_order_relaxed);
    }

    /// When the rank of `r` next changes although nothing happens to `r`; `never` if it does not.
    /// It is ranked anew then.
    [[nodiscard]] virtual time_point next_change(const request_view&, time_point /*now*/) noexcept {
        return never;
    }

    /// How often all queued requests are ranked anew; zero: never.
    [[nodiscard]] virtual duration interval() const noexcept { return duration{0}; }

    /// Whether ranks depend on remaining or attained time, so that service re-ranks a request. A
    /// policy whose rank worsens with service must say false: it would degenerate into processor
    /// sharing.
    [[nodiscard]] virtual bool ranks_by_service() const noexcept { return false; }

    /// The tenant that service is charged to. Stages serve flows by start-time fair queueing, and
    /// the rank orders the requests of one flow. The default, one flow, is no sharing at all.
    [[nodiscard]] virtual flow_share flow(const request_view&) noexcept { return {}; }

    /// \name Applications: many requests, and work elsewhere, one after the other
    /// Where the pipeline has an `app_tracker`. An application is ranked when it begins or ends a
    /// unit, after it has made progress (at the tracker's interval), and at
    /// `next_application_change`. The rank goes to all its requests as `application_rank`, and to
    /// queues outside by `app_tracker::rank`. All requests of one are ranked anew when it changes.
    ///@{

    /// Whether `do_rank` looks at `application_rank`.
    [[nodiscard]] virtual bool ranks_applications() const noexcept { return false; }
    /// The default is by arrival.
    [[nodiscard]] virtual rank_value rank_application(const demand::application_view& a,
                                                      time_point now) noexcept;
    /// As `next_change`, of an application.
    [[nodiscard]] virtual time_point next_application_change(const demand::application_view&,
                                                             time_point /*now*/) noexcept {
        return never;
    }
    /// Before its first rank.
    virtual void application_begun(const demand::application_view&, time_point /*now*/) noexcept {}
    /// The last call for it.
    virtual void application_ended(app_handle, time_point /*now*/) noexcept {}
    ///@}

    /// `r` was submitted; it is not admitted yet.
    virtual void submitted(const request_view&, time_point /*now*/) noexcept {}
    /// `r` received `seconds` of a stage's resource.
    virtual void served(const request_view&, stage_id, double /*seconds*/) noexcept {}
    /// `r` has had its outcome; the last call for it, but that one which is ready, and waits for
    /// the engine to compute it, is ranked anew when its application is.
    virtual void done(const request_view&, time_point /*now*/) noexcept {}

 private:
    [[nodiscard]] virtual rank_value do_rank(const request_view& r, stage_id stage,
                                             time_point now) noexcept = 0;

    std::atomic<std::uint64_t> faults_{0};
};

}  // namespace sluice
