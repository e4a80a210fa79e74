// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include <sluice/demand/app_tracker.hpp>
#include <sluice/sched/indexed_heap.hpp>

#include "app_posterior.hpp"
#include "app_table.hpp"

namespace sluice::demand {

class app_tracker::impl {
 public:
    explicit impl(options o);

    // Any thread.
    absl::StatusOr<app_handle> begin(const app_spec& spec);
    absl::Status begin_unit(app_handle h, const unit_begin& unit);
    absl::Status progress(app_handle h, const unit_progress& so_far);
    absl::Status end_unit(app_handle h, const unit_end& unit);
    absl::Status end(app_handle h, bool complete);
    absl::StatusOr<rank_value> rank(app_handle h);
    absl::StatusOr<time_point> deadline(app_handle h);
    app_tracker_stats stats();
    void add_model(std::unique_ptr<demand_model> model);
    void set_observer(app_observer* observer);
    absl::Status attach(app_ranker& ranker);
    void detach() noexcept;

    // One thread at a time: the control loop's.
    time_point refresh(time_point now);
    std::optional<rank_value> rank_now(app_handle h, time_point now);

 private:
    using app_class = detail::app_class;
    using application = detail::application;

    // Under the lock.
    template <class Count>
    absl::Status refuse(application* a, Count count, absl::Status why);
    absl::Status unknown(std::string_view event);
    [[nodiscard]] absl::StatusOr<time_point> time_of(time_point given) const;
    void mark(application& a);
    [[nodiscard]] std::string_view name_of_unit(const application& a);
    void ask();
    void take_models();
    void mark_progressed(time_point now);
    void mark_changed(time_point now);

    // Of refresh; the lock is held where they are called and where they return.
    void work_out(std::uint32_t index, time_point now, std::unique_lock<std::mutex>& lock);
    void work_out_end(std::uint32_t index, time_point now, std::unique_lock<std::mutex>& lock);

    options options_;
    std::unique_ptr<model_set> own_models_;

    std::mutex mutex_;  // guards what follows
    detail::app_table table_;
    std::vector<std::uint32_t> dirty_;       // to be worked out, oldest first
    std::vector<std::uint32_t> progressed_;  // to be worked out at `next_tick_`
    app_ranker* ranker_ = nullptr;  // changes only where refresh is, or while nobody is there
    app_observer* observer_ = nullptr;
    bool asked_ = false;  // `due` has been called, and refresh has not
    std::vector<std::unique_ptr<demand_model>> new_models_;
    app_tracker_stats stats_;

    // Of refresh.
    std::vector<std::uint32_t> taken_;  // from `dirty_`
    std::size_t next_taken_ = 0;
    time_point next_tick_{};
    indexed_heap<time_point::rep> changes_;  // when a rank changes by itself
    detail::app_posterior posterior_;
};

}  // namespace sluice::demand
