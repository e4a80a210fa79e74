// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <vector>

#include <sluice/coro/scope.hpp>
#include <sluice/coro/task.hpp>
#include <sluice/cost/cost_model.hpp>
#include <sluice/cost/split.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/sched/indexed_heap.hpp>
#include <sluice/sched/policy.hpp>

#include "app_ranks.hpp"
#include "mover.hpp"
#include "request.hpp"

namespace sluice::detail {

/// The half of the pipeline that decides: plans, predictions and ranks. The only one that calls the
/// policy and the cost model; if they are slow, ranks are late and bytes are not.
///
/// Lives on the control loop: everything here runs there, but for what says otherwise. Each request
/// is a task.
class control {
 public:
    control(const pipeline_options& options, class policy& p, cost_model& cost, loop& home,
            mover& m);
    control(const control&) = delete;
    control& operator=(const control&) = delete;

    /// Signals of a request: `context` is the control.
    static void look(void* self, request& r, std::uint32_t flags) noexcept;

    /// Any thread.
    void add_to(pipeline_stats& s) const noexcept;

    /// Takes the tracker of applications, if there is one. \return what `attach` of it says.
    absl::Status start();
    /// Disarms the timers; on the loop, when no request is left. \return whether all is over; else
    /// to be called again in another turn.
    [[nodiscard]] bool stop() noexcept;
    /// Waits for what is left of the tasks.
    [[nodiscard]] scope& tasks() noexcept { return tasks_; }

 private:
    class next_signal;

    task<void> serve(request& r);
    void admit(request& r);
    [[nodiscard]] std::uint32_t choose_blocks(const request& r, std::uint32_t most);
    [[nodiscard]] stage_backlog backlog_before(const request& r);
    [[nodiscard]] stage_seconds predict_request(std::uint64_t fetch, std::uint64_t copy,
                                                std::uint64_t prompt,
                                                std::uint64_t context) noexcept;
    [[nodiscard]] stage_seconds predict_load_of(const request& r, std::uint32_t k);
    [[nodiscard]] double predict(stage_id stage, const demand_shape& shape) noexcept;
    void repredict(request& r);
    void take_progress(request& r);
    void finish(request& r);
    void observe(stage_id stage, const demand_shape& shape, double seconds, double& error);
    void observe_compute(const request& r, double seconds);
    void after_fit();
    /// \return whether a rank changed.
    bool publish_ranks(request& r);
    void note_share(const request& r);
    void rerank(request& r);
    void rerank_of_application(request& r);
    void rerank_all();
    void arm_change_timer();

    struct owned_timer : timer {
        owned_timer(control& c, timer::function f) noexcept : timer(f), owner(c) {}
        control& owner;
    };

    const pipeline_options& options_;
    class policy& policy_;
    cost_model& cost_;
    loop& home_;
    mover& mover_;
    std::uint32_t pieces_ = 0;  // descriptors of a block, over groups
    std::uint64_t all_groups_bytes_ = 0;
    scope tasks_;
    std::vector<request*> live_;  // by index; admitted and not settled
    // The same, if loads are split: what `backlog_before` asks of all of them, close together.
    struct load_share {
        std::uint64_t rank = 0;  // for fetch
        stage_seconds remaining;
    };
    std::vector<load_share> shares_;
    std::uint32_t live_count_ = 0;
    indexed_heap<time_point::rep> changes_;  // when a rank changes by itself
    owned_timer change_timer_;
    owned_timer interval_timer_;
    std::optional<app_ranks> applications_;
    std::uint64_t generation_ = 0;
    stage_seconds utilisation_;  // recent, for shadow prices
    double arrivals_per_s_ = 0;  // the same
    double admitted_since_ = 0;  // since `last_stats_at_`
    double mean_request_s_ = 0;  // predicted, of what is split
    pipeline_stats last_stats_;
    time_point last_stats_at_{};
    stage_seconds error_;
    std::atomic<std::uint64_t> cost_faults_{0};
    std::atomic<double> errors_[3] = {};
};

}  // namespace sluice::detail
