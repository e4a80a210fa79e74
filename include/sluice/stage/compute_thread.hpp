// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include <absl/status/status.h>

#include <sluice/stage/compute.hpp>

namespace sluice {

/// What a compute_thread has done.
struct compute_thread_stats {
    std::uint64_t jobs = 0;    ///< run, whatever came of them or will
    std::uint64_t failed = 0;  ///< of those, the ones that did not return OK
    double busy_seconds = 0;   ///< inside the function, of jobs that have ended
};

/// Runs the engine's prefill on a thread of its own, one job after the other in the order in which
/// they are started. The function may block for as long as it likes: nobody else waits for it.
///
/// \par Thread safety
/// `start` and `stats` from any thread, concurrently.
///
/// \par Cancellation
/// The destructor completes the jobs that wait with kCancelled and lets the running one end.
class compute_thread final : public compute {
 public:
    /// Computes the KV and the first token of a job, into the pages that the job names. Its result
    /// is that of the job; nothing: the function completes the job itself, there or later. Must not
    /// throw, nor destroy the compute_thread.
    using function = std::function<std::optional<absl::Status>(compute_job&)>;

    /// \param run  if empty, jobs end with kFailedPrecondition.
    explicit compute_thread(function run);
    ~compute_thread() override;

    void start(compute_job& job) noexcept override;

    [[nodiscard]] compute_thread_stats stats() const noexcept;

 private:
    void serve() noexcept;
    compute_job* next_job() noexcept;

    const function run_;
    // Relaxed: counters order nothing.
    std::atomic<std::uint64_t> jobs_{0};
    std::atomic<std::uint64_t> failed_{0};
    std::atomic<std::int64_t> busy_ns_{0};

    std::mutex mutex_;  // guards what follows, up to the thread
    std::condition_variable changed_;
    work* first_ = nullptr;  // the jobs that wait, linked through work::next
    work* last_ = nullptr;
    bool ending_ = false;

    std::thread thread_;  // last: it uses all of the above
};

}  // namespace sluice
