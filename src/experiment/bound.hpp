// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <span>
#include <vector>

#include "load.hpp"
#include "profile.hpp"

namespace sluice::experiment {

/// What a request cannot do without at one stage, in seconds.
struct bound_leg {
    double head_s = 0;  ///< from its arrival until the stage can begin to work for it
    double work_s = 0;  ///< of the stage's resource
    double tail_s = 0;  ///< from the end of that work until its first token
};

/// A request as the bound sees it.
struct bound_job {
    double arrival_s = 0;
    std::array<bound_leg, 3> legs;  ///< fetch, copy, compute
};

/// Lower bounds of the mean TTFT, each from one thing that no schedule can avoid.
struct ttft_bound {
    double alone_s = 0;  ///< no request is faster than alone on an idle system
    double fetch_s = 0;  ///< the link serves one at a time
    double copy_s = 0;
    double compute_s = 0;

    /// The largest, which holds too.
    [[nodiscard]] double mean_s() const noexcept;
};

/// A lower bound of the mean TTFT that any schedule of the three stages can reach which knows all
/// arrivals and sizes, may preempt whenever it likes, and has as much memory as it likes.
///
/// Of each stage by itself: shortest remaining work first, preemptive and work-conserving, has the
/// smallest sum of completion times on one machine with release times (Schrage 1968), and heads and
/// tails are there under every schedule. docs/bound.md has the derivation. O(n log n).
///
/// \pre `jobs` are not empty, and everything in them is finite and not negative
[[nodiscard]] ttft_bound clairvoyant_ttft(std::span<const bound_job> jobs);

/// The requests of a load on a machine: what is cached in L3 at the start is loaded, the rest
/// computed. A block of several requests costs none of them anything, and neither does what an
/// operation or a message costs beside its bytes.
///
/// \param fastest_link  the largest factor on the link's rate, if it drifts
[[nodiscard]] std::vector<bound_job> bound_jobs(const hardware_profile& hardware,
                                                const kv_model& model, const load& requests,
                                                double fastest_link = 1);

}  // namespace sluice::experiment
