// SPDX-License-Identifier: Apache-2.0
#include <sluice/coro/event.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
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
#include <sluice/stage/await_operation.hpp>

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
    const auto sleep = [&](sluice::time_point at, std::stop_token token,
                           std::optional<absl::Status>& out) -> task<void> {
        out = co_await sluice::sleep_until(loop, at, std::move(token));
        woke = loop.now();
    };
    group g{loop};
    g.tasks.spawn(sleep(loop.now() + 5ms, stop.get_token(), slept));
    g.tasks.spawn(sleep(sluice::never, stop.get_token(), stopped));
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
    g.tasks.spawn(sleep(loop.now() + 1s, stop.get_token(), too_late));
    CHECK(too_late == absl::CancelledError(""));
}

TEST_CASE("sleep: due and stopped at once ends once") {
    virtual_loop loop;
    std::stop_source stop;
    std::optional<absl::Status> out;
    const auto sleep = [&]() -> task<void> {
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
        g.tasks.spawn(sleep());
        loop.run_until_idle();
        CHECK(out == absl::CancelledError(""));
    }
    SECTION("timer first") {
        g.tasks.spawn(sleep());
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

task<void> receive(completion& c, std::optional<absl::Status>& out) { out = co_await c; }

TEST_CASE("completion: the waiter is posted, not run inside set") {
    virtual_loop loop;
    completion c{loop};
    std::optional<absl::Status> out;
    group g{loop};
    g.tasks.spawn(receive(c, out));
    c.set(absl::UnavailableError("gone"));
    CHECK_FALSE(out.has_value());
    loop.run_until_idle();
    CHECK(out == absl::UnavailableError("gone"));
}

TEST_CASE("completion: set before the await does not suspend") {
    virtual_loop loop;
    completion c{loop};
    std::optional<absl::Status> out;
    group g{loop};
    c.set(absl::OkStatus());
    g.tasks.spawn(receive(c, out));
    CHECK(out == absl::OkStatus());
}

TEST_CASE("completion: set races the await, and the waiter frees it", "[race]") {
    thread_loop loop;
    REQUIRE(loop.start().ok());
    int received = 0;
    for (int round = 0; round < 200; ++round) {
        auto c = std::make_unique<completion>(loop);
        std::jthread setter([raw = c.get()] { raw->set(absl::DataLossError("")); });
        const auto body = [](std::unique_ptr<completion> mine) -> task<bool> {
            const absl::Status status = co_await *mine;
            mine.reset();
            co_return status.code() == StatusCode::kDataLoss;
        };
        received += sync_wait(loop, body(std::move(c))) ? 1 : 0;
    }
    CHECK(received == 200);
}

TEST_CASE("latch: opens at zero") {
    virtual_loop loop;
    sluice::latch l{loop, 3};
    sluice::latch open{loop, 0};
    bool through = false;
    const auto pass = [&]() -> task<void> {
        co_await open;
        co_await l;
        through = true;
    };
    group g{loop};
    g.tasks.spawn(pass());
    l.count_down(2);
    loop.run_until_idle();
    CHECK_FALSE(through);
    l.count_down();
    CHECK_FALSE(through);
    loop.run_until_idle();
    CHECK(through);
}

TEST_CASE("latch: counted down by several threads", "[race]") {
    thread_loop loop;
    REQUIRE(loop.start().ok());
    int wrong = 0;
    for (int round = 0; round < 200; ++round) {
        auto l = std::make_unique<sluice::latch>(loop, 3);
        std::array<int, 3> parts{};
        std::vector<std::jthread> threads;
        for (int& part : parts) {
            threads.emplace_back([&part, raw = l.get()] {
                part = 1;
                raw->count_down();
            });
        }
        const auto body = [&]() -> task<int> {
            co_await *l;
            l.reset();
            co_return parts[0] + parts[1] + parts[2];
        };
        wrong += sync_wait(loop, body()) == 3 ? 0 : 1;
    }
    CHECK(wrong == 0);
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

struct echo : sluice::operation {
    int value = 0;
};

TEST_CASE("awaited: an operation completes on another thread, the coroutine goes on at home",
          "[race]") {
    thread_loop home{"home"};
    thread_loop worker{"worker"};
    REQUIRE(home.start().ok());
    REQUIRE(worker.start().ok());
    struct job : sluice::work {
        job()
            : work([](work& w) noexcept {
                  static_cast<job&>(w).op->complete(absl::AbortedError(""));
              }) {}
        echo* op = nullptr;
    };
    int right = 0;
    std::uint64_t allocations = 1;
    const auto body = [&]() -> task<void> {
        const allocation_counter count;
        for (int round = 0; round < 200; ++round) {
            sluice::awaited<echo> op;
            job j;
            const absl::Status status = co_await op.run(home, [&](echo& e) noexcept {
                j.op = &e;
                worker.post(j);
            });
            right += status.code() == StatusCode::kAborted && home.in_loop() ? 1 : 0;
        }
        allocations = count.allocations();
    };
    sync_wait(home, body());
    CHECK(right == 200);
    CHECK(allocations == 0);
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
