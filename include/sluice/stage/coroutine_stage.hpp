// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <coroutine>
#include <cstddef>
#include <exception>
#include <span>
#include <utility>

#include <absl/status/status.h>

#include <sluice/coro/frame_cache.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/coro/task.hpp>
#include <sluice/stage/block_stage.hpp>

namespace sluice {

/// A stage of the user's that is one coroutine: override `run` and `name`.
///
/// Each block's coroutine starts on `home`, in the order in which blocks come, and may wait there,
/// or go elsewhere and end there. Between two awaits it has `home` to itself, so that scratch
/// memory used only between them needs no lock. At most `limits().operations` blocks are under way.
///
/// \par Thread safety
/// `start` from any thread; all of `run` up to its first await on `home`.
///
/// \par Lifetime
/// `home` outlives the stage's last operation and is not one that `run` blocks for others: give a
/// stage that computes a loop of its own. The stage may be destroyed on any thread once all of its
/// operations have completed (as they have when the pipeline is destroyed); a block's coroutine is
/// gone by then. Two frames per block, from the frame cache; nothing else is allocated.
///
/// \par Cancellation
/// None: a block that nobody waits for any more runs to its end. A stage's operations have no
/// timeout, so `run` must end.
///
/// \par Errors
/// The status that `run` returns is the operation's: what is not OK makes the block a miss. Return
/// a status without text, which allocates nothing. An exception that leaves `run` ends the process.
class coroutine_stage : public block_stage {
 public:
    explicit coroutine_stage(loop& home) noexcept : home_(&home), turn_(*this) {}

    void start(std::span<block_op* const> ops) noexcept final {
        bool idle = false;
        for (block_op* op : ops) {
            work* top = newest_.load(std::memory_order_relaxed);
            do {
                op->next = top;
                // release: publishes the operation; acquire: the turn before is done with `turn_`.
            } while (!newest_.compare_exchange_weak(top, op, std::memory_order_acq_rel,
                                                    std::memory_order_relaxed));
            idle |= top == nullptr;
        }
        if (idle) {
            home_->post(turn_);
        }
    }

 private:
    /// The stage's work on one block, which stays valid until this has ended.
    [[nodiscard]] virtual task<absl::Status> run(block_op& op) = 0;

    // Runs a block's task and then completes the operation: the operation owns it.
    struct carrier {
        class promise_type {
         public:
            promise_type(coroutine_stage&, block_op& op) noexcept : op_(&op) {}

            static void* operator new(std::size_t size) {
                return detail::frame_cache::allocate(size);
            }
            static void operator delete(void* frame, std::size_t size) noexcept {
                detail::frame_cache::deallocate(frame, size);
            }

            class final_awaiter {
             public:
                final_awaiter() noexcept {}  // NOLINT: a constructor of our own, for GCC 12
                [[nodiscard]] bool await_ready() const noexcept { return false; }
                // Not inlined: the frame ends here.
                [[gnu::noinline]] void await_suspend(
                    std::coroutine_handle<promise_type> done) const noexcept {
                    block_op* const op = done.promise().op_;
                    absl::Status status = std::move(done.promise().status_);
                    done.destroy();
                    op->complete(std::move(status));  // last: the stage may be gone after it
                }
                void await_resume() const noexcept {}
            };

            [[nodiscard]] carrier get_return_object() const noexcept { return {}; }
            [[nodiscard]] std::suspend_never initial_suspend() const noexcept { return {}; }
            [[nodiscard]] final_awaiter final_suspend() const noexcept { return {}; }
            void return_value(absl::Status status) noexcept { status_ = std::move(status); }
            void unhandled_exception() const noexcept { std::terminate(); }

         private:
            block_op* op_;
            absl::Status status_;
        };
    };

    struct turn : work {
        explicit turn(coroutine_stage& s) noexcept
            : work([](work& w) noexcept { static_cast<turn&>(w).owner.take_turn(); }), owner(s) {}
        coroutine_stage& owner;
    };

    carrier carry(block_op& op) noexcept { co_return co_await run(op); }

    void take_turn() noexcept {
        // From here on `start` posts anew. acquire: sees the operations; release: see there.
        work* newest = newest_.exchange(nullptr, std::memory_order_acq_rel);
        work* oldest = nullptr;
        while (newest != nullptr) {
            work* const older = std::exchange(newest->next, oldest);
            oldest = std::exchange(newest, older);
        }
        while (oldest != nullptr) {
            // Read first: the operation may be over, and the last one takes the stage with it.
            work& op = *std::exchange(oldest, oldest->next);
            carry(static_cast<block_op&>(op));
        }
    }

    loop* home_;
    std::atomic<work*> newest_{nullptr};  // blocks that wait for the turn; it is posted if any do
    turn turn_;
};

}  // namespace sluice
