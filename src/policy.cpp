// SPDX-License-Identifier: Apache-2.0
#include <sluice/sched/policy.hpp>

#include <cmath>

#include <sluice/demand/application_view.hpp>

namespace sluice {

rank_value policy::rank(const request_view& r, stage_id stage, time_point now) noexcept {
    rank_value rank = static_cast<double>(r.arrival.time_since_epoch().count());
    if (r.admitted) {
        rank = do_rank(r, stage, now);
        if (std::isnan(rank.value)) {
            faults_.fetch_add(1, std::memory_order_relaxed);
        }
    }
    if (r.prewarm) {
        rank.tier = rank_tier::background;
    }
    return rank;
}

rank_value policy::rank_application(const demand::application_view& a, time_point) noexcept {
    return static_cast<double>(a.arrival.time_since_epoch().count());
}

}  // namespace sluice
