// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

namespace sluice::experiment {

/// Something that is slow to start, and when recorded applications needed it.
struct warm_case {
    std::string backend;
    /// Seconds from the instant at which warming could begin at the earliest to the need, one for
    /// each recorded one.
    std::vector<double> needed_after;
    /// What was known of each when the unit before it began and goes along with it, such as how
    /// long the same unit took the last time; NaN: nothing. Empty: of none.
    std::vector<double> known;
    std::vector<std::uint32_t> run;  ///< of each: no run is forecast from itself; empty: all differ
    bool drawn = false;  ///< not recorded but from a distribution, which the forecast knows
    /// Seconds of warming, which is also what a warm start saves: one for each need of one
    /// application on the average of `applications`. Each meets all of `needed_after`.
    std::vector<double> seconds;
    double applications = 1;
};

/// One point of a trade-off: what one application saves and wastes on average.
struct curve_point {
    std::string backend;
    std::string rule;
    double k = 0;
    double latency_saved_s = 0;
    double waste_s = 0;
};

/// The trade-offs of the paper (HERMES.md, section 6.5), and their cases rebuilt from the records.
struct warm_records {
    std::vector<warm_case> cases;
    std::vector<curve_point> paper;  ///< rule "paper"
};

/// Reads `code_feedback.jsonl`, `hugginggpt.jsonl` and `cost_model.json` of a folder of run
/// records.
///
/// - docker: before a code execution comes a code generation, which took so long; 2.145 s. Known:
///   how long the generation before took, as it writes much the same once more.
/// - dnn_vit, dnn_diffusion: a model of 7 s, needed where the first image-reading model of a chain
///   runs, and where the chain begins (its plan written at 32 ms per token). Warming may begin 7 s
///   before the chain, and before the plan: the paper's figures need that.
/// - kv: the prompt of each later turn of a conversation, prefilled by 70B, after a tool that takes
///   15 s, standard deviation sqrt 2.
///
/// \return kInvalidArgument with file, line and key; kNotFound.
[[nodiscard]] absl::StatusOr<warm_records> read_warm_records(const std::string& folder);

/// Of the standard normal distribution; by bisection, for a few.
[[nodiscard]] double normal_quantile(double share);

/// For K = 0.1 ... 0.9:
/// - "hits_only": ready at the K-quantile of a normal distribution with the records' mean and
///   deviation; only what is ready in time saves anything
/// - "credit": the same instants, and what was done by the need counts
/// - "sluice": the prewarmer's windows with `confidence` K. Each need is planned for from other
/// runs
///   only: from those where as little was known, or from the nearest by what was known.
/// - "sluice_equal_waste": the same at the waste of "hits_only": the best that a mixture of two K
///   reaches there
/// - "sluice_paper_waste": at the waste of the paper, if `paper` has the backend
[[nodiscard]] std::vector<curve_point> prewarm_curves(const warm_case& of,
                                                      std::span<const curve_point> paper = {});

/// {"curves":[{"backend","rule","k","latency_saved_s","waste_s"}, ...]}, one point a line.
[[nodiscard]] std::string curves_json(std::span<const curve_point> points);
/// A table for each backend: a row for each K, two columns for each rule.
[[nodiscard]] std::string curves_table(std::span<const curve_point> points);

}  // namespace sluice::experiment
