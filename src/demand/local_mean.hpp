// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice::demand::detail {

/// y as the mean of those samples that are nearest in one feature: where the feature tells kinds of
/// runs apart (a prompt's length, say) and no line goes through them.
class local_mean {
 public:
    /// Takes the best of some features by leave-one-out prediction. Used only where that explains
    /// more than `least` of the variance, and more than chance does: 1.5 / sqrt(samples).
    ///
    /// \param x  `count` features per sample
    /// \param held_out  gets the leave-one-out predictions, if it is used; else unchanged
    void build(std::span<const double> x, std::size_t count,
               std::span<const std::uint32_t> features, std::span<const double> y, double least,
               std::vector<double>& held_out);

    [[nodiscard]] bool used() const noexcept { return near_ > 0; }
    [[nodiscard]] double r2() const noexcept { return r2_; }
    /// \pre used()
    [[nodiscard]] double predict(std::span<const double> row) const noexcept;

 private:
    std::uint32_t feature_ = 0;
    std::size_t near_ = 0;        ///< samples that count
    std::vector<double> sorted_;  ///< the feature
    std::vector<double> sums_;    ///< of y, in that order
    double r2_ = 0;
};

}  // namespace sluice::demand::detail
