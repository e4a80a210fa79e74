// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cassert>
#include <condition_variable>
#include <coroutine>
#include <cstdio>
#include <exception>
#include <mutex>
#include <type_traits>
#include <utility>

#include <sluice/coro/loop.hpp>
#include <sluice/coro/task.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/coro/virtual_loop.hpp>

namespace sluice {
namespace detail {

/// Starts a task from a loop's queue, or here, and lets a thread wait for its end.
class blocking_root : public task_root, public work {
 public:
    template <class T>
    explicit blocking_root(task<T>& t) noexcept
        : task_root(&blocking_root::task_finished),
          work([](work& w) noexcept { static_cast<blocking_root&>(w).frame_.resume(); }),
          frame_(task_access::frame(t)) {
        task_access::frame(t).promise().set_root(*this);
    }

    void wait() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return finished(); });
    }

    /// A hint: only after `wait` is the thread that finished the task done with this object.
    [[nodiscard]] bool finished() const noexcept {
        return finished_.load(std::memory_order_relaxed);
    }

 private:
    static std::coroutine_handle<> task_finished(task_root& root,
                                                 std::coroutine_handle<>) noexcept {
        auto& self = static_cast<blocking_root&>(root);
        // Notifies under the lock: afterwards the waiting thread may destroy all of this.
        const std::lock_guard lock(self.mutex_);
        self.finished_.store(true, std::memory_order_relaxed);  // the lock publishes
        self.changed_.notify_one();
        return std::noop_coroutine();
    }

    std::coroutine_handle<> frame_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::atomic<bool> finished_{false};
};

/// Starts a task from a loop's queue and says when it has finished, on that loop.
class driven_root : public task_root, public work {
 public:
    template <class T>
    explicit driven_root(task<T>& t) noexcept
        : task_root(&driven_root::task_finished),
          work([](work& w) noexcept { static_cast<driven_root&>(w).frame_.resume(); }),
          frame_(task_access::frame(t)) {
        task_access::frame(t).promise().set_root(*this);
    }

    [[nodiscard]] const std::atomic<bool>& finished() const noexcept { return finished_; }

 private:
    static std::coroutine_handle<> task_finished(task_root& root,
                                                 std::coroutine_handle<>) noexcept {
        // release: publishes the result; then all of this may be gone.
        static_cast<driven_root&>(root).finished_.store(true, std::memory_order_release);
        return std::noop_coroutine();
    }

    std::coroutine_handle<> frame_;
    std::atomic<bool> finished_{false};
};

}  // namespace detail

/// Runs `t` on this thread and, where it suspends, blocks this thread until it has finished.
///
/// For `main`, tests and callers that may block. Not from a loop that the task needs.
///
/// \return the result of the task, or its exception.
template <class T>
T sync_wait(task<T> t) {
    detail::blocking_root root(t);
    root.run();
    root.wait();
    return detail::task_access::frame(t).promise().take();
}

/// The same, but `t` starts on `l`, a loop that runs on another thread.
template <class T>
T sync_wait(loop& l, task<T> t) {
    assert(!l.in_loop() && "a loop does not wait for itself");
    detail::blocking_root root(t);
    l.post(root);
    root.wait();
    return detail::task_access::frame(t).promise().take();
}

/// The same on virtual time: runs the loop until `t` has finished. Ends the process if the loop
/// becomes idle before that: nothing could finish it any more.
template <class T>
T sync_wait(virtual_loop& l, task<T> t) {
    detail::blocking_root root(t);
    l.post(root);
    while (!root.finished()) {
        if (!l.run_one()) {
            std::fputs("sluice: sync_wait: the loop is idle, the task is not finished\n", stderr);
            std::terminate();
        }
    }
    root.wait();
    return detail::task_access::frame(t).promise().take();
}

/// The same on a loop without a thread: this thread runs the loop until `t` has finished (see
/// `thread_loop::run_until`), so that nothing `t` waits for on that loop costs a hop between
/// threads. Several threads may do so at once.
///
/// \pre nobody has called `start` or `run` of the loop, and it has the descriptors that it needs
template <class T>
T drive(thread_loop& l, task<T> t) {
    detail::driven_root root(t);
    l.post(root);
    if (!l.run_until(root.finished()).ok()) {
        std::fputs("sluice: drive: the loop has a thread, or it has no descriptors\n", stderr);
        std::terminate();
    }
    return detail::task_access::frame(t).promise().take();
}

}  // namespace sluice
