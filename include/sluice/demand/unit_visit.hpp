// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include <sluice/demand/run_record.hpp>

namespace sluice::demand {

/// Names a unit within one demand model.
using unit_id = std::uint32_t;
/// No unit that the model knows; where a unit comes next, the end.
inline constexpr unit_id no_unit = UINT32_MAX;

/// What work costs. Seconds of a call are
/// load * cached + prefill * (prompt - cached) + decode * completion + the call's own seconds.
struct service_rates {
    double prefill_s_per_token = 1e-4;
    double decode_s_per_token = 0.06;
    double load_s_per_token = 0;

    friend bool operator==(const service_rates&, const service_rates&) = default;
};

/// A visit of a unit, as a model sees it: sums over its calls, and the largest of each.
struct unit_visit {
    unit_id unit = no_unit;
    std::uint32_t calls = 1;
    std::uint64_t prompt_tokens = 0;
    std::uint64_t cached_tokens = 0;  ///< of those: loaded
    std::uint64_t completion_tokens = 0;
    double seconds = 0;
    std::uint64_t max_prompt_tokens = 0;  ///< of one call
    std::uint64_t max_cached_tokens = 0;
    std::uint64_t max_completion_tokens = 0;
    double max_seconds = 0;
};

/// The sums of a record's calls. Its `unit` is to be filled in.
[[nodiscard]] unit_visit visit_of(const unit_record& unit) noexcept;

/// What has been observed of a live run.
struct observation {
    /// Visits that have ended, in order.
    std::span<const unit_visit> ended;
    /// The visit that is under way: of it, unit, calls, prompt and cached tokens are looked at.
    std::optional<unit_visit> current;
};

/// Seconds of all calls together: how long they keep a backend busy.
[[nodiscard]] double service_seconds(const unit_visit& visit, const service_rates& rates) noexcept;
/// Seconds of the longest call, made of the largest prompt, completion and time of any.
[[nodiscard]] double path_seconds(const unit_visit& visit, const service_rates& rates) noexcept;
/// The same of a whole run.
[[nodiscard]] double service_seconds(const run_record& run, const service_rates& rates) noexcept;
[[nodiscard]] double path_seconds(const run_record& run, const service_rates& rates) noexcept;

}  // namespace sluice::demand
