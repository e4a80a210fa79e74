// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cassert>
#include <coroutine>
#include <stop_token>
#include <utility>

#include <absl/status/status.h>

#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/coro/stop_race.hpp>

namespace sluice {

class [[nodiscard]] sleep_awaiter : timer, work {
 public:
    sleep_awaiter(loop& home, time_point at, std::stop_token stop) noexcept
        : timer(&sleep_awaiter::fire),
          work(&sleep_awaiter::wake_stopped),
          home_(&home),
          at_(at),
          stop_(std::move(stop)) {}

    [[nodiscard]] bool await_ready() noexcept {
        stopped_ = stop_.stop_requested();
        return stopped_;
    }
    void await_suspend(std::coroutine_handle<> h) {
        assert(home_->in_loop());
        waiting_ = h;
        home_->arm(*this, at_);
        // Last: the callback may run at once, here or elsewhere. It only posts to this loop.
        race_.begin(stop_, *home_, *this);
    }
    [[nodiscard]] absl::Status await_resume() const noexcept {
        return stopped_ ? absl::CancelledError("") : absl::OkStatus();
    }

 private:
    static void fire(timer& t) noexcept {
        auto& self = static_cast<sleep_awaiter&>(t);
        if (self.race_.win()) {
            self.race_.end();
            self.waiting_.resume();
        }
    }
    static void wake_stopped(work& w) noexcept {
        auto& self = static_cast<sleep_awaiter&>(w);
        self.race_.end();
        self.home_->disarm(self);
        self.stopped_ = true;
        self.waiting_.resume();
    }

    loop* home_;
    time_point at_;
    std::stop_token stop_;
    detail::stop_race race_;
    std::coroutine_handle<> waiting_;
    bool stopped_ = false;
};

/// `co_await sleep_until(loop, at, stop)`: goes on at `at` of that loop's clock, on that loop, on
/// which it is to be awaited. Always gives way, also when `at` has passed.
///
/// \return OK, or kCancelled (without text) when stopped before; then the waiter has been posted to
///         the loop by whichever thread asked. `never` waits for the stop request.
inline sleep_awaiter sleep_until(loop& home, time_point at, std::stop_token stop = {}) noexcept {
    return sleep_awaiter{home, at, std::move(stop)};
}

/// As `sleep_until` with an instant `d` from now.
inline sleep_awaiter sleep_for(loop& home, duration d, std::stop_token stop = {}) noexcept {
    return sleep_awaiter{home, saturating_add(home.now(), d), std::move(stop)};
}

}  // namespace sluice
