// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <absl/status/statusor.h>

#include "../json/located.hpp"
#include "sweep_figure.hpp"
#include "sweep_settings.hpp"

namespace sluice::experiment {

/// Reads a figure of a sweep file and checks all its runs.
///
/// \param runs  gets them, in the order of `figure_spec::runs`, which stays empty
/// \return kInvalidArgument, with file, line and key
[[nodiscard]] absl::StatusOr<figure_spec> read_figure(const json::value& from,
                                                      const sweep_draft& base,
                                                      sweep_settings& settings,
                                                      std::vector<sweep_draft>& runs);

}  // namespace sluice::experiment
