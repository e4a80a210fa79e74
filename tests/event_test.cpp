// SPDX-License-Identifier: Apache-2.0
#include <sluice/coro/event.hpp>

#include <chrono>
#include <cstdint>
#include <optional>
#include <stop_token>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/completion.hpp>
#include <sluice/coro/scope.hpp>
#include <sluice/coro/sleep.hpp>
#include <sluice/coro/switch_to.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/task.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/coro/virtual_loop.hpp>

#include "support/allocation_counter.hpp"

namespace {

using namespace std::chrono_literals;
using absl::StatusCode;
using sluice::completion;
using sluice::event;
using sluice::scope;
using sluice::sync_wait;
using sluice::task;
using sluice::thread_loop;
using sluice::virtual_loop;
using sluice::test::allocation_counter;

task<void> wait(event& e, std::vector<int>& order, int name) {
    co_await e;
    order.push_back(name);
}

task<void> wait(event& e, std::stop_token stop, std::optional<absl::Status>& out) {
    out = co_await e.wait(std::move(stop));
}

// Runs tasks from the test itself; joins when it ends.
struct group {
    explicit group(virtual_loop& l) : loop(&l), tasks(l) {}
    group(const group&) = delete;
    group& operator=(const group&) = delete;
    ~group() {
        const auto join = [](scope& s) -> task<void> { co_await s.join(); };
        sync_wait(*loop, join(tasks));
    }
    virtual_loop* loop;
    scope tasks;
};

TEST_CASE("event: waiters go on through the loop, in order; a set event does not suspend") {
    virtual_loop loop;
    event e{loop};
    std::vector<int> order;
    group g{loop};
    g.tasks.spawn(wait(e, order, 1));
    g.tasks.spawn(wait(e, order, 2));
    loop.run_until_idle();
    CHECK(order.empty());

    e.set();
    CHECK(e.is_set());
    CHECK(order.empty());
    e.reset();
    g.tasks.spawn(wait(e, order, 4));
    loop.run_until_idle();
    CHECK(order == std::vector{1, 2});

    e.set();
    e.set();
    g.tasks.spawn(wait(e, order, 3));
    CHECK(order == std::vector{1, 2, 3});
    loop.run_until_idle();
    CHECK(order == std::vector{1, 2, 3, 4});
}

TEST_CASE("event: a stop ends the wait through the loop, with kCancelled") {
    virtual_loop loop;
    event e{loop};
    std::stop_source stop;
    std::optional<absl::Status> stopped;
    std::optional<absl::Status> stays;
    std::vector<int> order;
    group g{loop};
    g.tasks.spawn(wait(e, order, 1));
    g.tasks.spawn(wait(e, stop.get_token(), stopped));
    g.tasks.spawn(wait(e, std::stop_token{}, stays));
    stop.request_stop();
    CHECK_FALSE(stopped.has_value());
    loop.run_until_idle();
    REQUIRE(stopped.has_value());
    CHECK(stopped->code() == StatusCode::kCancelled);
    CHECK(stopped->message().empty());
    CHECK_FALSE(stays.has_value());
    e.set();
    loop.run_until_idle();
    CHECK(stays == absl::OkStatus());
    CHECK(order == std::vector{1});
}

TEST_CASE("event: whichever comes first decides, set or stop") {
    virtual_loop loop;
    event e{loop};
    std::stop_source stop;
    std::optional<absl::Status> out;
    group g{loop};

    SECTION("set, then stop") {
        g.tasks.spawn(wait(e, stop.get_token(), out));
        e.set();
        stop.request_stop();
        loop.run_until_idle();
        CHECK(out == absl::OkStatus());
    }
    SECTION("stop, then set") {
        g.tasks.spawn(wait(e, stop.get_token(), out));
        stop.request_stop();
        e.set();
        loop.run_until_idle();
        CHECK(out == absl::CancelledError(""));
    }
    SECTION("both before the wait: set") {
        e.set();
        stop.request_stop();
        g.tasks.spawn(wait(e, stop.get_token(), out));
        CHECK(out == absl::OkStatus());
    }
    SECTION("stop before the wait: no suspension") {
        stop.request_stop();
        g.tasks.spawn(wait(e, stop.get_token(), out));
        CHECK(out == absl::CancelledError(""));
    }
}

TEST_CASE("event: stop from another thread against set", "[race]") {
    thread_loop loop;
    REQUIRE(loop.start().ok());
    int ok = 0;
    int cancelled = 0;
    for (int round = 0; round < 200; ++round) {
        event e{loop};
        std::stop_source stop;
        std::optional<absl::Status> out;
        std::jthread stopper;
        const auto body = [&]() -> task<void> {
            scope s{loop};
            s.spawn(wait(e, stop.get_token(), out));
            stopper = std::jthread([&stop] { stop.request_stop(); });
            co_await sluice::yield_to(loop);
            e.set();
            co_await s.join();
        };
        sync_wait(loop, body());
        stopper.join();
        REQUIRE(out.has_value());
        ok += out->ok() ? 1 : 0;
        cancelled += out->code() == StatusCode::kCancelled ? 1 : 0;
    }
    CHECK(ok + cancelled == 200);
}

TEST_CASE("sleep: until the instant, or until stopped") {
    virtual_loop loop;
    std::stop_source stop;
    std::optional<absl::Status> slept;
    std::optional<absl::Status> stopped;
    std::optional<absl::Status> too_late;
    sluice::time_point woke{};
    const auto nap = [&](sluice::time_point at, std::stop_token token,
                         std::optional<absl::Status>& out) -> task<void> {
        out = co_await sluice::sleep_until(loop, at, std::move(token));
        woke = loop.now();
    };
    group g{loop};
    g.tasks.spawn(nap(loop.now() + 5ms, stop.get_token(), slept));
    g.tasks.spawn(nap(sluice::never, stop.get_token(), stopped));
    loop.run_until(loop.now() + 4ms);
    CHECK_FALSE(slept.has_value());
    loop.run_until(loop.now() + 1ms);
    CHECK(slept == absl::OkStatus());
    CHECK(woke == sluice::time_point{5ms});
    CHECK_FALSE(stopped.has_value());
    stop.request_stop();
    loop.run_until_idle();
    CHECK(stopped == absl::CancelledError(""));
    CHECK(woke == sluice::time_point{5ms});
    g.tasks.spawn(nap(loop.now() + 1s, stop.get_token(), too_late));
    CHECK(too_late == absl::CancelledError(""));
}

TEST_CASE("sleep: due and stopped at once ends once") {
    virtual_loop loop;
    std::stop_source stop;
    std::optional<absl::Status> out;
    const auto nap = [&]() -> task<void> {
        out = co_await sluice::sleep_for(loop, 1ms, stop.get_token());
    };
    struct at_once : sluice::timer {
        explicit at_once(std::stop_source& s)
            : timer([](timer& t) noexcept { static_cast<at_once&>(t).stop->request_stop(); }),
              stop(&s) {}
        std::stop_source* stop;
    } stopper{stop};
    group g{loop};

    SECTION("stop first") {
        loop.arm(stopper, loop.now() + 1ms);
        g.tasks.spawn(nap());
        loop.run_until_idle();
        CHECK(out == absl::CancelledError(""));
    }
    SECTION("timer first") {
        g.tasks.spawn(nap());
        loop.arm(stopper, loop.now() + 1ms);
        loop.run_until_idle();
        CHECK(out == absl::OkStatus());
    }
}

TEST_CASE("sleep: stop from another thread against the timer", "[race]") {
    thread_loop loop;
    REQUIRE(loop.start().ok());
    int ended = 0;
    for (int round = 0; round < 200; ++round) {
        std::stop_source stop;
        std::jthread stopper([&stop] { stop.request_stop(); });
        const auto body = [&]() -> task<absl::Status> {
            co_return co_await sluice::sleep_for(loop, 20us, stop.get_token());
        };
        const absl::Status status = sync_wait(loop, body());
        ended += status.ok() || status.code() == StatusCode::kCancelled ? 1 : 0;
    }
    CHECK(ended == 200);
}

TEST_CASE("switch_to: stays where it is, yield_to lets others go first") {
    virtual_loop loop;
    std::vector<int> order;
    const auto other = [&]() -> task<void> {
        order.push_back(1);
        co_await sluice::switch_to(loop);
        order.push_back(2);
        co_await sluice::yield_to(loop);
        order.push_back(4);
    };
    group g{loop};
    g.tasks.spawn(other());
    order.push_back(3);
    loop.run_until_idle();
    CHECK(order == std::vector{1, 2, 3, 4});
}

TEST_CASE("events, completions, latches and sleeps allocate nothing") {
    virtual_loop loop;
    std::stop_source stop;
    std::uint64_t allocations = 1;
    const auto setter = [](sluice::loop& l, event& e) -> task<void> {
        co_await sluice::yield_to(l);
        e.set();
    };
    const auto body = [&]() -> task<void> {
        scope s{loop};
        event e{loop};
        s.spawn(setter(loop, e));
        co_await e;
        static_cast<void>(co_await sluice::sleep_for(loop, 1us));
        const allocation_counter count;
        for (int i = 0; i < 100; ++i) {
            e.reset();
            s.spawn(setter(loop, e));
            static_cast<void>(co_await e.wait(stop.get_token()));
            e.reset();
            s.spawn(setter(loop, e));
            co_await e;
            completion c{loop};
            c.set(absl::UnavailableError(""));
            static_cast<void>(co_await c);
            sluice::latch l{loop, 1};
            l.count_down();
            co_await l;
            static_cast<void>(co_await sluice::sleep_for(loop, 1us, stop.get_token()));
            co_await s.join();
        }
        allocations = count.allocations();
    };
    sync_wait(loop, body());
    CHECK(allocations == 0);
}

}  // namespace
