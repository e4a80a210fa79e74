// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include <absl/status/statusor.h>

#include "sweep.hpp"

namespace sluice::experiment {

/// What an option is set to, as text that sets it so; empty if there is no option of that name.
[[nodiscard]] std::optional<std::string> option_text(const run_options& options,
                                                     std::string_view name);

/// The first line.
[[nodiscard]] std::string csv_names();
/// The columns of a line that say what was run: all but the run's number and its figures.
[[nodiscard]] std::string csv_key(const sweep_run& run, std::uint64_t seed);
/// The columns of a line that say what came out.
[[nodiscard]] std::string csv_values(const measured& values, std::uint64_t block_operations);
/// `values` as they are after they have been written and read.
[[nodiscard]] measured as_written(const measured& values);

/// A line as it was read; borrows from the text.
struct csv_row {
    std::string_view key;
    std::string_view values;
    measured numbers;
    std::uint64_t block_operations = 0;
};
/// By their keys. \return kInvalidArgument: other names than `csv_names`, a line that is none, or
/// one that stands twice
[[nodiscard]] absl::StatusOr<std::map<std::string_view, csv_row>> read_csv(std::string_view text);

}  // namespace sluice::experiment
