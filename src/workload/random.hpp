// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace sluice::workload {

/// A well mixed function of its argument (the finaliser of SplitMix64).
constexpr std::uint64_t mix(std::uint64_t x) noexcept {
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/// A random word named by its arguments, so that what one request draws does not depend on how many
/// others there are.
constexpr std::uint64_t draw(std::uint64_t seed, std::uint64_t stream,
                             std::uint64_t index) noexcept {
    return mix(mix(mix(seed) ^ stream) ^ index);
}

/// A word as a number in [0, 1).
constexpr double to_unit(std::uint64_t word) noexcept {
    return static_cast<double>(word >> 11) * 0x1p-53;
}

/// A sequence of random numbers: the same for a seed with every compiler and library, which the
/// standard's distributions do not promise.
class random_source {
 public:
    explicit random_source(std::uint64_t seed) noexcept : state_(mix(seed)) {}

    std::uint64_t word() noexcept { return mix(state_++); }
    /// In [0, 1).
    double unit() noexcept { return to_unit(word()); }
    /// In [0, bound); bound above 0. The bias is below 2^-32 for bounds below 2^32.
    std::uint64_t below(std::uint64_t bound) noexcept { return word() % bound; }
    double exponential(double mean) noexcept { return -mean * std::log1p(-unit()); }
    double normal() noexcept {
        const double radius = std::sqrt(-2 * std::log1p(-unit()));
        return radius * std::cos(2 * std::numbers::pi * unit());
    }
    /// Log-normal with that mean and coefficient of variation.
    double log_normal(double mean, double cv) noexcept {
        const double variance = std::log1p(cv * cv);
        return mean * std::exp(std::sqrt(variance) * normal() - variance / 2);
    }

 private:
    std::uint64_t state_;
};

}  // namespace sluice::workload
