// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/cost/linear_cost_model.hpp>

#include "run.hpp"
#include "testbed.hpp"

namespace sluice::experiment {

/// What requests the options ask for.
[[nodiscard]] load_options load_of(const run_options& options, std::uint64_t seed,
                                   std::uint32_t block_tokens);

/// What one run is of.
struct run_setting {
    const run_options& options;
    const hardware_profile& hardware;
    const kv_model& model;
    const load& requests;
    std::span<const alone> each;  ///< by request; deadlines follow from it
    std::vector<sim::rate_change> drift;
    std::uint64_t seed = 1;
    duration fetch_soft_timeout{0};  ///< of the pipeline; 0: its default

    /// Of the first token; `never` where there is no T0.
    [[nodiscard]] time_point deadline(std::size_t request) const noexcept;
};

/// What became of the requests of a run, and what the seams had done when the last was answered.
class run_recorder {
 public:
    run_recorder(const run_setting& s, testbed& bed);

    void computed(std::size_t request, const request_report& report);
    void ended(std::size_t request, request_outcome outcome);
    [[nodiscard]] bool all_ended() const noexcept { return open_ == 0; }

    /// \param stats  when nothing was left to do
    [[nodiscard]] seed_result finish(const pipeline_stats& stats);

 private:
    const run_setting& s_;
    testbed& bed_;
    seed_result out_;
    std::size_t open_;
};

[[nodiscard]] absl::StatusOr<seed_result> serve_pipelined(const run_setting& s);
/// \pre `s.options.config` is coupled or async
[[nodiscard]] absl::StatusOr<seed_result> serve_baseline(const run_setting& s);

/// Each request alone, one after the other; see `alone`.
[[nodiscard]] absl::StatusOr<std::vector<alone>> serve_alone(const hardware_profile& hardware,
                                                             const kv_model& model,
                                                             const load& requests,
                                                             std::uint64_t seed);

/// The cost model of a run, and who tells it of the drift.
class informed_cost {
 public:
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<informed_cost>> create(const run_setting& s,
                                                                               loop& home);
    ~informed_cost();
    informed_cost(const informed_cost&) = delete;
    informed_cost& operator=(const informed_cost&) = delete;

    /// Once: the model, for a pipeline to own. It has to live as long as this.
    [[nodiscard]] std::unique_ptr<linear_cost_model> take() noexcept { return std::move(model_); }
    [[nodiscard]] linear_cost_model& model() noexcept { return *told_; }

 private:
    struct change : timer {
        change(informed_cost& o, load_coefficients f) noexcept;
        informed_cost& owner;
        load_coefficients fetch;
    };

    informed_cost(std::unique_ptr<linear_cost_model> model, loop& home) noexcept;

    loop& home_;
    std::unique_ptr<linear_cost_model> model_;
    linear_cost_model* told_;
    std::vector<std::unique_ptr<change>> changes_;
};

}  // namespace sluice::experiment
