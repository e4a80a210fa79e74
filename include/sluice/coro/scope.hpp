// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cassert>
#include <coroutine>
#include <cstddef>
#include <exception>

#include <sluice/coro/loop.hpp>
#include <sluice/coro/task.hpp>

namespace sluice {

/// Owns the tasks that it starts. Nothing runs detached: `co_await join()` before it dies.
///
/// \par Thread safety
/// `spawn` and `join` on the loop's thread only. The tasks may finish on any thread; the joiner
/// goes on at the loop.
///
/// \par Lifetime
/// Must have been joined since the last `spawn` when it is destroyed; the destructor asserts that
/// and never waits. After a join it may be used again.
///
/// \par Cancellation
/// None of its own: give the tasks a stop token, request the stop, and join.
///
/// \par Errors
/// Tasks say by their own means how they went. An exception that leaves one ends the process.
class scope : detail::task_root {
 public:
    explicit scope(loop& home) noexcept : task_root(&scope::child_finished), home_(&home) {}
    scope(const scope&) = delete;
    scope& operator=(const scope&) = delete;
    /// \pre every task has finished: joined, or known otherwise on the scope's own loop.
    ~scope() {
        assert(open_.load(std::memory_order_acquire) == 1 && "join a scope before it dies");
    }

    /// Starts `t` at once: it runs on this thread up to where it first suspends. Its frame is freed
    /// when it finishes; nothing else is allocated.
    void spawn(task<void> t) noexcept {
        assert(home_->in_loop());
        open_.fetch_add(1, std::memory_order_relaxed);
        const auto frame = detail::task_access::release(t);
        frame.promise().set_root(*this);
        frame.resume();
    }

    /// How many tasks have not finished.
    [[nodiscard]] std::size_t size() const noexcept {
        const std::size_t open = open_.load(std::memory_order_relaxed);
        return joining_ ? open : open - 1;
    }

    class [[nodiscard]] join_awaiter : work {
     public:
        explicit join_awaiter(scope& s) noexcept : work(&join_awaiter::wake), scope_(&s) {}
        join_awaiter(const join_awaiter&) = delete;
        join_awaiter& operator=(const join_awaiter&) = delete;

        [[nodiscard]] bool await_ready() const noexcept {
            // acquire: sees what the children did.
            return scope_->open_.load(std::memory_order_acquire) == 1;
        }
        // Not inlined: see completion.hpp.
        [[nodiscard, gnu::noinline]] bool await_suspend(std::coroutine_handle<> h) noexcept {
            assert(scope_->home_->in_loop());
            assert(scope_->joiner_ == nullptr && "one joiner at a time");
            waiting_ = h;
            scope_->joiner_ = this;
            scope_->joining_ = true;
            // Gives up the scope's own share. release: publishes the joiner; acquire: as above.
            return scope_->open_.fetch_sub(1, std::memory_order_acq_rel) != 1;
        }
        void await_resume() const noexcept {
            scope_->open_.store(1, std::memory_order_relaxed);
            scope_->joiner_ = nullptr;
            scope_->joining_ = false;
        }

     private:
        static void wake(work& w) noexcept { static_cast<join_awaiter&>(w).waiting_.resume(); }

        friend class scope;
        scope* scope_;
        std::coroutine_handle<> waiting_;
    };

    /// Waits until every task has finished, also those that are spawned meanwhile. Not stoppable.
    join_awaiter join() noexcept { return join_awaiter{*this}; }

 private:
    static std::coroutine_handle<> child_finished(detail::task_root& root,
                                                  std::coroutine_handle<> frame) noexcept {
        auto& self = static_cast<scope&>(root);
        using promise = detail::task_promise<void>;
        if (std::coroutine_handle<promise>::from_address(frame.address()).promise().failed()) {
            std::terminate();
        }
        frame.destroy();
        // release: publishes what the child did; acquire: sees the joiner.
        if (self.open_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
            self.home_->post(*self.joiner_);
        }
        return std::noop_coroutine();
    }

    loop* home_;
    std::atomic<std::size_t> open_{1};  // the tasks, and one more until somebody joins
    join_awaiter* joiner_ = nullptr;
    bool joining_ = false;
};

}  // namespace sluice
