// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "sweep.hpp"

namespace sluice::experiment {

/// What an option is set to, as text that sets it so; empty if there is no option of that name.
[[nodiscard]] std::optional<std::string> option_text(const run_options& options,
                                                     std::string_view name);

/// The first line.
[[nodiscard]] std::string csv_names();
/// The columns of a line that say what was run.
[[nodiscard]] std::string csv_key(const sweep_run& run, std::size_t number, std::uint64_t seed);
/// A whole line.
[[nodiscard]] std::string csv_line(const sweep_run& run, std::size_t number, std::uint64_t seed,
                                   const measured& values, std::uint64_t block_operations);

}  // namespace sluice::experiment
