// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>

namespace sluice {

/// Spans of time; nanoseconds everywhere, so that virtual and real time share one type.
using duration = std::chrono::nanoseconds;

/// The clock of a `loop`. It has no `now()`: time is asked from a loop, which may be virtual.
struct clock {
    using rep = sluice::duration::rep;
    using period = sluice::duration::period;
    using duration = sluice::duration;
    using time_point = std::chrono::time_point<clock>;
    static constexpr bool is_steady = true;
};

/// An instant of a loop's clock. Loops of one process that run on real time share one clock.
using time_point = clock::time_point;

/// Later than every instant that happens: "no deadline", "no timer".
inline constexpr time_point never = time_point::max();

constexpr double to_seconds(duration d) noexcept { return static_cast<double>(d.count()) * 1e-9; }

/// Seconds to nanoseconds; saturates at about 146 years either way, NaN gives zero.
constexpr duration from_seconds(double seconds) noexcept {
    constexpr double limit = 4.6e9;
    if (!(seconds > -limit)) {
        return seconds == seconds ? duration{static_cast<duration::rep>(-limit * 1e9)}
                                  : duration{0};
    }
    const double clamped = seconds < limit ? seconds : limit;
    return duration{static_cast<duration::rep>(clamped * 1e9)};
}

/// `at + d`, or `never` where that would overflow.
constexpr time_point saturating_add(time_point at, duration d) noexcept {
    if (at == never || (d.count() > 0 && at > never - d)) {
        return never;
    }
    return at + d;
}

}  // namespace sluice
