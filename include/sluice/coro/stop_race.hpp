// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <optional>
#include <stop_token>

#include <sluice/coro/loop.hpp>

namespace sluice::detail {

/// Lets a stop request (any thread) and an event (the loop) compete for the one resumption of a
/// waiter. Whoever wins posts or runs the waiter's work; the other does nothing.
class stop_race {
 public:
    stop_race() = default;
    stop_race(const stop_race&) = delete;
    stop_race& operator=(const stop_race&) = delete;

    /// On the loop: from now on a stop request posts `stopped` to `home`, unless it comes too late.
    void begin(const std::stop_token& stop, loop& home, work& stopped) noexcept {
        home_ = &home;
        stopped_ = &stopped;
        if (stop.stop_possible()) {
            callback_.emplace(stop, on_stop{this});
        }
    }

    /// On the loop: the event has happened. \return whether it came first.
    [[nodiscard]] bool win() noexcept {
        // Only decides; what the winner wants to say goes with its post.
        return !taken_.exchange(true, std::memory_order_relaxed);
    }

    /// On the loop, before the waiter runs on: afterwards no callback touches it any more. Waits
    /// for one that is just running on another thread; it only posts.
    void end() noexcept { callback_.reset(); }

 private:
    struct on_stop {
        stop_race* race;
        void operator()() const noexcept {
            if (race->win()) {
                race->home_->post(*race->stopped_);
            }
        }
    };

    loop* home_ = nullptr;
    work* stopped_ = nullptr;
    std::atomic<bool> taken_{false};
    std::optional<std::stop_callback<on_stop>> callback_;
};

}  // namespace sluice::detail
