// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string_view>

#include <pthread.h>

#include <absl/status/status.h>

#include <sluice/coro/loop.hpp>
#include <sluice/coro/timer_heap.hpp>
#include <sluice/coro/work_queue.hpp>

struct epoll_event;

namespace sluice {

/// A loop on real time: a thread that sleeps in epoll until work is posted, a timer is due or a
/// watched descriptor is ready. Use `start` for a thread of its own, or `run` on a thread you have.
/// It runs once: after `stop` it cannot be started again. Or give it no thread, and let those who
/// wait run it (`run_until`).
///
/// `post` is lock-free and allocates nothing. It makes a system call only when the loop sleeps, so
/// a batch of posts costs one wakeup.
///
/// \par Thread safety
/// As `loop` says; `stop` and `run_until` from any thread; `start`, `run`, `join` and the
/// destructor by the owner. `arm`, `disarm`, `watch` and `unwatch` on the loop, or before it runs.
///
/// \par Lifetime
/// A thread whose post has been run may still be inside `post` when the loop is destroyed; that is
/// safe. Armed timers and watched descriptors are forgotten by the destructor.
///
/// \par Cancellation
/// `stop` lets everything that is posted run, also what that work posts; timers do not run any
/// more once nothing is posted.
class thread_loop final : public loop {
 public:
    /// \param name  of the thread that `start` makes, cut to 15 characters.
    /// \param spin  how long to look for posted work before each sleep; 0: not at all. Worth it
    ///              only where the loop has a core to itself.
    explicit thread_loop(std::string_view name = "sluice", duration spin = duration{0}) noexcept;

    /// Stops and joins. What is posted after the thread has ended, or was never given to one, runs
    /// here, on the destroying thread. Not to be called on the loop.
    ~thread_loop() override;

    /// Runs the loop on a thread of its own, on which signals are blocked.
    /// \return kResourceExhausted if descriptors or threads have run out, kFailedPrecondition if it
    ///         has run before.
    absl::Status start();

    /// Runs the loop on the calling thread until `stop`; errors as `start`.
    absl::Status run();

    /// Runs the loop on the calling thread until `done` is set, for callers who wait for something
    /// that happens on a loop which has no thread: there is no hop between threads. Several may
    /// wait at once; one of them runs the loop for all. Nothing happens on the loop in between.
    ///
    /// \param done  set on the loop
    /// \return kFailedPrecondition: `start` or `run` was called; kResourceExhausted as `start`.
    absl::Status run_until(const std::atomic<bool>& done);

    /// Asks the loop to end; returns at once. Before it runs: it will end after what is posted.
    void stop() noexcept;

    /// Waits for the thread that `start` made; nothing to do if there is none.
    void join() noexcept;

    void post(work& item) noexcept override;
    [[nodiscard]] time_point now() const noexcept override;
    [[nodiscard]] bool in_loop() const noexcept override;
    void arm(timer& t, time_point at) override;
    void disarm(timer& t) noexcept override;
    /// Also kResourceExhausted if the kernel has no room for another watch.
    absl::Status watch(fd_watch& w) override;
    /// \pre watched.
    void unwatch(fd_watch& w) noexcept override;

 private:
    struct stop_request : work {
        explicit stop_request(thread_loop& l) noexcept;
        thread_loop* owner;
    };

    absl::Status begin() noexcept;
    void run_until_stopped() noexcept;
    bool run_pending() noexcept;
    void run_ready() noexcept;
    void run_timers() noexcept;
    void sleep() noexcept;
    bool spin(duration at_most) noexcept;
    void poll_descriptors(duration timeout) noexcept;
    int wait_events(epoll_event* events, int count, duration timeout) noexcept;

    // Shared with foreign threads.
    alignas(64) detail::work_inbox inbox_;
    std::atomic<bool> stop_posted_{false};

    // Constant while the loop runs.
    alignas(64) int epoll_ = -1;
    int wakeup_ = -1;  // an eventfd, edge-triggered and never read while the loop runs
    duration spin_;
    std::array<char, 16> name_{};
    stop_request stop_request_;
    pthread_t thread_{};
    bool has_thread_ = false;
    bool has_run_ = false;

    // Of those who wait in `run_until`.
    std::mutex wait_mutex_;  // guards the three below
    std::condition_variable turn_over_;
    bool driven_ = false;  // by them
    bool has_driver_ = false;
    std::uint32_t followers_ = 0;

    // Of the loop.
    bool stopping_ = false;
    bool has_pwait2_ = true;
    detail::work_list ready_;
    detail::timer_heap timers_;
    time_point fired_at_ = time_point::min();
    std::uint64_t wakeups_owed_ = 0;  // how often a producer took it upon itself to wake us
    std::uint32_t watches_ = 0;
    std::uint32_t rounds_since_poll_ = 0;
    epoll_event* pending_events_ = nullptr;  // of the running poll, for `unwatch`
    int pending_count_ = 0;
};

}  // namespace sluice
