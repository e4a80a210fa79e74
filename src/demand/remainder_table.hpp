// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include <sluice/demand/sample_set.hpp>
#include <sluice/demand/unit_visit.hpp>

#include "local_mean.hpp"
#include "ridge.hpp"
#include "run_window.hpp"

namespace sluice::demand::detail {

/// \name What is looked at of a run that has been observed in part
///@{
inline constexpr std::size_t recent_visits = 4;
inline constexpr std::size_t features_per_visit = 7;
inline constexpr std::size_t feature_count = 3 + 2 + 2 + recent_visits * features_per_visit;
using feature_row = std::array<double, feature_count>;

/// Of the unit under way: calls, prompt tokens per call and in all. Of the last visits: tokens per
/// call and in all, calls, the longest completion, seconds. Service and path so far, and the first
/// unit's tokens per call. Those of runs that went the same way stand in the same places.
[[nodiscard]] feature_row features_of(std::span<const unit_visit> ended,
                                      const std::optional<unit_visit>& current,
                                      const service_rates& rates) noexcept;
/// Those that may tell kinds of runs apart: tokens per call of the unit under way, the last one and
/// the first one.
[[nodiscard]] std::vector<std::uint32_t> kind_features(std::size_t ended, bool begun);
///@}

/// A place in a run of the window.
struct run_place {
    std::uint64_t run = 0;  ///< as `window_mark::added` counts, from 0
    std::uint32_t visit = 0;
};

/// What was left of recorded runs at one place, and how it goes with what was observed until then.
class remainder_table {
 public:
    /// Of one kind of seconds.
    class side {
     public:
        /// Takes the remainders at `places`, and their features, if they have any.
        void build(std::span<const double> left, std::span<const double> features,
                   std::span<const std::uint32_t> kinds);
        [[nodiscard]] bool regressed() const noexcept { return fit_.used > 0 || local_.used(); }
        /// Of the variance, what predicting each run by the others explains. \pre regressed()
        [[nodiscard]] double r2() const noexcept { return local_.used() ? local_.r2() : fit_.r2; }
        /// All.
        [[nodiscard]] const sample_set& samples() const noexcept { return samples_; }
        /// Those of the runs most like a row of features, in its size. \pre regressed()
        void near(const feature_row& row, std::vector<double>& scratch, sample_set& out) const;
        /// The places of those runs. \pre regressed()
        [[nodiscard]] std::span<const std::uint32_t> near(const feature_row& row) const noexcept;

     private:
        [[nodiscard]] double predict(const feature_row& row) const noexcept;
        [[nodiscard]] std::size_t first_near(double predicted) const noexcept;
        [[nodiscard]] std::size_t count_near() const noexcept;

        sample_set samples_;
        ridge_fit fit_;
        local_mean local_;
        double least_ = 0;  ///< that is ever predicted
        double small_ = 0;  ///< below, errors are no part of what is predicted but seconds
        /// By what was predicted of each run without it, in ascending order.
        std::vector<double> predicted_;
        std::vector<double> actual_;  ///< what it was
        std::vector<std::uint32_t> order_;
    };

    window_mark mark;
    std::vector<run_place> places;
    side service;
    side path;

    /// Makes both sides of `places`. `features`: one row for each, or none; `kinds` as
    /// `kind_features`.
    void build(const run_window& runs, std::span<const double> features,
               std::span<const std::uint32_t> kinds);
};

}  // namespace sluice::demand::detail
