// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include <sluice/observe/result.hpp>

namespace sluice {

struct json_report_options {
    bool requests = false;  ///< each row also carries its requests, under "request_results"
    int indent = 2;         ///< -1: one line
};

/// The experiment as one JSON object, ending in a line break:
/// {"title", "facts", "notes", "coupled_offered_load", "rows": [{"config", "policy", "split",
/// "requests", "ttft_s": {"mean", "p50", "p95", "p99"}, "slo_attainment": {"2x", "4x", "8x",
/// "all"}, "busy": {"fetch", "copy", "compute"}, "bytes_loaded", "tokens_computed",
/// "bytes_deduplicated", "blocks_verified", "logits_compared", "logits_mismatched", ...}]}.
/// An attainment without requests, and a number that is not finite, is null. "requests" counts the
/// requests of the row, "computed" those with a first token.
[[nodiscard]] std::string json_report(const experiment_result& experiment,
                                      json_report_options options = {});

}  // namespace sluice
