// SPDX-License-Identifier: Apache-2.0
#include "coro_bench.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include <pthread.h>
#include <sched.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <sluice/coro/event.hpp>
#include <sluice/coro/scope.hpp>
#include <sluice/coro/switch_to.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/task.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/coro/virtual_loop.hpp>

#include "allocation_count.hpp"

namespace sluice::bench {
namespace {

constexpr std::size_t repeats = 11;
constexpr int calls = 200'000;
constexpr int posts = 50'000;
constexpr int hops = 2'000;

using steady = std::chrono::steady_clock;

double nanoseconds_since(steady::time_point start) {
    return std::chrono::duration<double, std::nano>(steady::now() - start).count();
}

double median(std::array<double, repeats>& times) {
    std::nth_element(times.begin(), times.begin() + repeats / 2, times.end());
    return times[repeats / 2];
}

// Runs both several times, by turns so that a busy machine hits both, each `n` operations.
template <class Body, class Baseline>
coro_bench_row measure(const char* name, int n, Body body, Baseline baseline) {
    coro_bench_row row;
    row.operation = name;
    body();  // fills the frame cache
    baseline();
    {
        const allocation_count count;
        body();
        row.allocations = static_cast<double>(count.value()) / n;
    }
    std::array<double, repeats> times{};
    std::array<double, repeats> baseline_times{};
    for (std::size_t i = 0; i < repeats; ++i) {
        const steady::time_point start = steady::now();
        body();
        times[i] = nanoseconds_since(start) / n;
        const steady::time_point middle = steady::now();
        baseline();
        baseline_times[i] = nanoseconds_since(middle) / n;
    }
    row.ns = median(times);
    row.baseline_ns = median(baseline_times);
    return row;
}

// Not to be looked into by the optimiser.
void keep(int& value) { asm volatile("" : "+r"(value) : : "memory"); }

[[gnu::noinline]] int plain_call(int n) {
    keep(n);
    return n;
}

[[gnu::noinline]] task<int> leaf_task(int n) {
    keep(n);
    co_return n;
}

// Suspends; whoever holds `waiting` resumes it.
struct baton {
    class awaiter {
     public:
        explicit awaiter(baton& b) noexcept : baton_(&b) {}
        [[nodiscard]] bool await_ready() const noexcept { return false; }
        void await_suspend(std::coroutine_handle<> h) noexcept { baton_->waiting = h; }
        void await_resume() const noexcept {}

     private:
        baton* baton_;
    };
    awaiter operator co_await() & noexcept { return awaiter{*this}; }

