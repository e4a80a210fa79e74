// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cassert>
#include <coroutine>
#include <stop_token>
#include <utility>

#include <absl/status/status.h>

#include <sluice/coro/loop.hpp>
#include <sluice/coro/stop_race.hpp>

namespace sluice {

/// A flag of one loop that coroutines of that loop wait for: stays set until `reset` (manual
/// reset); used once it is a one-shot event. For signals from other threads see `completion`.
///
/// \par Thread safety
/// Everything on the loop's thread only.
///
/// \par Resumption
/// Never inside `set`: waiters are posted to the loop in the order in which they came. They run
/// even if the event is reset before that. An await of a set event does not suspend.
///
/// \par Lifetime
/// Must outlive its waiters. Waiting allocates nothing.
class event {
    struct waiter : work {
        explicit waiter(work::function run) noexcept : work(run) {}
        waiter* before = nullptr;
        waiter* after = nullptr;
        std::coroutine_handle<> waiting;
        detail::stop_race* race = nullptr;  // of those that can be stopped
        bool woken_by_set = false;
    };

 public:
    explicit event(loop& home) noexcept : home_(&home) {}
    event(const event&) = delete;
    event& operator=(const event&) = delete;
    ~event() { assert(first_ == nullptr && "an event outlives its waiters"); }

    [[nodiscard]] bool is_set() const noexcept { return set_; }
    void reset() noexcept { set_ = false; }

    void set() noexcept {
        assert(home_->in_loop());
        set_ = true;
        while (waiter* const w = first_) {
            unlink(*w);
            if (w->race == nullptr || w->race->win()) {
                w->woken_by_set = true;
                home_->post(*w);
            }
        }
    }

    class [[nodiscard]] awaiter : waiter {
     public:
        explicit awaiter(event& e) noexcept
            : waiter([](work& w) noexcept { static_cast<awaiter&>(w).waiting.resume(); }),
              event_(&e) {}
        [[nodiscard]] bool await_ready() const noexcept { return event_->set_; }
        void await_suspend(std::coroutine_handle<> h) noexcept {
            waiting = h;
            event_->link(*this);
        }
        void await_resume() const noexcept {}

     private:
        event* event_;
    };

    class [[nodiscard]] stoppable_awaiter : waiter {
     public:
        stoppable_awaiter(event& e, std::stop_token stop) noexcept
            : waiter(&stoppable_awaiter::wake), event_(&e), stop_(std::move(stop)) {}
        [[nodiscard]] bool await_ready() noexcept {
            stopped_ = !event_->set_ && stop_.stop_requested();
            return event_->set_ || stopped_;
        }
        void await_suspend(std::coroutine_handle<> h) noexcept {
            waiting = h;
            race = &race_;
            event_->link(*this);
            // Last: the callback may run at once, here or elsewhere. It only posts to this loop.
            race_.begin(stop_, *event_->home_, *this);
        }
        [[nodiscard]] absl::Status await_resume() const noexcept {
            return stopped_ ? absl::CancelledError("") : absl::OkStatus();
        }

     private:
        static void wake(work& w) noexcept {
            auto& self = static_cast<stoppable_awaiter&>(w);
            self.race_.end();
            self.stopped_ = !self.woken_by_set;
            if (self.before != nullptr || self.event_->first_ == &self) {
                self.event_->unlink(self);
            }
            self.waiting.resume();
        }

        event* event_;
        std::stop_token stop_;
        detail::stop_race race_;
        bool stopped_ = false;
    };

    /// `co_await e`: until it is set. Not stoppable.
    awaiter operator co_await() & noexcept { return awaiter{*this}; }

    /// `co_await e.wait(stop)`: OK when set, kCancelled (without text) when stopped before that.
    /// Stopped, the waiter is posted to the loop, by whichever thread asked. Set wins over stopped
    /// where both are so when the wait begins.
    stoppable_awaiter wait(std::stop_token stop) & noexcept {
        return stoppable_awaiter{*this, std::move(stop)};
    }

 private:
    void link(waiter& w) noexcept {
        assert(home_->in_loop());
        w.before = last_;
        (last_ != nullptr ? last_->after : first_) = &w;
        last_ = &w;
    }
    void unlink(waiter& w) noexcept {
        (w.before != nullptr ? w.before->after : first_) = w.after;
        (w.after != nullptr ? w.after->before : last_) = w.before;
        w.before = nullptr;
        w.after = nullptr;
    }

    loop* home_;
    waiter* first_ = nullptr;
    waiter* last_ = nullptr;
    bool set_ = false;
};

}  // namespace sluice
