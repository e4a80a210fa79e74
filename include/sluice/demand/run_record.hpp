// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

namespace sluice::demand {

/// A call of a unit that has ended. Tokens of what is a call of a language model, else seconds.
struct call_record {
    std::uint32_t prompt_tokens = 0;
    std::uint32_t completion_tokens = 0;
    std::uint32_t cached_tokens = 0;  ///< of the prompt: loaded, not computed
    double seconds = 0;
};

/// A visit of a unit: calls that run side by side.
struct unit_record {
    std::string unit;
    std::string backend;  ///< "llm"; any other name takes time in place of tokens
    std::vector<call_record> calls;

    [[nodiscard]] bool llm() const noexcept { return backend == "llm"; }
};

/// A run of an application: its units, one after another.
struct run_record {
    std::string application;
    std::uint64_t run = 0;  ///< names it among the runs of its application
    std::vector<unit_record> units;
};

/// \name What a run may hold
///@{
inline constexpr std::size_t max_units_per_run = 4096;
inline constexpr std::size_t max_calls_per_unit = 65536;
inline constexpr std::size_t max_name_bytes = 256;
inline constexpr std::uint32_t max_call_tokens = 1u << 30;
inline constexpr double max_call_seconds = 1e7;
///@}

/// Reads runs, one JSON object per line (docs/demand.md has the keys; those that it does not name
/// are passed over). Units are ordered by "start_order". The calls of a unit whose backend is "dnn"
/// are steps of a chain: they become one call with the sum of their seconds.
///
/// \param source  what errors call the text
/// \return kInvalidArgument, as "SOURCE:LINE: what": not JSON, a key that is missing or out of
///     range, two units in one place.
[[nodiscard]] absl::StatusOr<std::vector<run_record>> parse_runs(std::string_view jsonl,
                                                                 std::string_view source);

/// Reads a file of runs. \return as `parse_runs`; kNotFound, kPermissionDenied, kUnavailable: it
/// cannot be read.
[[nodiscard]] absl::StatusOr<std::vector<run_record>> read_runs(const std::string& file);

/// Whether a run can be learned from. \return kInvalidArgument: it has no unit, a unit without a
/// call or a name, numbers that are out of range or not finite, more of something than there may be
[[nodiscard]] absl::Status check_run(const run_record& run);

}  // namespace sluice::demand
