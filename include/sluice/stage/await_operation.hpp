// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <concepts>
#include <coroutine>
#include <type_traits>
#include <utility>

#include <absl/status/status.h>

#include <sluice/coro/loop.hpp>
#include <sluice/stage/operation.hpp>

namespace sluice {

/// An operation that a coroutine can await: `Op` and the coroutine that waits for it.
///
/// \code
/// awaited<copy_op> copy;
/// copy.bytes = 4096;
/// absl::Status status = co_await copy.run(home, [&](copy_op& op) { device.start(op); });
/// \endcode
///
/// \par Lifetime
/// This object (and the memory that the operation names) must live until the await has ended; a
/// local of the coroutine does. It may be used again after that. Allocates nothing.
///
/// \par Cancellation
/// The await itself is not stoppable, because the memory stays in use until the operation has
/// completed: cancel the operation by its own means, and it will complete soon.
template <std::derived_from<operation> Op>
class awaited : public Op {
 public:
    using Op::Op;

    template <class Start>
    class [[nodiscard]] awaiter {
     public:
        awaiter(awaited& op, loop& home, Start start) noexcept
            : op_(&op), home_(&home), start_(std::move(start)) {}
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        // Not inlined: another thread may run the coroutine before this returns, and Clang 16 may
        // keep the values of an inlined body in the frame.
        [[gnu::noinline]] void await_suspend(std::coroutine_handle<> h) noexcept {
            op_->waiting_ = h;
            op_->on_completion(*home_, &awaited::resume);
            // On the stack: this awaiter may be gone while `start` still runs.
            Start start = start_;
            start(static_cast<Op&>(*op_));
        }
        [[nodiscard]] absl::Status await_resume() const noexcept { return op_->status(); }

     private:
        awaited* op_;
        loop* home_;
        Start start_;
    };

    /// \param home   where the coroutine goes on.
    /// \param start  called with the operation, once, on the awaiting thread; hands it to the one
    ///               who carries it out. Captures references or plain values only.
    /// \return when awaited, the operation's status.
    template <class Start>
    awaiter<Start> run(loop& home, Start start) noexcept {
        static_assert(std::is_trivially_destructible_v<Start>,
                      "GCC 12 destroys such a temporary twice in a co_await expression");
        return awaiter<Start>{*this, home, std::move(start)};
    }

 private:
    static void resume(operation& op) noexcept {
        // The coroutine may end this object while it runs.
        static_cast<awaited&>(op).waiting_.resume();
    }

    std::coroutine_handle<> waiting_;
};

}  // namespace sluice
