// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/demand/demand_model.hpp>

#include "run_window.hpp"

namespace sluice::demand::detail {

/// What a visit of a unit is described by. Tokens and seconds are means over its calls.
enum class quantity : std::uint8_t {
    calls,
    prompt_tokens,
    completion_tokens,
    seconds,
    cached_part,      ///< of the prompt
    prompt_peak,      ///< the largest call's, as a multiple of the mean
    completion_peak,  ///< the same
    seconds_peak,     ///< the same
};
inline constexpr std::size_t quantity_count = 8;
inline constexpr std::array<std::string_view, quantity_count> quantity_names{
    "calls",       "prompt_tokens", "completion_tokens", "seconds",
    "cached_part", "prompt_peak",   "completion_peak",   "seconds_peak"};

using quantity_row = std::array<double, quantity_count>;
[[nodiscard]] quantity_row quantities_of(const unit_visit& visit) noexcept;
[[nodiscard]] unit_visit visit_of(const quantity_row& row) noexcept;

/// What a quantity is where no table says so: one call, all calls alike, nothing else.
[[nodiscard]] constexpr double usual(quantity q) noexcept {
    return q == quantity::calls || q >= quantity::prompt_peak ? 1 : 0;
}
[[nodiscard]] double least_of(quantity q) noexcept;
[[nodiscard]] double most_of(quantity q) noexcept;

/// A distribution by its values at equally spaced probabilities, from 0 to 1; straight between.
struct quantile_table {
    std::vector<double> values;  ///< ascending; empty: always as usual

    [[nodiscard]] double at(double probability) const noexcept;
};

/// The visit of a unit with a number, or all from that on.
struct visit_profile {
    std::array<quantile_table, quantity_count> tables;
    /// Of the last profile of a unit, which may stand for several visits of one run: how much these
    /// have in common, 0 (nothing) to 1 (all alike).
    quantity_row repeat{};
};

struct unit_profile {
    unit_facts facts;
    std::vector<visit_profile> visits;  ///< from the first; the last stands for all that follow
};

/// Units of a run in order, as often as this happens.
struct way_profile {
    double share = 0;
    std::vector<unit_id> units;
};

/// What goes with other things.
struct profile_column {
    unit_id unit = 0;
    std::uint32_t visit = 0;  ///< of `unit_profile::visits`
    quantity what = quantity::calls;
};

/// A class of applications as a file describes it: no run of anyone's, but distributions, and how
/// they go together. Runs can be drawn from it that have the same.
struct profile {
    static constexpr std::size_t max_columns = 96;
    static constexpr std::size_t max_visits = 64;
    static constexpr std::size_t max_values = 1001;
    static constexpr std::size_t max_ways = 4096;

    std::string application;
    std::uint64_t runs = 0;  ///< that it was learned from
    std::vector<unit_profile> units;
    std::vector<way_profile> ways;  ///< ascending by mean service
    std::vector<profile_column> columns;
    /// Spearman, of all pairs of the way (0) and the columns (from 1): rows of columns.size() + 1.
    std::vector<double> correlation;

    [[nodiscard]] std::size_t variables() const noexcept { return columns.size() + 1; }
};

/// \pre runs is not empty
[[nodiscard]] profile profile_of(const std::string& application, std::span<const unit_facts> units,
                                 const run_window& runs);
[[nodiscard]] std::string profile_json(const profile& p);
/// \return kInvalidArgument, as "SOURCE:LINE: what"
[[nodiscard]] absl::StatusOr<profile> parse_profile(std::string_view json, std::string_view source);
/// The same runs for the same seed.
[[nodiscard]] std::vector<std::vector<unit_visit>> draw_runs(const profile& p, std::size_t count,
                                                             std::uint64_t seed);

}  // namespace sluice::demand::detail
