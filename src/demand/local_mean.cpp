// SPDX-License-Identifier: Apache-2.0
#include "local_mean.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sluice::demand::detail {

void local_mean::build(std::span<const double> x, std::size_t count,
                       std::span<const std::uint32_t> features, std::span<const double> y,
                       double least, std::vector<double>& held_out) {
    near_ = 0;
    const std::size_t samples = y.size();
    constexpr std::size_t fewest = 20;
    if (samples < fewest) {
        return;
    }
    const auto n = static_cast<double>(samples);
    const double mean = std::accumulate(y.begin(), y.end(), 0.0) / n;
    double squares = 0;
    for (const double v : y) {
        squares += (v - mean) * (v - mean);
    }
    squares *= (n / (n - 1)) * (n / (n - 1));  // the mean, too, is of the others
    r2_ = std::max(least, 1.5 / std::sqrt(n));
    const std::size_t near = std::max<std::size_t>(8, samples / 10);
    std::vector<std::uint32_t> order(samples);
    std::vector<double> sums(samples + 1);
    std::vector<double> predicted(samples);
    for (const std::uint32_t f : features) {
        std::iota(order.begin(), order.end(), 0u);
        std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
            return x[a * count + f] < x[b * count + f];
        });
        for (std::size_t i = 0; i < samples; ++i) {
            sums[i + 1] = sums[i] + y[order[i]];
        }
        double errors = 0;
        for (std::size_t i = 0; i < samples; ++i) {
            const std::size_t low = std::min(i - std::min(i, near / 2), samples - near - 1);
            const std::uint32_t self = order[i];
            predicted[self] =
                (sums[low + near + 1] - sums[low] - y[self]) / static_cast<double>(near);
            errors += (y[self] - predicted[self]) * (y[self] - predicted[self]);
        }
        const double r2 = squares > 0 ? 1 - errors / squares : 0;
        if (r2 > r2_) {
            r2_ = r2;
            feature_ = f;
            near_ = near;
            sums_ = sums;
            held_out = predicted;
            sorted_.clear();
            for (const std::uint32_t i : order) {
                sorted_.push_back(x[i * count + f]);
            }
        }
    }
}

double local_mean::predict(std::span<const double> row) const noexcept {
    const auto at = static_cast<std::size_t>(
        std::lower_bound(sorted_.begin(), sorted_.end(), row[feature_]) - sorted_.begin());
    const std::size_t low = std::min(at - std::min(at, near_ / 2), sorted_.size() - near_);
    return (sums_[low + near_] - sums_[low]) / static_cast<double>(near_);
}

}  // namespace sluice::demand::detail
