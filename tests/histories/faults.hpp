// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <map>
#include <tuple>

#include "agenda.hpp"
#include "checker.hpp"
#include "dice.hpp"
#include "history.hpp"
#include "order_checks.hpp"
#include "simulated.hpp"

namespace sluice::histories {

/// The faults of a history, found by what they are planted at.
class fault_plan {
 public:
    explicit fault_plan(const history& h) {
        for (const fault& f : h.faults) {
            planted_[{f.at, f.key, f.nth}] = &f;
        }
    }

    /// The fault of the next operation of that key at that seam, or null.
    const fault* next(seam at, std::uint64_t key) {
        const std::uint32_t nth = seen_[{at, key}]++;
        const auto it = planted_.find({at, key, nth});
        return it == planted_.end() ? nullptr : it->second;
    }

 private:
    std::map<std::tuple<seam, std::uint64_t, std::uint32_t>, const fault*> planted_;
    std::map<std::pair<seam, std::uint64_t>, std::uint32_t> seen_;
};

/// What all seams of a history share.
struct seam_world {
    const history& h;
    agenda& clock;
    checker& check;
    order_checks& order;
    l1_memory& l1;
    fault_plan& faults;
    simulated_seams* sim = nullptr;  ///< null: the history's own timings
};

/// When the operations of a seam end: one after the other over a link, then a latency each.
class pacing {
 public:
    pacing(const history& h, const timing& t, double drift = 0)
        : timing_(t),
          drift_(drift),
          d_(h.seed ^ mixed(static_cast<std::uint64_t>(t.latency.count()))) {}

    time_point end_of(time_point now, std::uint64_t bytes, const fault* f) {
        // The bandwidth drifts down and up again, with a period of 10 ms.
        const double phase = static_cast<double>(now.time_since_epoch().count() % 10'000'000) / 1e7;
        const double slow = 1 + drift_ * (0.5 - 0.5 * std::cos(6.283185 * phase));
        busy_until_ = std::max(busy_until_, now) +
                      duration{static_cast<duration::rep>(static_cast<double>(bytes) *
                                                          timing_.ns_per_byte * slow)};
        return busy_until_ + timing_.latency + d_.between(duration{0}, timing_.jitter) +
               (f != nullptr ? f->extra : duration{0});
    }

 private:
    timing timing_;
    double drift_;
    dice d_;
    time_point busy_until_{};
};

}  // namespace sluice::histories
