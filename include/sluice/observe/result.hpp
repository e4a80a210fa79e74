// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace sluice {

// The one model of results. A run fills it; the table, JSON, HTML and Perfetto writers read it, so
// that they cannot disagree. Times are seconds since the start of their run.

/// How a request of an experiment ended.
enum class request_outcome : std::uint8_t {
    computed,  ///< has its first token
    rejected,
    failed,
    cancelled,
    unfinished,  ///< the run was stopped first
};

[[nodiscard]] std::string_view to_string(request_outcome outcome) noexcept;

/// One request of a run.
struct request_result {
    std::uint64_t id = 0;
    double arrival_s = 0;
    double ttft_s = 0;             ///< meaningful when `outcome` is computed
    double deadline_multiple = 0;  ///< m; 0: no deadline
    double t0_s = 0;               ///< TTFT alone on an idle system under the coupled baseline
    std::uint64_t prompt_tokens = 0;
    std::uint32_t loaded_blocks = 0;
    std::uint32_t total_blocks = 0;
    request_outcome outcome = request_outcome::unfinished;

    /// Seconds from arrival to deadline.
    [[nodiscard]] double allowed_s() const noexcept { return deadline_multiple * t0_s; }
    [[nodiscard]] bool made_deadline() const noexcept {
        return outcome == request_outcome::computed && ttft_s <= allowed_s();
    }
};

/// One operation of a stage, for the Gantt chart and the trace file.
struct stage_span {
    std::string stage;
    std::uint64_t request = 0;
    double start_s = 0;
    double end_s = 0;
    std::uint64_t bytes = 0;
};

/// A stage over a whole run.
struct stage_result {
    std::string name;  ///< "fetch", "copy", "compute", or a stage of the user's
    double busy = 0;   ///< share of the run in which its resource worked, 0 to 1
    std::uint64_t operations = 0;
    std::uint64_t bytes = 0;
    double predicted_s = 0;     ///< by the cost model, over all requests
    double actual_s = 0;        ///< as measured, over the same
    double relative_error = 0;  ///< |predicted - actual|, summed over requests, over `actual_s`
};

/// One configuration's run of a workload: a row of the table.
struct run_result {
    std::string config;  ///< "recompute", "coupled", "async" or "pipelined"
    std::string policy;
    bool split = false;
    double duration_s = 0;
    std::vector<request_result> requests;
    std::vector<stage_result> stages;
    std::uint64_t bytes_loaded = 0;
    std::uint64_t tokens_computed = 0;
    std::uint64_t bytes_deduplicated = 0;
    std::uint64_t blocks_verified = 0;
    std::uint64_t logits_compared = 0;
    std::uint64_t logits_mismatched = 0;
    std::vector<stage_span> spans;
    std::size_t max_spans = 200'000;
    std::uint64_t spans_dropped = 0;  ///< came after `max_spans`

    /// Appends a span, or counts it as dropped.
    void add_span(stage_span span);
    /// What distinguishes the row, for people: "pipelined sjf split".
    [[nodiscard]] std::string label() const;
    /// The stage of that name; null if the run had none.
    [[nodiscard]] const stage_result* stage(std::string_view name) const noexcept;
    /// The busy share of that stage; 0 if the run had none.
    [[nodiscard]] double busy(std::string_view name) const noexcept;
};

/// A line of an experiment's description: "link rate", "40 MB/s".
struct result_fact {
    std::string name;
    std::string value;
};

/// Runs of one workload that are compared with each other.
struct experiment_result {
    std::string title;
    std::vector<result_fact> facts;  ///< what one needs to repeat it: trace, seeds, rates, machine
    double coupled_offered_load = 0;
    std::vector<run_result> rows;
    std::vector<std::string> notes;  ///< what a reader must know before he compares rows
};

/// 0 for no values.
[[nodiscard]] double mean(std::span<const double> values) noexcept;

/// The `p`-th percentile, 0 to 100, by linear interpolation between the closest ranks (type 7 of
/// Hyndman and Fan, the default of NumPy). 0 for no values.
///
/// \pre `sorted` is ascending.
[[nodiscard]] double percentile(std::span<const double> sorted, double p) noexcept;

/// TTFT over the requests that have one.
struct ttft_summary {
    std::size_t count = 0;
    double mean = 0;
    double p50 = 0;
    double p95 = 0;
    double p99 = 0;
};
[[nodiscard]] ttft_summary summarize_ttft(const run_result& run);

/// The TTFTs of the requests that have one, ascending.
[[nodiscard]] std::vector<double> sorted_ttft(const run_result& run);

/// The share of requests with a deadline that made it, 0 to 1; a request without a first token
/// missed it. With `multiple`, only of the requests with that multiple. Empty if there are none.
[[nodiscard]] std::optional<double> attainment(const run_result& run,
                                               std::optional<double> multiple = std::nullopt);

/// For each span a lane such that the spans of one lane do not overlap; lanes count from 0 for each
/// stage, and a span takes the lowest one that is free. Concurrent operations of a stage need this
/// wherever they are drawn.
[[nodiscard]] std::vector<std::uint32_t> assign_lanes(std::span<const stage_span> spans);

}  // namespace sluice