    std::coroutine_handle<> waiting;
};

void calls_only(int n) {
    int total = 0;
    for (int i = 0; i < n; ++i) {
        total += plain_call(i);
    }
    keep(total);
}

coro_bench_row bench_await_ready() {
    virtual_loop loop;
    event set{loop};
    set.set();
    const auto body = [](event& e) -> task<void> {
        for (int i = 0; i < calls; ++i) {
            co_await e;
        }
    };
    return measure(
        "await_ready", calls, [&] { sync_wait(body(set)); }, [] { calls_only(calls); });
}

coro_bench_row bench_await() {
    virtual_loop loop;
    const auto body = [](baton& b) -> task<void> {
        for (int i = 0; i < calls; ++i) {
            co_await b;
        }
    };
    const auto finish = [](scope& s) -> task<void> { co_await s.join(); };
    int (*volatile pointer)(int) = &plain_call;
    return measure(
        "await", calls,
        [&] {
            baton b;
            scope s{loop};
            s.spawn(body(b));
            for (int i = 0; i < calls; ++i) {
                b.waiting.resume();
            }
            sync_wait(loop, finish(s));
        },
        [&] {
            int total = 0;
            for (int i = 0; i < calls; ++i) {
                total += pointer(i);
            }
            keep(total);
        });
}

coro_bench_row bench_await_task() {
    const auto body = []() -> task<void> {
        int total = 0;
        for (int i = 0; i < calls; ++i) {
            total += co_await leaf_task(i);
        }
        keep(total);
    };
    return measure(
        "await_task", calls, [&] { sync_wait(body()); }, [] { calls_only(calls); });
}

struct callback {
    callback() = default;
    callback(const callback&) = delete;
    callback& operator=(const callback&) = delete;
    virtual ~callback() = default;
    virtual void call() = 0;
};

struct adding : callback {
    adding(int& t, int v) noexcept : total(&t), value(v) {}
    void call() override { *total += value; }
    int* total;
    int value;
};

[[gnu::noinline]] std::unique_ptr<callback> make_adding(int& total, int value) {
    return std::make_unique<adding>(total, value);
}

[[gnu::noinline]] task<void> add(int& total, int value) {
    total += value;
    co_return;
}

coro_bench_row bench_spawn() {
    virtual_loop loop;
    int total = 0;
    const auto body = [&]() -> task<void> {
        scope s{loop};
        for (int i = 0; i < calls; ++i) {
            s.spawn(add(total, i & 1));
        }
        co_await s.join();
    };
    return measure(
        "spawn", calls, [&] { sync_wait(loop, body()); },
        [&] {
            for (int i = 0; i < calls; ++i) {
                make_adding(total, i & 1)->call();
            }
        });
}

struct relay : work {
    relay(loop& l, int n) noexcept
        : work([](work& w) noexcept {
              auto& self = static_cast<relay&>(w);
              if (self.peer != nullptr && --self.left > 0) {
                  self.home->post(*self.peer);
              }
          }),
          home(&l),
          left(n) {}
    loop* home;
    relay* peer = nullptr;
    int left;
};

// Two coroutines, or two work items, that take turns on one loop.
coro_bench_row bench_event() {
    virtual_loop loop;
    const auto side = [](event& mine, event& other, bool first) -> task<void> {
        for (int i = 0; i < posts / 2; ++i) {
            if (first) {
                other.set();
            }
            co_await mine;
            mine.reset();
            if (!first) {
                other.set();
            }
        }
    };
    const auto body = [&]() -> task<void> {
        event a{loop};
        event b{loop};
        scope s{loop};
        s.spawn(side(b, a, false));
        s.spawn(side(a, b, true));
        co_await s.join();
    };
    return measure(
        "event", posts, [&] { sync_wait(loop, body()); },
        [&] {
            relay a{loop, posts / 2};
            relay b{loop, posts / 2};
            a.peer = &b;
            b.peer = &a;
            loop.post(a);
            loop.run_until_idle();
        });
}

// Where the threads run decides over the cost of a hop: both pairs get the same two processors.
void pin_this_thread(int which) {
    cpu_set_t allowed;
    CPU_ZERO(&allowed);
    if (::sched_getaffinity(0, sizeof allowed, &allowed) != 0 || CPU_COUNT(&allowed) < 2) {
        return;
    }
    for (std::size_t cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
        if (CPU_ISSET(cpu, &allowed) && which-- == 0) {
            cpu_set_t one;
            CPU_ZERO(&one);
            CPU_SET(cpu, &one);
            ::pthread_setaffinity_np(::pthread_self(), sizeof one, &one);
            return;
        }
    }
}

template <class First, class Second>
void run_pair(First first, Second second) {
    std::thread a([&] {
        pin_this_thread(0);
        first();
    });
    std::thread b([&] {
        pin_this_thread(1);
        second();
    });
    a.join();
    b.join();
}

void condvar_ping_pong() {
    std::mutex mutex;
    std::condition_variable changed;
    int turn = 0;
    const auto side = [&](int me) {
        for (int i = 0; i < hops / 2; ++i) {
            std::unique_lock lock(mutex);
            changed.wait(lock, [&] { return turn % 2 == me; });
            ++turn;
            changed.notify_one();
        }
    };
    run_pair([&] { side(0); }, [&] { side(1); });
}

void eventfd_ping_pong() {
    const int a = ::eventfd(0, EFD_CLOEXEC);
    const int b = ::eventfd(0, EFD_CLOEXEC);
    const auto signal = [](int fd) {
        const std::uint64_t one = 1;
        return ::write(fd, &one, sizeof one) == sizeof one;
    };
    const auto wait = [](int fd) {
        std::uint64_t got = 0;
        return ::read(fd, &got, sizeof got) == sizeof got;
    };
    if (a >= 0 && b >= 0) {
        run_pair(
            [&] {
                for (int i = 0; i < hops / 2 && signal(b) && wait(a); ++i) {
                }
            },
            [&] {
                for (int i = 0; i < hops / 2 && wait(b) && signal(a); ++i) {
                }
            });
    }
    ::close(a);
    ::close(b);
}

task<void> pin(int which) {
    pin_this_thread(which);
    co_return;
}

task<void> hop(loop& a, loop& b) {
    for (int i = 0; i < hops / 2; ++i) {
        co_await switch_to(a);
        co_await switch_to(b);
    }
}

template <class Baseline>
coro_bench_row bench_hop(const char* name, duration spin, Baseline baseline) {
    thread_loop a{"hop a", spin};
    thread_loop b{"hop b", spin};
    if (!a.start().ok() || !b.start().ok()) {
        return {name, 0, 0, 0};
    }
    sync_wait(a, pin(0));
    sync_wait(b, pin(1));
    return measure(
        name, hops, [&] { sync_wait(b, hop(a, b)); }, baseline);
}

}  // namespace

std::vector<coro_bench_row> run_coro_bench() {
    using std::chrono::microseconds;
    std::vector<coro_bench_row> rows;
    rows.push_back(bench_await_ready());
    rows.push_back(bench_await());
    rows.push_back(bench_await_task());
    rows.push_back(bench_spawn());
    rows.push_back(bench_event());
    rows.push_back(bench_hop("hop", duration{0}, [] { condvar_ping_pong(); }));
    rows.push_back(bench_hop("hop_eventfd", duration{0}, [] { eventfd_ping_pong(); }));
    rows.push_back(bench_hop("hop_spin", microseconds(50), [] { condvar_ping_pong(); }));
    return rows;
}

}  // namespace sluice::bench
