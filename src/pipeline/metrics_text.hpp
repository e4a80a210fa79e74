// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <sluice/pipeline.hpp>

namespace sluice::detail {

/// The counters as Prometheus text. \param applications  may be null
[[nodiscard]] std::string metrics_text(const pipeline_stats& s,
                                       const demand::app_tracker* applications);

}  // namespace sluice::detail
