// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <absl/status/status.h>

#include <sluice/base/clock.hpp>

namespace sluice {

/// A piece of work that waits in a loop's queue. Intrusive: posting allocates nothing.
///
/// Derive from it or embed it. While it is posted it must not be posted again, moved or destroyed;
/// that ends when `run` is called, which may post it again or destroy it.
class work {
 public:
    using function = void (*)(work&) noexcept;

    explicit work(function run) noexcept : run_(run) {}
    work(const work&) = delete;
    work& operator=(const work&) = delete;

    void run() noexcept { run_(*this); }

    work* next = nullptr;  ///< for the queue that holds it

 private:
    function run_;
};

/// Something to run at an instant. Belongs to one loop while armed; re-arming moves it.
class timer {
 public:
    using function = void (*)(timer&) noexcept;

    explicit timer(function run) noexcept : run_(run) {}
    timer(const timer&) = delete;
    timer& operator=(const timer&) = delete;

    void run() noexcept { run_(*this); }
    [[nodiscard]] bool armed() const noexcept { return position != not_armed; }
    [[nodiscard]] time_point due() const noexcept { return due_at; }

    // For loops only.
    static constexpr std::uint32_t not_armed = UINT32_MAX;
    std::uint32_t position = not_armed;
    time_point due_at = never;

 private:
    function run_;
};

/// Interest in a file descriptor that somebody else owns.
class fd_watch {
 public:
    using function = void (*)(fd_watch&, std::uint32_t events) noexcept;

    /// \param events  EPOLLIN, EPOLLOUT, ...; level-triggered.
    fd_watch(int fd, std::uint32_t events, function run) noexcept
        : fd_(fd), events_(events), run_(run) {}
    fd_watch(const fd_watch&) = delete;
    fd_watch& operator=(const fd_watch&) = delete;

    [[nodiscard]] int fd() const noexcept { return fd_; }
    [[nodiscard]] std::uint32_t events() const noexcept { return events_; }
    void run(std::uint32_t events) noexcept { run_(*this, events); }

 private:
    int fd_;
    std::uint32_t events_;
    function run_;
};

/// The seam between the library and time: runs posted work, one piece at a time, and timers.
///
/// Models: `thread_loop` (a thread that blocks on an eventfd), `virtual_loop` (one thread, virtual
/// time, deterministic).
///
/// \par Thread safety
/// `post`, `now` and `in_loop` may be called from any thread; the rest only on the loop (or
/// before it starts to run).
class loop {
 public:
    loop() = default;
    loop(const loop&) = delete;
    loop& operator=(const loop&) = delete;
    virtual ~loop() = default;

    /// Runs `item` on the loop, after what was posted before it by the same thread. Neither
    /// allocates nor blocks.
    virtual void post(work& item) noexcept = 0;

    [[nodiscard]] virtual time_point now() const noexcept = 0;

    /// Whether the caller runs on this loop, so that it may touch the loop's state.
    [[nodiscard]] virtual bool in_loop() const noexcept = 0;

    /// Runs `t` once at `at`, or as soon as possible if `at` has passed. Re-arms an armed timer.
    /// Timers of one instant run in the order in which they were armed.
    virtual void arm(timer& t, time_point at) = 0;

    /// Forgets `t`; does nothing if it is not armed.
    virtual void disarm(timer& t) noexcept = 0;

    /// Calls `w.run` on the loop whenever its descriptor is ready, until `unwatch`.
    /// \return kInvalidArgument for a bad or already watched descriptor.
    virtual absl::Status watch(fd_watch& w) = 0;
    virtual void unwatch(fd_watch& w) noexcept = 0;
};

}  // namespace sluice
