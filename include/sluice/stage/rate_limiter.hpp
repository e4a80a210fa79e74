// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include <sluice/base/clock.hpp>

namespace sluice {

/// A resource that serves one operation after the other at a bounded rate, as arithmetic on
/// instants: it neither waits nor holds anything. What arrives while it is busy queues behind, so a
/// backlog keeps it busy without gaps, however late its user wakes up.
///
/// Used by one thread at a time.
class rate_limiter {
 public:
    /// \param bytes_per_second  0 (or less, or NaN): bytes take no time.
    /// \param per_operation     taken by every operation besides its bytes; negative counts as 0.
    rate_limiter(double bytes_per_second, duration per_operation) noexcept
        : rate_(bytes_per_second > 0 ? bytes_per_second : 0),
          per_operation_(std::max(per_operation, duration{0})) {}

    /// The rate of what is admitted from now on.
    void set_rate(double bytes_per_second) noexcept {
        rate_ = bytes_per_second > 0 ? bytes_per_second : 0;
    }

    /// Queues an operation of `bytes` that arrives at `arrival`.
    /// \return the instant at which it is through.
    time_point admit(time_point arrival, std::uint64_t bytes) noexcept {
        if (arrival > free_at_) {
            free_at_ = arrival;
            fraction_ = 0;
        }
        // Fractions of a nanosecond are carried over, or a long backlog would run too fast.
        constexpr double limit = 4.6e18;
        const double ns = rate_ > 0 ? static_cast<double>(bytes) * 1e9 / rate_ : 0;
        const double exact = std::min(ns + fraction_, limit);
        const double whole = std::floor(exact);
        fraction_ = exact - whole;
        last_ = per_operation_ + duration{static_cast<duration::rep>(whole)};
        free_at_ = saturating_add(free_at_, last_);
        return free_at_;
    }

    /// When everything admitted is through; the past if it is idle.
    [[nodiscard]] time_point free_at() const noexcept { return free_at_; }
    /// How long the last operation occupies the resource.
    [[nodiscard]] duration last() const noexcept { return last_; }

 private:
    double rate_;
    duration per_operation_;
    double fraction_ = 0;
    duration last_{0};
    time_point free_at_ = time_point::min();
};

}  // namespace sluice
