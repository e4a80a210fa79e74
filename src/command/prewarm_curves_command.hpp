// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>
#include <string_view>

#include <absl/status/status.h>

namespace sluice::command {

/// What `write_prewarm_curves` knows.
inline constexpr std::array<std::string_view, 4> curve_backends{"docker", "dnn", "kv", "all"};

/// `sluice sim apps --curves`: what prewarming saves and wastes, by rule and K, beside the paper's
/// figures.
///
/// \param runs      folder of run records with their cost_model.json
/// \param backends  one of `curve_backends`
/// \param json      as `write_text`; empty: none. The table goes to standard output unless the JSON
///                  does, or `quiet`.
[[nodiscard]] absl::Status write_prewarm_curves(const std::string& runs, std::string_view backends,
                                                const std::string& json, bool quiet);

}  // namespace sluice::command
