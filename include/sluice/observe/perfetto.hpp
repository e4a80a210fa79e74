// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <sluice/observe/result.hpp>

namespace sluice {

/// The spans of all rows in the Chrome trace event format, which ui.perfetto.dev opens: a process
/// for each configuration, a thread for each stage (more where a stage runs several operations at
/// once), arrows that follow a request from stage to stage, and a track of whole requests.
[[nodiscard]] std::string perfetto_trace(const experiment_result& experiment);

}  // namespace sluice
