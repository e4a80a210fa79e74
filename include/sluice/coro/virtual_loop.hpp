// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstddef>
#include <vector>

#include <absl/status/status.h>

#include <sluice/coro/loop.hpp>
#include <sluice/coro/timer_heap.hpp>
#include <sluice/coro/work_queue.hpp>

namespace sluice {

/// A loop on virtual time, for tests and simulation: it runs when one of its `run` functions is
/// called, and when nothing is left to do at an instant, time jumps to the next timer.
///
/// Deterministic: posted work runs in the order of posting, all of it before time moves on; then
/// timers by (due, order of arming), one at a time, each followed by the work that it posts. Only
/// posts from foreign threads and foreign descriptors bring in chance.
///
/// \par Thread safety
/// As `loop` says. The thread that runs it is its loop thread, and between runs too: at first the
/// one that made it.
///
/// \par Lifetime
/// Posted work and armed timers are forgotten, not run, by the destructor.
///
/// \par Errors
/// A timer that always arms itself anew never lets `run_until_idle` return; use `run_until`.
class virtual_loop final : public loop {
 public:
    explicit virtual_loop(time_point start = time_point{}) noexcept;
    ~virtual_loop() override = default;

    /// Runs until nothing is posted, armed (but for `never`) or ready.
    /// \return how many pieces of work, timers and watches have run.
    std::size_t run_until_idle() noexcept;

    /// Runs everything up to and at `end`; then it is `end`. An `end` in the past runs what is
    /// posted and does not change the time.
    std::size_t run_until(time_point end) noexcept;

    std::size_t advance(duration d) noexcept { return run_until(saturating_add(now(), d)); }

    /// Makes it `at`, if that is later, and runs nothing: timers that are due before it are late,
    /// as on a loop of real time, in place of each having its instant. On its thread.
    void skip_to(time_point at) noexcept;

    /// Runs one piece; jumps to the next timer if nothing else is left.
    /// \return false if there was nothing to run.
    bool run_one() noexcept;

    /// When the next timer is due; `never`: none is armed.
    [[nodiscard]] time_point next_due() const noexcept { return timers_.next_due(); }

    /// The calling thread is the loop's no more, so that another may run it: until the next run all
    /// threads are foreign to it. Not while it runs.
    void disown() noexcept { owner_.store(nullptr, std::memory_order_relaxed); }

    void post(work& item) noexcept override;
    [[nodiscard]] time_point now() const noexcept override;
    [[nodiscard]] bool in_loop() const noexcept override;
    void arm(timer& t, time_point at) override;
    void disarm(timer& t) noexcept override;
    absl::Status watch(fd_watch& w) override;
    void unwatch(fd_watch& w) noexcept override;

 private:
    std::size_t run(time_point end) noexcept;
    bool run_timer_or_watches(time_point end) noexcept;
    bool run_ready_watches() noexcept;

    detail::work_inbox inbox_;
    detail::work_list ready_;
    detail::timer_heap timers_;
    std::vector<fd_watch*> watches_;    // null: unwatched while they were being run
    std::atomic<time_point::rep> now_;  // relaxed: a foreign thread may see it late
    std::atomic<const void*> owner_;
    bool running_watches_ = false;
};

}  // namespace sluice
