// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <coroutine>

#include <sluice/coro/loop.hpp>

namespace sluice {

/// See `switch_to` and `yield_to`.
class [[nodiscard]] switch_awaiter : work {
 public:
    switch_awaiter(loop& to, bool stay) noexcept
        : work([](work& w) noexcept { static_cast<switch_awaiter&>(w).waiting_.resume(); }),
          to_(&to),
          stay_(stay) {}

    [[nodiscard]] bool await_ready() const noexcept { return stay_ && to_->in_loop(); }
    // Not inlined: the other thread may run the coroutine before this returns, and Clang 16 may
    // keep the values of an inlined body in the frame.
    [[gnu::noinline]] void await_suspend(std::coroutine_handle<> h) noexcept {
        waiting_ = h;
        to_->post(*this);
    }
    void await_resume() const noexcept {}

 private:
    loop* to_;
    std::coroutine_handle<> waiting_;
    bool stay_;
};

/// `co_await switch_to(loop)`: goes on there, behind what is posted to it; does not suspend if it
/// is there already. From any thread; allocates nothing; not stoppable (a loop runs what is
/// posted).
inline switch_awaiter switch_to(loop& to) noexcept { return switch_awaiter{to, true}; }

/// As `switch_to`, but also lets others go first if it is there already.
inline switch_awaiter yield_to(loop& to) noexcept { return switch_awaiter{to, false}; }

}  // namespace sluice
