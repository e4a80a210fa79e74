// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <span>

namespace sluice::demand {

/// One way in which an application may go on, as seen from now: when something is needed, or when
/// it becomes clear that it is not.
struct need_sample {
    double seconds = 0;  ///< from now
    bool used = true;    ///< false: at that moment the application ends or goes another way
    double weight = 1;   ///< among all samples
};

/// When something will be needed: a few weighted points that stand for any number of samples, so
/// that a decision costs the same whatever the records are. A value; allocates nothing.
class need_forecast {
 public:
    /// Of the samples with a need and of those without, each. Points stand for about equal weights
    /// of samples, at their mean.
    static constexpr std::size_t max_points_each = 48;

    struct point {
        double seconds = 0;
        double weight = 0;  ///< all together weigh 1
        bool used = true;
    };

    /// Never needed.
    need_forecast() = default;

    /// Negative times count as now. Samples whose numbers are none or infinite, or whose weight is
    /// not positive, are left out. Allocates while it sorts.
    static need_forecast of(std::span<const need_sample> samples);

    /// In order of time.
    [[nodiscard]] std::span<const point> points() const noexcept { return {points_.data(), size_}; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    /// That it is needed at all.
    [[nodiscard]] double probability() const noexcept;
    /// That it is needed by then.
    [[nodiscard]] double probability_by(double seconds) const noexcept;

 private:
    std::array<point, 2 * max_points_each> points_{};
    std::size_t size_ = 0;
};

}  // namespace sluice::demand
