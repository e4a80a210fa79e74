// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace sluice::demand::detail {

/// y as a linear function of a few of many features.
struct ridge_fit {
    static constexpr std::size_t max_used = 8;

    double intercept = 0;
    std::array<std::uint32_t, max_used> feature{};
    std::array<double, max_used> slope{};
    std::size_t used = 0;  ///< 0: no feature says anything of y
    /// Of the variance, what leaving each sample out and predicting it explains.
    double r2 = 0;

    [[nodiscard]] double predict(std::span<const double> x) const noexcept {
        double y = intercept;
        for (std::size_t i = 0; i < used; ++i) {
            y += slope[i] * x[feature[i]];
        }
        return y;
    }
};

/// Fits y by the features that go with it. `x` has `count` features per sample.
///
/// Used are the `max_used` most correlated features, and none whose |Pearson| is below 0.2 or two
/// standard errors. The ridge is the best of a few by leave-one-out prediction, and where that
/// predicts no better than the mean does, nothing is used.
///
/// \param held_out  gets the leave-one-out prediction of each sample, if something is used
[[nodiscard]] ridge_fit fit_ridge(std::span<const double> x, std::size_t count,
                                  std::span<const double> y, std::vector<double>& held_out);

}  // namespace sluice::demand::detail
