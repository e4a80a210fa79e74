// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/statusor.h>

#include <sluice/observe/result.hpp>

#include "progress.hpp"
#include "replay_options.hpp"

namespace sluice::command {

/// Runs the configurations that `options` names, one after the other, with real bytes and real
/// compute.
[[nodiscard]] absl::StatusOr<experiment_result> run_replay(const replay_options& options,
                                                           progress_bar& progress);

}  // namespace sluice::command
