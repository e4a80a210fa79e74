// SPDX-License-Identifier: Apache-2.0
#include <sluice/stage/compute_thread.hpp>

#include <pthread.h>

#include <chrono>
#include <utility>

#include <sluice/base/clock.hpp>

namespace sluice {

compute_thread::compute_thread(function run) : run_(std::move(run)) {
    thread_ = std::thread([this] { serve(); });
    pthread_setname_np(thread_.native_handle(), "sluice-compute");
}

compute_thread::~compute_thread() {
    work* waiting = nullptr;
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
        waiting = std::exchange(first_, nullptr);
    }
    changed_.notify_one();
    while (waiting != nullptr) {
        auto& job = static_cast<compute_job&>(*std::exchange(waiting, waiting->next));
        job.complete(absl::Status(absl::StatusCode::kCancelled, ""));
    }
    thread_.join();
}

void compute_thread::start(compute_job& job) noexcept {
    job.next = nullptr;
    // Notified under the lock: once it is released, the job may complete and all this may die.
    const std::lock_guard lock(mutex_);
    (first_ == nullptr ? first_ : last_->next) = &job;
    last_ = &job;
    changed_.notify_one();
}

compute_thread_stats compute_thread::stats() const noexcept {
    return {.jobs = jobs_.load(std::memory_order_relaxed),
            .failed = failed_.load(std::memory_order_relaxed),
            .busy_seconds = to_seconds(duration{busy_ns_.load(std::memory_order_relaxed)})};
}

compute_job* compute_thread::next_job() noexcept {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return ending_ || first_ != nullptr; });
    if (ending_) {
        return nullptr;
    }
    return static_cast<compute_job*>(std::exchange(first_, first_->next));
}

void compute_thread::serve() noexcept {
    using real_clock = std::chrono::steady_clock;
    while (compute_job* const job = next_job()) {
        const real_clock::time_point begun = real_clock::now();
        std::optional<absl::Status> status =
            run_ ? run_(*job) : absl::FailedPreconditionError("no function to compute with");
        busy_ns_.fetch_add(duration{real_clock::now() - begun}.count(), std::memory_order_relaxed);
        jobs_.fetch_add(1, std::memory_order_relaxed);
        if (!status) {
            continue;  // the job may be over, and gone
        }
        if (!status->ok()) {
            failed_.fetch_add(1, std::memory_order_relaxed);
        }
        job->complete(*std::move(status));
    }
}

}  // namespace sluice
