// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/cost/linear_cost_model.hpp>
#include <sluice/observe/result.hpp>

#include "../baseline/baseline.hpp"
#include "../command/progress.hpp"
#include "../workload/workload.hpp"
#include "engine.hpp"
#include "l3_store.hpp"

namespace sluice::replay {

using baselines::baseline_kind;

/// What is the same in every row of an experiment.
struct setting {
    const tiny_llm::model* model = nullptr;
    workload::workload load;
    workload::warm_mode warm = workload::warm_mode::full;
    std::vector<prompt> prompts;  ///< by request
    std::vector<double> t0_s;     ///< by request; empty: not measured yet

    l3_spec where;
    std::unique_ptr<l3_store> l3;  ///< warm_mode::full: filled before the first row
    std::uint64_t l3_bytes = 0;
    double link_rate = 0;  ///< bytes per second
    std::uint32_t l1_blocks = 0;
    std::uint32_t l2_blocks = 0;

    load_coefficients fetch, copy;  ///< what cost models start from
    compute_coefficients compute;

    [[nodiscard]] std::uint64_t block_bytes() const noexcept {
        return load.block_tokens * model->config().kv().token_bytes();
    }
    /// In full mode the last block is what nobody has cached, and it is not cached either.
    [[nodiscard]] bool write_back() const noexcept { return warm == workload::warm_mode::trace; }
    [[nodiscard]] std::uint32_t max_load(const workload::workload_request& r) const noexcept {
        return r.total_blocks - 1;
    }
    [[nodiscard]] std::unique_ptr<linear_cost_model> cost_model() const;
};

/// L3 of one row: the one that was filled for all, or an empty one.
class row_store {
 public:
    [[nodiscard]] static absl::StatusOr<row_store> open(const setting& s);
    [[nodiscard]] store& operator*() const noexcept { return (own_ ? *own_ : *shared_).blocks(); }

 private:
    explicit row_store(l3_store* shared, std::unique_ptr<l3_store> own) noexcept
        : shared_(shared), own_(std::move(own)) {}
    l3_store* shared_;
    std::unique_ptr<l3_store> own_;
};

/// A row of the pipeline.
struct pipelined_row {
    std::string config = "pipelined";
    std::string policy = "fifo";
    bool split = false;
    bool cached = true;  ///< false: no L3, no keys, everything is computed
    double limit_s = 0;  ///< the row stops then; 0: never
};
[[nodiscard]] absl::StatusOr<run_result> serve_pipelined(const setting& s, const pipelined_row& row,
                                                         command::progress_bar& progress);

struct baseline_run {
    run_result result;
    double mean_service_s = 0;  ///< of a request, from when the control loop took it up
};
[[nodiscard]] absl::StatusOr<baseline_run> serve_baseline(const setting& s, baseline_kind kind,
                                                          command::progress_bar& progress);

/// Each request's TTFT alone, on an idle system with empty L1 and L2, under the coupled baseline.
[[nodiscard]] absl::StatusOr<std::vector<double>> measure_alone(const setting& s,
                                                                command::progress_bar& progress);
/// The coupled baseline's mean service of the requests, one right after the other.
[[nodiscard]] absl::StatusOr<double> measure_service(const setting& s,
                                                     command::progress_bar& progress);

/// Adds up a row from what its requests report.
class row_recorder {
 public:
    row_recorder(const setting& s, std::string config, std::string policy, bool split);

    void begin(time_point start) noexcept { start_ = start; }
    void computed(std::size_t index, const request_report& report, time_point now);
    void ended(std::size_t index, request_outcome outcome, time_point now);
    /// \param stats  when the last request had ended
    [[nodiscard]] run_result finish(const pipeline_stats& stats, const engine& e);

 private:
    struct stage_sum {
        double predicted = 0, actual = 0, error = 0;  // seconds
        void add(double predicted_s, double actual_s) noexcept;
        [[nodiscard]] stage_result over(const char* name, const stage_counters& c,
                                        double seconds) const;
    };
    void add_span(const char* stage, std::size_t index, time_point from, time_point to,
                  std::uint64_t bytes);

    const setting& s_;
    run_result out_;
    time_point start_{};
    time_point last_{};
    stage_sum fetch_, copy_, compute_;
};

}  // namespace sluice::replay
