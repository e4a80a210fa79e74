// SPDX-License-Identifier: Apache-2.0
#include <sluice/coro/thread_loop.hpp>

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <utility>

#include <poll.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

namespace sluice {
namespace {

constexpr int max_events = 32;
constexpr std::uint32_t rounds_per_poll = 16;  // a busy loop looks at its descriptors this often

// The loop that runs on this thread.
constinit thread_local const thread_loop* current = nullptr;

void pause_cpu() noexcept {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

timespec to_timespec(duration d) noexcept {
    constexpr duration::rep second = 1'000'000'000;
    timespec out{};
    out.tv_sec = static_cast<time_t>(d.count() / second);
    out.tv_nsec = static_cast<long>(d.count() % second);
    return out;
}

}  // namespace

thread_loop::stop_request::stop_request(thread_loop& l) noexcept
    : work([](work& w) noexcept { static_cast<stop_request&>(w).owner->stopping_ = true; }),
      owner(&l) {}

thread_loop::thread_loop(std::string_view name, duration spin) noexcept
    : spin_(spin), stop_request_(*this) {
    std::copy_n(name.data(), std::min(name.size(), name_.size() - 1), name_.data());
    epoll_ = ::epoll_create1(EPOLL_CLOEXEC);
    wakeup_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (epoll_ >= 0 && wakeup_ >= 0) {
        epoll_event event{};
        // Edge-triggered: each write wakes us, and nobody needs to read.
        event.events = EPOLLIN | EPOLLET;
        event.data.ptr = nullptr;
        if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, wakeup_, &event) != 0) {
            ::close(std::exchange(wakeup_, -1));
        }
    }
}

thread_loop::~thread_loop() {
    assert(!in_loop() && "a loop does not destroy itself");
    stop();
    join();
    const thread_loop* const outer = std::exchange(current, this);
    do {
        inbox_.take(ready_);
        run_ready();
    } while (!ready_.empty() || !inbox_.empty());
    current = outer;
    // Some thread may be on its way to write: its descriptor must not be somebody else's by then.
    while (wakeups_owed_ > 0) {
        pollfd readable{wakeup_, POLLIN, 0};
        std::uint64_t written = 0;
        if (::poll(&readable, 1, -1) > 0 &&
            ::read(wakeup_, &written, sizeof written) == static_cast<ssize_t>(sizeof written)) {
            wakeups_owed_ -= std::min(wakeups_owed_, written);
        }
    }
    if (wakeup_ >= 0) {
        ::close(wakeup_);
    }
    if (epoll_ >= 0) {
        ::close(epoll_);
    }
}

absl::Status thread_loop::begin() noexcept {
    if (has_run_) {
        return absl::FailedPreconditionError("thread_loop: it runs once");
    }
    if (epoll_ < 0 || wakeup_ < 0) {
        return absl::ResourceExhaustedError("thread_loop: no epoll or eventfd descriptor");
    }
    has_run_ = true;
    return absl::OkStatus();
}

absl::Status thread_loop::start() {
    if (absl::Status status = begin(); !status.ok()) {
        return status;
    }
    const auto body = [](void* self) -> void* {
        auto& l = *static_cast<thread_loop*>(self);
        ::pthread_setname_np(::pthread_self(), l.name_.data());
        // Otherwise the kernel may let timers of this thread be 50 us late.
        ::prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);
        l.run_until_stopped();
        return nullptr;
    };
    // Signals are for the threads of the application; faults stay where they happen.
    sigset_t all;
    sigset_t before;
    ::sigfillset(&all);
    for (const int fault : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS, SIGPROF}) {
        ::sigdelset(&all, fault);
    }
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    const int error = ::pthread_create(&thread_, nullptr, body, this);
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    if (error != 0) {
        has_run_ = false;
        return absl::ResourceExhaustedError("thread_loop: cannot make a thread");
    }
    has_thread_ = true;
    return absl::OkStatus();
}

absl::Status thread_loop::run() {
    absl::Status status = begin();
    if (status.ok()) {
        run_until_stopped();
    }
    return status;
}

void thread_loop::stop() noexcept {
    if (!stop_posted_.exchange(true, std::memory_order_relaxed)) {
        post(stop_request_);
    }
}

void thread_loop::join() noexcept {
    if (std::exchange(has_thread_, false)) {
        ::pthread_join(thread_, nullptr);
    }
}

void thread_loop::post(work& item) noexcept {
    if (current == this) {
        ready_.push(item);
        return;
    }
    const int wakeup = wakeup_;
    if (inbox_.push(item)) {
        // From here on the loop may be gone but for its descriptor, which waits for us.
        const std::uint64_t one = 1;
        while (::write(wakeup, &one, sizeof one) < 0 && errno == EINTR) {
        }
    }
}

time_point thread_loop::now() const noexcept {
    const auto since = std::chrono::steady_clock::now().time_since_epoch();
    return time_point{std::chrono::duration_cast<duration>(since)};
}

bool thread_loop::in_loop() const noexcept { return current == this; }

void thread_loop::arm(timer& t, time_point at) {
    // Not before the instant for which timers last ran: a timer that keeps arming itself for the
    // past must not go before the others.
    timers_.arm(t, std::max(at, fired_at_));
}

void thread_loop::disarm(timer& t) noexcept { timers_.disarm(t); }

