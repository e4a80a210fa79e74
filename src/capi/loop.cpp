// SPDX-License-Identifier: Apache-2.0
#include "loop.hpp"

#include <algorithm>
#include <ctime>

#include "status.hpp"
#include "structs.hpp"
#include "times.hpp"

namespace sluice::capi {

std::uint64_t now_of(const sluice_clock& clock) noexcept {
    if (clock.now != nullptr) {
        const callback_scope in_callback;
        return clock.now(clock.user);
    }
    timespec at{};
    ::clock_gettime(CLOCK_MONOTONIC, &at);
    return static_cast<std::uint64_t>(at.tv_sec) * 1'000'000'000 +
           static_cast<std::uint64_t>(at.tv_nsec);
}

absl::Status read_clock(const sluice_clock* given, sluice_clock& clock) {
    clock = SLUICE_CLOCK_INIT;
    if (given == nullptr) {
        return absl::OkStatus();
    }
    if (absl::Status s = read_struct(given, clock, "sluice_clock"); !s.ok()) {
        return s;
    }
    return check_flags(clock.flags, 0, "sluice_clock");
}

loop_object::loop_object(const sluice_clock& clock) noexcept : clock_(clock), loop_(clock_time()) {
    loop_.disown();
}

// A clock beyond this says nonsense. There timers must still have an instant that is not `never`.
time_point loop_object::clock_time() const noexcept {
    constexpr time_point last{duration{std::int64_t{1} << 62}};  // 146 years
    return std::min(to_time(now_of(clock_)), last);
}

// A clock may leap, and a timer may be armed anew each time it fires: all that was due meanwhile is
// late, once, in place of running at every instant up to now.
void loop_object::run_due() noexcept {
    const time_point now = clock_time();
    loop_.skip_to(now);
    loop_.run_until(now);
}

absl::StatusOr<std::uint64_t> loop_object::run() {
    if (running_.test_and_set(std::memory_order_acquire)) {
        return absl::FailedPreconditionError(
            "the loop is running: on another thread, or this is one of its callbacks");
    }
    run_due();
    const std::uint64_t next = from_time(loop_.next_due());
    loop_.disown();
    running_.clear(std::memory_order_release);
    return next;
}

void loop_object::run_until(const std::function<bool()>& done) {
    while (!done()) {
        if (running_.test_and_set(std::memory_order_acquire)) {
            nap();  // whoever runs it returns soon
            continue;
        }
        run_due();
        // A clock of the user's may stand still: then what is next is now.
        const bool progress = done() || (clock_.now != nullptr && loop_.run_one());
        loop_.disown();
        running_.clear(std::memory_order_release);
        if (!progress) {
            nap();  // for operations that other threads end
        }
    }
}

void loop_object::nap() noexcept {
    const timespec pause{0, 100'000};
    ::nanosleep(&pause, nullptr);
}

}  // namespace sluice::capi

using namespace sluice;
using namespace sluice::capi;

extern "C" {

sluice_status sluice_loop_create(const sluice_clock* clock, sluice_loop** out) noexcept {
    return guarded("sluice_loop_create", [&]() -> absl::Status {
        if (out == nullptr) {
            return null_argument("out");
        }
        *out = nullptr;
        sluice_clock known;
        if (absl::Status s = read_clock(clock, known); !s.ok()) {
            return s;
        }
        return publish(std::make_unique<loop_object>(known), *out);
    });
}

sluice_status sluice_loop_run(sluice_loop* loop, uint64_t* next_ns) noexcept {
    return guarded("sluice_loop_run", [&]() -> absl::Status {
        if (next_ns != nullptr) {
            *next_ns = 0;
        }
        const auto pinned_loop = pin<loop_object>(loop);
        if (!pinned_loop.ok()) {
            return pinned_loop.status();
        }
        const absl::StatusOr<std::uint64_t> next = (*pinned_loop)->run();
        if (next.ok() && next_ns != nullptr) {
            *next_ns = *next;
        }
        return next.status();
    });
}

sluice_status sluice_loop_close(sluice_loop* loop) noexcept {
    return guarded("sluice_loop_close", [&] { return close<loop_object>(loop); });
}

}  // extern "C"
