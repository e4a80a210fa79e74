// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace sluice::demand {

/// A distribution of seconds, as samples that count alike. A value; what it answers needs no
/// memory.
///
/// Members that take an age `a` look at what is left of those samples that are larger. Where none
/// is, the application is larger than all that were recorded: its tail is that of a scale-free
/// distribution (Pareto, exponent 1), of which as much is left as there has been: `tail(a)`.
class sample_set {
 public:
    sample_set() = default;
    explicit sample_set(std::span<const double> samples) { assign(samples); }

    /// Takes other samples, in any order. What is negative or not finite is left out. Keeps its
    /// memory.
    void assign(std::span<const double> samples);
    /// As `assign`, of samples that are in ascending order, finite and not negative.
    void assign_sorted(std::span<const double> samples);
    void clear() noexcept { values_.clear(), sums_.clear(); }

    [[nodiscard]] std::size_t size() const noexcept { return values_.size(); }
    [[nodiscard]] bool empty() const noexcept { return values_.empty(); }
    /// In ascending order.
    [[nodiscard]] std::span<const double> values() const noexcept { return values_; }

    /// The part of samples that are at most `x`; 1 if there is none.
    [[nodiscard]] double cdf(double x) const noexcept;
    /// The smallest sample that at least a part `q` of all is at most; 0 if there is none.
    [[nodiscard]] double quantile(double q) const noexcept;
    [[nodiscard]] double mean() const noexcept;
    [[nodiscard]] double max() const noexcept { return values_.empty() ? 0 : values_.back(); }
    /// The variance of the samples.
    [[nodiscard]] double variance() const noexcept;

    /// What is left after `a`, of those with more: the mean; a quantile.
    [[nodiscard]] double mean_remaining(double a) const noexcept;
    [[nodiscard]] double quantile_remaining(double q, double a) const noexcept;

    /// The Gittins rank at age `a`, in seconds: of all ways to invest time D in a job and stop, the
    /// least time invested per job that ends, min over D of E[min(X, D)] / P(X <= D), where X is
    /// what is left. Every sample is tried as D. Smaller goes first: that order has the least mean
    /// completion time.
    [[nodiscard]] double gittins(double a) const noexcept;
    /// The rank as Hermes' published code has it: D in ten steps up to the largest, and time that
    /// is invested in vain is free: E[X | X <= D] / P(X <= D). 0 beyond all samples.
    [[nodiscard]] double gittins_artifact(double a) const noexcept;

    /// What counts as left at an age that no sample reaches.
    [[nodiscard]] static double tail(double a) noexcept { return a > shortest ? a : shortest; }

 private:
    static constexpr double shortest = 1e-3;

    [[nodiscard]] std::size_t first_beyond(double a) const noexcept;

    std::vector<double> values_;
    std::vector<double> sums_;  // of those before
};

}  // namespace sluice::demand
