// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include <sluice/base/clock.hpp>

namespace sluice::sim::detail {

/// Nanoseconds of a loop's clock with fractions, so that a long backlog loses none. A double keeps
/// a thousandth of one for as long as a run of hours lasts.
using instant = double;
inline constexpr instant no_instant = std::numeric_limits<double>::infinity();

inline instant instant_of(time_point at) noexcept {
    return static_cast<instant>(at.time_since_epoch().count());
}
inline double span_of(duration d) noexcept { return static_cast<double>(d.count()); }
/// The nearest nanosecond.
inline time_point time_of(instant at) noexcept {
    constexpr instant last = 9.2e18;
    return at < last ? time_point{duration{std::llround(at)}} : never;
}

/// How fast something goes from an instant on: a factor, 0 for not at all.
struct speed_step {
    instant from = 0;
    double factor = 1;
};

/// Serves one operation after the other, at a rate that changes at instants that are known before:
/// so the end of each is known when it comes.
class flow {
 public:
    /// \param rate   bytes per second, 0: no limit
    /// \param steps  by time; the factor is 1 before the first
    flow(double rate, std::vector<speed_step> steps) : rate_(rate), steps_(std::move(steps)) {
        steps_.insert(steps_.begin(), {-no_instant, 1});
    }

    /// One operation on its way.
    struct passage {
        instant begin = 0;  ///< its first byte goes
        instant end = 0;    ///< its last byte has gone; never: `no_instant`
    };

    /// What would become of an operation that arrives at `now`. \pre no earlier than those before
    [[nodiscard]] passage ask(instant now, double overhead, std::uint64_t bytes) noexcept {
        instant at = std::max(now, free_at_);
        while (step_ + 1 < steps_.size() && steps_[step_ + 1].from <= at) {
            ++step_;
        }
        const instant begin = moving(at) + overhead;
        return {begin, through(begin, static_cast<double>(bytes))};
    }

    /// Lets the operation pass.
    void admit(instant now, const passage& p) noexcept {
        busy_ += p.end - std::max(now, free_at_);
        free_at_ = p.end;
    }

    /// Forgets what waits, at `now`.
    void drop(instant now) noexcept {
        busy_ -= std::max(0.0, free_at_ - now);
        free_at_ = std::min(free_at_, now);
        step_ = 0;
    }

    /// How long `bytes` take at the rate of this instant. \pre it does not stand still
    [[nodiscard]] double span(instant now, std::uint64_t bytes) const noexcept {
        if (rate_ == 0) {
            return 0;
        }
        std::size_t i = step_;
        while (i + 1 < steps_.size() && steps_[i + 1].from <= now) {
            ++i;
        }
        return static_cast<double>(bytes) * 1e9 / (rate_ * steps_[i].factor);
    }

    [[nodiscard]] double busy_seconds(instant now) const noexcept {
        return (busy_ - std::max(0.0, free_at_ - now)) * 1e-9;
    }

 private:
    // `at`, or the end of the stop in which it lies.
    [[nodiscard]] instant moving(instant at) const noexcept {
        std::size_t i = step_;
        while (steps_[i].factor == 0) {
            if (++i == steps_.size()) {
                return no_instant;
            }
            at = steps_[i].from;
        }
        return at;
    }

    [[nodiscard]] instant through(instant at, double bytes) const noexcept {
        for (std::size_t i = step_; at < no_instant; ++i) {
            const instant until = i + 1 < steps_.size() ? steps_[i + 1].from : no_instant;
            const double factor = steps_[i].factor;
            if (until <= at) {
                continue;
            }
            if (factor > 0) {
                const double rate = rate_ * factor;
                const instant end = rate_ > 0 ? at + bytes * 1e9 / rate : at;
                if (end <= until) {
                    return end;
                }
                bytes -= (until - at) * rate * 1e-9;
            }
            at = until;
        }
        return no_instant;
    }

    double rate_;
    std::vector<speed_step> steps_;
    std::size_t step_ = 0;  // of `free_at_` or of the last arrival
    instant free_at_ = -no_instant;
    double busy_ = 0;
};

}  // namespace sluice::sim::detail
