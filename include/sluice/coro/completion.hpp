// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cassert>
#include <coroutine>
#include <cstdint>
#include <utility>

#include <absl/status/status.h>

#include <sluice/coro/loop.hpp>

namespace sluice {
namespace detail {

/// What `completion` and `latch` have in common: one publication, one waiter, any two threads.
class one_shot {
    struct waiter : work {
        waiter() noexcept
            : work([](work& w) noexcept { static_cast<waiter&>(w).waiting.resume(); }) {}
        std::coroutine_handle<> waiting;
    };

 public:
    explicit one_shot(loop& home) noexcept : home_(&home) {}
    one_shot(const one_shot&) = delete;
    one_shot& operator=(const one_shot&) = delete;

    // acquire: sees what was written before `publish`.
    [[nodiscard]] bool published() const noexcept {
        return state_.load(std::memory_order_acquire) == this;
    }

    void publish() noexcept {
        loop* const home = home_;
        // release: publishes the result; acquire: sees the waiter. Then *this may be gone.
        void* const w = state_.exchange(this, std::memory_order_acq_rel);
        assert(w != this && "published twice");
        if (w != nullptr) {
            home->post(*static_cast<waiter*>(w));
        }
    }

    class awaiter : waiter {
     public:
        explicit awaiter(one_shot& owner) noexcept : owner_(&owner) {}
        awaiter(const awaiter&) = delete;
        awaiter& operator=(const awaiter&) = delete;

        [[nodiscard]] bool await_ready() const noexcept { return owner_->published(); }
        // Not inlined: another thread may run the coroutine before this returns, and Clang 16 may
        // keep the values of an inlined body in the frame.
        [[nodiscard, gnu::noinline]] bool await_suspend(std::coroutine_handle<> h) noexcept {
            waiting = h;
            void* expected = nullptr;
            // release: publishes the waiter; acquire: on failure, sees the result.
            return owner_->state_.compare_exchange_strong(expected, static_cast<waiter*>(this),
                                                          std::memory_order_acq_rel);
        }
        void await_resume() const noexcept {}

     protected:
        one_shot* owner_;
    };

 private:
    // nullptr: pending; this: published; anything else: the waiter.
    std::atomic<void*> state_{nullptr};
    loop* home_;
};

}  // namespace detail

/// One-shot bridge from a callback of any thread (a CUDA host function, a completion queue reader)
/// to one coroutine, which goes on at a loop.
///
/// \par Thread safety
/// `set` may race with `co_await`. At most one of each.
///
/// \par Resumption
/// Never inside `set`: the waiter is posted to the loop. Where the result is there first, the
/// awaiting coroutine runs on where it is, which should be that loop.
///
/// \par Lifetime
/// `set` does not touch `*this` after it has published the result, so the waiter may destroy the
/// completion as soon as it runs. It must not be destroyed before `set`.
///
/// \par Cancellation
/// Not stoppable: somebody still holds a pointer to it. Stop the operation behind it, which then
/// sets it, and go on waiting.
class completion : detail::one_shot {
 public:
    explicit completion(loop& home) noexcept : one_shot(home) {}

    void set(absl::Status status) noexcept {
        status_ = std::move(status);
        publish();
    }

    class [[nodiscard]] awaiter : public one_shot::awaiter {
     public:
        explicit awaiter(completion& c) noexcept : one_shot::awaiter(c), completion_(&c) {}
        [[nodiscard]] absl::Status await_resume() noexcept {
            return std::move(completion_->status_);
        }

     private:
        completion* completion_;
    };

    /// Yields the status given to `set`.
    awaiter operator co_await() & noexcept { return awaiter{*this}; }

 private:
    absl::Status status_;
};

/// Counts down from a number; one coroutine waits for zero and goes on at a loop. One-shot.
///
/// \par Thread safety
/// `count_down` from any thread, concurrently, also with the one `co_await`.
///
/// \par Resumption, lifetime, cancellation
/// As for `completion`: posted to the loop, may be destroyed by the waiter, not stoppable.
class latch : detail::one_shot {
 public:
    /// \param count  0 is open from the start.
    latch(loop& home, std::uint32_t count) noexcept : one_shot(home), left_(count) {
        if (count == 0) {
            publish();
        }
    }

    /// \pre `n` is at most what is left.
    void count_down(std::uint32_t n = 1) noexcept {
        // release: publishes what this thread did; acquire: the last one sees what all did.
        const std::uint32_t before = left_.fetch_sub(n, std::memory_order_acq_rel);
        assert(before >= n);
        if (before == n && n != 0) {
            publish();
        }
    }

    class [[nodiscard]] awaiter : public one_shot::awaiter {
     public:
        explicit awaiter(latch& l) noexcept : one_shot::awaiter(l) {}
    };

    awaiter operator co_await() & noexcept { return awaiter{*this}; }

 private:
    std::atomic<std::uint32_t> left_;
};

}  // namespace sluice
