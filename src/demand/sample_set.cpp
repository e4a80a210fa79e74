// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/sample_set.hpp>

#include <algorithm>
#include <array>
#include <cmath>

namespace sluice::demand {
namespace {

// Where the quantile stands among n > 0 samples.
std::size_t place_of(double q, std::size_t n) noexcept {
    const double part = q > 0 ? std::min(q, 1.0) : 0;
    const auto rank = static_cast<std::size_t>(std::ceil(part * static_cast<double>(n)));
    return std::clamp<std::size_t>(rank, 1, n) - 1;
}

}  // namespace

void sample_set::assign(std::span<const double> samples) {
    values_.clear();
    for (const double s : samples) {
        if (s >= 0 && std::isfinite(s)) {
            values_.push_back(s);
        }
    }
    std::sort(values_.begin(), values_.end());
    sums_.resize(values_.size() + 1);
    sums_[0] = 0;
    for (std::size_t i = 0; i < values_.size(); ++i) {
        sums_[i + 1] = sums_[i] + values_[i];
    }
}

void sample_set::assign_sorted(std::span<const double> samples) {
    values_.assign(samples.begin(), samples.end());
    sums_.resize(values_.size() + 1);
    sums_[0] = 0;
    for (std::size_t i = 0; i < values_.size(); ++i) {
        sums_[i + 1] = sums_[i] + values_[i];
    }
}

std::size_t sample_set::first_beyond(double a) const noexcept {
    return static_cast<std::size_t>(std::upper_bound(values_.begin(), values_.end(), a) -
                                    values_.begin());
}

double sample_set::cdf(double x) const noexcept {
    return empty() ? 1 : static_cast<double>(first_beyond(x)) / static_cast<double>(size());
}

double sample_set::quantile(double q) const noexcept {
    if (empty()) {
        return 0;
    }
    return values_[place_of(q, size())];
}

double sample_set::mean() const noexcept {
    return empty() ? 0 : sums_.back() / static_cast<double>(size());
}

double sample_set::variance() const noexcept {
    const double m = mean();
    double sum = 0;
    for (const double v : values_) {
        sum += (v - m) * (v - m);
    }
    return empty() ? 0 : sum / static_cast<double>(size());
}

double sample_set::mean_remaining(double a) const noexcept {
    const std::size_t first = first_beyond(a);
    if (first == size()) {
        return tail(a);
    }
    return (sums_.back() - sums_[first]) / static_cast<double>(size() - first) - a;
}

double sample_set::quantile_remaining(double q, double a) const noexcept {
    const std::size_t first = first_beyond(a);
    if (first == size()) {
        return tail(a);
    }
    return values_[first + place_of(q, size() - first)] - a;
}

double sample_set::gittins(double a) const noexcept {
    const std::size_t first = first_beyond(a);
    if (first == size()) {
        return tail(a);
    }
    // With the k smallest of n at most D: (their sum + (n - k) D) / k. Of equal samples the last
    // gives the least, so they need no care.
    const std::size_t n = size() - first;
    double best = values_.back();
    for (std::size_t k = 1; k <= n; ++k) {
        const std::size_t i = first + k - 1;
        const double invested = sums_[i + 1] - sums_[first] +
                                static_cast<double>(n - k) * values_[i] -
                                static_cast<double>(n) * a;
        best = std::min(best, invested / static_cast<double>(k));
    }
    return best;
}

double sample_set::gittins_artifact(double a) const noexcept {
    const std::size_t first = first_beyond(a);
    if (first == size()) {
        return 0;
    }
    constexpr int steps = 10;
    const auto n = static_cast<double>(size() - first);
    const double width = (values_.back() - a) / steps;
    double best = values_.back();
    for (int step = 1; step <= steps; ++step) {
        // The last step ends at the largest, however its product is rounded.
        const std::size_t end = step == steps ? size() : first_beyond(a + step * width);
        if (end > first) {
            const auto k = static_cast<double>(end - first);
            const double mean = (sums_[end] - sums_[first]) / k - a;
            best = std::min(best, mean * n / k);
        }
    }
    return best;
}

}  // namespace sluice::demand
