// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "summary.hpp"

namespace sluice::experiment {

// What a sweep measures of a run. A seed gives one number per measure; figures show the mean over
// seeds and its 95 % interval.

/// How a number is written.
enum class measure_unit : std::uint8_t {
    seconds,
    share,       ///< 0 to 1, written as percent
    change,      ///< of a share or a time: relative, written as percent with its sign
    points,      ///< a difference of shares, written as percentage points with its sign
    gb_s,        ///< 1e9 bytes per second
    per_second,  ///< tokens, requests
    ratio,
    count,
};

enum class measure_id : std::uint8_t {
    arrived,  ///< requests of the run
    ttft_mean,
    ttft_p50,
    ttft_p95,
    ttft_p99,
    ttft_max,
    attainment,  ///< of all deadlines
    attainment_2x,
    attainment_4x,
    attainment_8x,
    finished,      ///< share of the requests that got their first token
    bound,         ///< clairvoyant lower bound of the mean TTFT
    over_bound,    ///< mean TTFT above that bound, relative to it
    offered_load,  ///< of the coupled baseline
    bottleneck,    ///< arrival rate times the mean seconds of the pipeline's busiest stage
    qps,
    busy_fetch,
    busy_copy,
    busy_compute,
    fetch_gb_s,  ///< bytes over the time in which some request's fetch was not done
    copy_gb_s,
    compute_tokens_s,
    error_fetch,  ///< relative error of the predicted seconds
    error_copy,
    error_compute,
};
inline constexpr std::size_t measure_count =
    static_cast<std::size_t>(measure_id::error_compute) + 1;

struct measure_info {
    measure_id id;
    std::string_view name;   ///< in sweep files and as a column of the CSV
    std::string_view label;  ///< on axes and above columns, without the unit
    measure_unit unit;
    int better;  ///< -1: less is better, +1: more is better, 0: neither
};
/// All of them, in the order of `measure_id`.
[[nodiscard]] std::span<const measure_info> measures() noexcept;
[[nodiscard]] const measure_info& info_of(measure_id id) noexcept;
/// Null if no measure has that name.
[[nodiscard]] const measure_info* find_measure(std::string_view name) noexcept;

/// One seed's numbers; NaN where there is none, as of a deadline multiple that nobody drew.
using measured = std::array<double, measure_count>;

/// What is shown of runs: a measure, or how it changes against another run, seed by seed.
struct shown_measure {
    measure_id id = measure_id::ttft_mean;
    std::string label;    ///< replaces the measure's own; may be empty
    std::string against;  ///< a variant's label; empty: the number itself

    [[nodiscard]] measure_unit unit() const noexcept;
    /// "mean TTFT", "deadlines met against coupled fifo".
    [[nodiscard]] std::string name() const;
    /// The same with its unit, for axes and columns: "mean TTFT, s", "deadlines met against coupled
    /// fifo, points".
    [[nodiscard]] std::string title() const;
};

/// Of one run over its seeds; `reference` is the run that `against` names, with the same seeds, or
/// null. Differences are taken seed by seed, so what both runs share cancels out.
[[nodiscard]] estimate estimate_of(const shown_measure& shown, std::span<const measured> seeds,
                                   const std::vector<measured>* reference);

/// Decimals with which a column or an axis of these is written, so that its cells compare.
[[nodiscard]] int decimals_of(measure_unit unit, std::span<const estimate> values) noexcept;
/// "0.412 ±0.013", or without the interval where there is none; "-" for what is no number.
[[nodiscard]] std::string text_of(estimate value, measure_unit unit, int decimals);

}  // namespace sluice::experiment
