// SPDX-License-Identifier: Apache-2.0
#include <sluice/sched/policy.hpp>

#include <cmath>

namespace sluice {

rank_value policy::rank(const request_view& r, stage_id stage, time_point now) noexcept {
    if (!r.admitted) {
        return static_cast<double>(r.arrival.time_since_epoch().count());
    }
    const rank_value rank = do_rank(r, stage, now);
    if (std::isnan(rank.value)) {
        faults_.fetch_add(1, std::memory_order_relaxed);
    }
    return rank;
}

}  // namespace sluice
