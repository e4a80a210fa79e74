// SPDX-License-Identifier: Apache-2.0
#include <sluice/coro/scope.hpp>

#include <chrono>
#include <memory>
#include <stdexcept>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/sleep.hpp>
#include <sluice/coro/switch_to.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/task.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/coro/virtual_loop.hpp>
#include <sluice/coro/when_all.hpp>

#include "support/allocation_counter.hpp"

namespace {

using namespace std::chrono_literals;
using sluice::scope;
using sluice::sync_wait;
using sluice::task;
using sluice::thread_loop;
using sluice::virtual_loop;
using sluice::test::allocation_counter;

task<void> sleeper(sluice::loop& l, sluice::duration d, int& finished) {
    static_cast<void>(co_await sluice::sleep_for(l, d));
    ++finished;
}

task<void> count(int& n) {
    ++n;
    co_return;
}

TEST_CASE("scope: spawn starts at once, join waits for all") {
    virtual_loop loop;
    int started = 0;
    int finished = 0;
    std::size_t open = 0;
    const auto body = [&]() -> task<void> {
        scope s{loop};
        s.spawn(count(started));
        for (int i = 1; i <= 10; ++i) {
            s.spawn(sleeper(loop, i * 1ms, finished));
        }
        open = s.size();
        co_await s.join();
        open += s.size();
    };
    sync_wait(loop, body());
    CHECK(started == 1);
    CHECK(open == 10);
    CHECK(finished == 10);
    CHECK(loop.now() == sluice::time_point{10ms});
}

TEST_CASE("scope: an empty one needs no join, a joined one may go on") {
    virtual_loop loop;
    int n = 0;
    const auto body = [&]() -> task<void> {
        const scope unused{loop};
        scope s{loop};
        co_await s.join();
        s.spawn(count(n));
        co_await s.join();
        s.spawn(sleeper(loop, 1ms, n));
        co_await s.join();
    };
    sync_wait(loop, body());
    CHECK(n == 2);
}

task<void> tree(scope& s, sluice::loop& l, int levels, int& leaves) {
    co_await sluice::yield_to(l);
    if (levels == 0) {
        ++leaves;
        co_return;
    }
    s.spawn(tree(s, l, levels - 1, leaves));
    s.spawn(tree(s, l, levels - 1, leaves));
}

TEST_CASE("scope: tasks may spawn into it while it is being joined") {
    virtual_loop loop;
    int leaves = 0;
    const auto body = [&]() -> task<void> {
        scope s{loop};
        s.spawn(tree(s, loop, 6, leaves));
        co_await s.join();
    };
    sync_wait(loop, body());
    CHECK(leaves == 64);
}

TEST_CASE("scope: frames and arguments are gone after the join") {
    virtual_loop loop;
    const auto shared = std::make_shared<int>(1);
    const auto holds = [](sluice::loop& l, std::shared_ptr<int> p) -> task<void> {
        static_cast<void>(co_await sluice::sleep_for(l, sluice::duration(*p)));
    };
    long during = 0;
    long after = 0;
    const auto body = [&]() -> task<void> {
        scope s{loop};
        s.spawn(holds(loop, shared));
        s.spawn(holds(loop, shared));
        during = shared.use_count();
        co_await s.join();
        after = shared.use_count();
    };
    sync_wait(loop, body());
    CHECK(during == 3);
    CHECK(after == 1);
}

TEST_CASE("scope: spawning and joining again allocates nothing") {
    virtual_loop loop;
    int n = 0;
    std::uint64_t allocations = 1;
    const auto body = [&]() -> task<void> {
        scope s{loop};
        s.spawn(sleeper(loop, 1ms, n));
        co_await s.join();
        const allocation_counter counter;
        for (int i = 0; i < 100; ++i) {
            s.spawn(sleeper(loop, 1ms, n));
            co_await s.join();
        }
        allocations = counter.allocations();
    };
    sync_wait(loop, body());
    CHECK(n == 101);
    CHECK(allocations == 0);
}

task<void> hop_and_count(sluice::loop& to, int& n) {
    co_await sluice::switch_to(to);
    ++n;
}

TEST_CASE("scope: tasks may finish on another thread, the joiner goes on at home", "[race]") {
    thread_loop home{"home"};
    thread_loop other{"other"};
    REQUIRE(home.start().ok());
    REQUIRE(other.start().ok());
    int finished = 0;  // touched on `other` only, read after the join
    int at_home = 0;
    int wrong = 0;
    const auto body = [&]() -> task<void> {
        for (int round = 0; round < 200; ++round) {
            scope s{home};
            for (int i = 0; i < 4; ++i) {
                s.spawn(hop_and_count(other, finished));
            }
            co_await s.join();
            wrong += finished == (round + 1) * 4 ? 0 : 1;
            at_home += home.in_loop() ? 1 : 0;
        }
    };
    sync_wait(home, body());
    CHECK(wrong == 0);
    CHECK(at_home == 200);
}

task<int> later(sluice::loop& l, sluice::duration d, int value) {
    static_cast<void>(co_await sluice::sleep_for(l, d));
    co_return value;
}

TEST_CASE("when_all: runs concurrently, yields the results in order") {
    virtual_loop loop;
    int n = 0;
    const auto body = [&]() -> task<std::tuple<int, sluice::unit, std::string>> {
        const auto word = []() -> task<std::string> { co_return "now"; };
        co_return co_await sluice::when_all(later(loop, 3ms, 7), count(n), word());
    };
    CHECK(sync_wait(loop, body()) == std::tuple{7, sluice::unit{}, std::string{"now"}});
    CHECK(n == 1);
    CHECK(loop.now() == sluice::time_point{3ms});
}

TEST_CASE("when_all: any number of tasks of one kind") {
    virtual_loop loop;
    int n = 0;
    const auto body = [&]() -> task<std::vector<int>> {
        std::vector<task<void>> none;
        co_await sluice::when_all(std::move(none));
        std::vector<task<void>> counts;
        std::vector<task<int>> values;
        for (int i = 0; i < 5; ++i) {
            counts.push_back(count(n));
            values.push_back(later(loop, (5 - i) * 1ms, i));
        }
        co_await sluice::when_all(std::move(counts));
        co_return co_await sluice::when_all(std::move(values));
    };
    CHECK(sync_wait(loop, body()) == std::vector{0, 1, 2, 3, 4});
    CHECK(n == 5);
    CHECK(loop.now() == sluice::time_point{5ms});
}

TEST_CASE("when_all: every task runs to its end before an exception goes on") {
    virtual_loop loop;
    int finished = 0;
    const auto fails = [](const char* what) -> task<void> {
        throw std::runtime_error(what);
        co_return;
    };
    const auto body = [&]() -> task<std::string> {
        try {
            co_await sluice::when_all(sleeper(loop, 1ms, finished), fails("first"),
                                      fails("second"));
        } catch (const std::runtime_error& e) {
            co_return e.what();
        }
        co_return "nothing";
    };
    CHECK(sync_wait(loop, body()) == "first");
    CHECK(finished == 1);
}

TEST_CASE("when_all: tasks on two threads", "[race]") {
    thread_loop a{"a"};
    thread_loop b{"b"};
    REQUIRE(a.start().ok());
    REQUIRE(b.start().ok());
    const auto on = [](sluice::loop& l, int value) -> task<int> {
        co_await sluice::switch_to(l);
        co_return value;
    };
    const auto body = [&]() -> task<int> {
        int total = 0;
        for (int round = 0; round < 200; ++round) {
            const auto [x, y] = co_await sluice::when_all(on(a, 1), on(b, 2));
            total += x + y;
        }
        co_return total;
    };
    CHECK(sync_wait(body()) == 600);
}

TEST_CASE("sync_wait: on this thread, on a loop, on virtual time") {
    const auto where = [](sluice::loop& l) -> task<bool> { co_return l.in_loop(); };
    thread_loop loop;
    REQUIRE(loop.start().ok());
    CHECK_FALSE(sync_wait(where(loop)));
    CHECK(sync_wait(loop, where(loop)));
    virtual_loop simulated;
    CHECK(sync_wait(simulated, where(simulated)));
    const auto fails = []() -> task<int> {
        throw std::runtime_error("user code");
        co_return 1;
    };
    CHECK_THROWS_AS(sync_wait(loop, fails()), std::runtime_error);
}

}  // namespace
