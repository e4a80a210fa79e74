// SPDX-License-Identifier: Apache-2.0
#include <sluice/coro/virtual_loop.hpp>

#include <algorithm>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>

namespace sluice {
namespace {

// Its address names the thread.
constinit thread_local char this_thread = 0;

// EPOLLIN, EPOLLOUT, EPOLLERR, EPOLLHUP and their kin have the values of the poll flags.
constexpr std::uint32_t poll_flags = 0x3fff;

}  // namespace

virtual_loop::virtual_loop(time_point start) noexcept
    : now_(start.time_since_epoch().count()), owner_(&this_thread) {}

std::size_t virtual_loop::run_until_idle() noexcept { return run(never); }

std::size_t virtual_loop::run_until(time_point end) noexcept {
    const std::size_t count = run(end);
    if (end != never && end > now()) {
        now_.store(end.time_since_epoch().count(), std::memory_order_relaxed);
    }
    return count;
}

void virtual_loop::skip_to(time_point at) noexcept {
    now_.store(std::max(at, now()).time_since_epoch().count(), std::memory_order_relaxed);
}

std::size_t virtual_loop::run(time_point end) noexcept {
    std::size_t count = 0;
    owner_.store(&this_thread, std::memory_order_relaxed);
    for (;; ++count) {
        inbox_.take(ready_);
        if (!ready_.empty()) {
            ready_.pop().run();
        } else if (!run_timer_or_watches(end)) {
            return count;
        }
    }
}

bool virtual_loop::run_one() noexcept {
    owner_.store(&this_thread, std::memory_order_relaxed);
    inbox_.take(ready_);
    if (ready_.empty()) {
        return run_timer_or_watches(never);
    }
    ready_.pop().run();
    return true;
}

// To be called when no posted work is left.
bool virtual_loop::run_timer_or_watches(time_point end) noexcept {
    time_point present = now();
    const time_point due = timers_.next_due();
    if (due > present) {
        if (!watches_.empty() && run_ready_watches()) {
            return true;
        }
        if (due == never || due > end) {
            return false;
        }
        present = due;
        now_.store(due.time_since_epoch().count(), std::memory_order_relaxed);
    }
    timer* const t = timers_.pop_due(present, timers_.order());
    if (t == nullptr) {
        return false;
    }
    t->run();
    return true;
}

void virtual_loop::post(work& item) noexcept {
    if (owner_.load(std::memory_order_relaxed) == &this_thread) {
        ready_.push(item);
    } else {
        static_cast<void>(inbox_.push(item));  // it never sleeps
    }
}

time_point virtual_loop::now() const noexcept {
    return time_point{duration{now_.load(std::memory_order_relaxed)}};
}

bool virtual_loop::in_loop() const noexcept {
    return owner_.load(std::memory_order_relaxed) == &this_thread;
}

void virtual_loop::arm(timer& t, time_point at) { timers_.arm(t, std::max(at, now())); }

void virtual_loop::disarm(timer& t) noexcept { timers_.disarm(t); }

absl::Status virtual_loop::watch(fd_watch& w) {
    const auto same = [&w](const fd_watch* other) {
        return other != nullptr && other->fd() == w.fd();
    };
    if (::fcntl(w.fd(), F_GETFD) < 0 || std::any_of(watches_.begin(), watches_.end(), same)) {
        return absl::InvalidArgumentError("virtual_loop: bad or already watched descriptor");
    }
    watches_.push_back(&w);
    return absl::OkStatus();
}

void virtual_loop::unwatch(fd_watch& w) noexcept {
    const auto found = std::find(watches_.begin(), watches_.end(), &w);
    if (found == watches_.end()) {
        return;
    }
    if (running_watches_) {
        *found = nullptr;
    } else {
        watches_.erase(found);
    }
}

// Each ready watch once, in the order of `watch`.
bool virtual_loop::run_ready_watches() noexcept {
    bool any = false;
    running_watches_ = true;
    const std::size_t count = watches_.size();  // those added meanwhile wait
    for (std::size_t i = 0; i < count; ++i) {
        fd_watch* const w = watches_[i];
        if (w == nullptr) {
            continue;
        }
        pollfd ready{w->fd(), static_cast<short>(w->events() & poll_flags), 0};
        if (::poll(&ready, 1, 0) > 0 && (ready.revents & POLLNVAL) == 0) {
            any = true;
            w->run(static_cast<std::uint16_t>(ready.revents));
        }
    }
    running_watches_ = false;
    std::erase(watches_, nullptr);
    return any;
}

}  // namespace sluice
