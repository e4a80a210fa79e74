// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sluice {

/// Groups of ranks: every request of an earlier tier goes before all of a later one.
enum class rank_tier : std::uint8_t {
    overdue = 0,  ///< has waited too long (the aging wrapper); goes even before L1 holders
    normal = 1,
    hopeless = 2,    ///< cannot make its deadline any more (late_last)
    background = 3,  ///< prewarming: after everything that somebody waits for
};

/// The place of a request in a stage's queue, or of an application among others. Smaller goes
/// first; equals go in arrival order.
struct rank_value {
    double value = 0;
    rank_tier tier = rank_tier::normal;

    // A policy's rank is usually just a number.
    rank_value(double v = 0, rank_tier t = rank_tier::normal) noexcept : value(v), tier(t) {}

    friend bool operator==(const rank_value&, const rank_value&) = default;
};

}  // namespace sluice