absl::Status thread_loop::watch(fd_watch& w) {
    epoll_event event{};
    event.events = w.events();
    event.data.ptr = &w;
    if (::epoll_ctl(epoll_, EPOLL_CTL_ADD, w.fd(), &event) == 0) {
        ++watches_;
        return absl::OkStatus();
    }
    if (errno == ENOMEM || errno == ENOSPC) {
        return absl::ResourceExhaustedError("thread_loop: no room for another watch");
    }
    return absl::InvalidArgumentError("thread_loop: bad or already watched descriptor");
}

void thread_loop::unwatch(fd_watch& w) noexcept {
    ::epoll_ctl(epoll_, EPOLL_CTL_DEL, w.fd(), nullptr);  // fails if it was closed before
    --watches_;
    for (int i = 0; i < pending_count_; ++i) {
        if (pending_events_[i].data.ptr == &w) {
            pending_events_[i].data.ptr = nullptr;
        }
    }
}

void thread_loop::run_until_stopped() noexcept {
    const thread_loop* const outer = std::exchange(current, this);
    for (;;) {
        if (run_pending()) {
            continue;
        }
        if (stopping_) {
            break;
        }
        sleep();
    }
    current = outer;
}

absl::Status thread_loop::run_until(const std::atomic<bool>& done) {
    std::unique_lock lock(wait_mutex_);
    if (!driven_) {
        if (absl::Status status = begin(); !status.ok()) {
            return status;
        }
        driven_ = true;
    }
    // acquire: sees what was written on the loop before `done` was set.
    while (!done.load(std::memory_order_acquire)) {
        if (has_driver_) {
            ++followers_;
            turn_over_.wait(lock);
            --followers_;
            continue;
        }
        has_driver_ = true;
        lock.unlock();
        const thread_loop* const outer = std::exchange(current, this);
        for (;;) {
            const bool more = run_pending();
            lock.lock();
            if (followers_ > 0) {
                turn_over_.notify_all();
            }
            if (done.load(std::memory_order_relaxed)) {
                break;
            }
            lock.unlock();
            if (!more) {
                sleep();
            }
        }
        current = outer;
        has_driver_ = false;
    }
    return absl::OkStatus();
}

// \return whether there is more to run.
bool thread_loop::run_pending() noexcept {
    inbox_.take(ready_);
    run_timers();
    run_ready();
    if (watches_ > 0 && ++rounds_since_poll_ >= rounds_per_poll) {
        poll_descriptors(duration{0});
    }
    return !ready_.empty() || !inbox_.empty();
}

// One round: what is posted meanwhile waits for the next, so that nobody starves.
void thread_loop::run_ready() noexcept {
    work* item = ready_.take_all();
    while (item != nullptr) {
        work& current_item = *item;
        item = item->next;
        current_item.run();
    }
}

void thread_loop::run_timers() noexcept {
    if (timers_.next_due() == never) {
        return;
    }
    fired_at_ = now();
    const std::uint64_t limit = timers_.order();
    while (timer* const t = timers_.pop_due(fired_at_, limit)) {
        t->run();
    }
}

void thread_loop::sleep() noexcept {
    const time_point due = timers_.next_due();
    duration timeout{-1};
    if (due != never) {
        timeout = std::max(due - now(), duration{0});
    }
    if (timeout.count() != 0 && spin_.count() > 0 &&
        spin(timeout.count() < 0 ? spin_ : std::min(spin_, timeout))) {
        return;
    }
    if (timeout.count() == 0) {
        poll_descriptors(timeout);
        return;
    }
    if (!inbox_.fall_asleep()) {
        return;
    }
    poll_descriptors(timeout);
}

// \return whether something was posted.
bool thread_loop::spin(duration at_most) noexcept {
    const time_point end = saturating_add(now(), at_most);
    do {
        for (int i = 0; i < 16; ++i) {
            if (!inbox_.empty()) {
                return true;
            }
            pause_cpu();
        }
    } while (now() < end);
    return false;
}

// With a timeout other than zero the inbox is marked as asleep, and is not afterwards.
void thread_loop::poll_descriptors(duration timeout) noexcept {
    rounds_since_poll_ = 0;
    std::array<epoll_event, max_events> events;
    const int count = wait_events(events.data(), max_events, timeout);
    if (timeout.count() != 0 && inbox_.awake()) {
        ++wakeups_owed_;
    }
    pending_events_ = events.data();
    pending_count_ = std::max(count, 0);
    for (int i = 0; i < pending_count_; ++i) {
        const epoll_event& event = events[static_cast<std::size_t>(i)];
        if (event.data.ptr != nullptr) {
            static_cast<fd_watch*>(event.data.ptr)->run(event.events);
        }
    }
    pending_count_ = 0;
}

// A negative timeout waits for ever. An interrupted wait counts as one without events.
int thread_loop::wait_events(epoll_event* events, int count, duration timeout) noexcept {
    if (timeout.count() <= 0) {
        return ::epoll_wait(epoll_, events, count, timeout.count() < 0 ? -1 : 0);
    }
    const timespec limit = to_timespec(timeout);
    if (has_pwait2_) {
        const int ready = ::epoll_pwait2(epoll_, events, count, &limit, nullptr);
        if (ready >= 0 || (errno != ENOSYS && errno != EPERM)) {
            return ready;
        }
        has_pwait2_ = false;  // an old kernel, or a sandbox
    }
    pollfd readable{epoll_, POLLIN, 0};
    return ::ppoll(&readable, 1, &limit, nullptr) > 0 ? ::epoll_wait(epoll_, events, count, 0) : 0;
}

}  // namespace sluice
