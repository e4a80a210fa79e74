// SPDX-License-Identifier: Apache-2.0
#include <sluice/coro/virtual_loop.hpp>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <random>
#include <thread>
#include <utility>
#include <vector>

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include "support/allocation_counter.hpp"

namespace {

using namespace std::chrono_literals;
using sluice::time_point;
using sluice::virtual_loop;
using sluice::test::allocation_counter;

struct call : sluice::work {
    explicit call(std::function<void()> f)
        : work([](work& w) noexcept { static_cast<call&>(w).body(); }), body(std::move(f)) {}
    std::function<void()> body;
};

struct alarm : sluice::timer {
    explicit alarm(std::function<void()> f)
        : timer([](timer& t) noexcept { static_cast<alarm&>(t).body(); }), body(std::move(f)) {}
    std::function<void()> body;
};

struct watcher : sluice::fd_watch {
    watcher(int fd, std::function<void()> f)
        : fd_watch(fd, EPOLLIN,
                   [](fd_watch& w, std::uint32_t) noexcept { static_cast<watcher&>(w).body(); }),
          body(std::move(f)) {}
    std::function<void()> body;
};

constexpr time_point at(sluice::duration d) { return time_point{d}; }

TEST_CASE("virtual_loop: posted work runs in order, and nothing before it is run") {
    virtual_loop loop;
    std::vector<int> order;
    call third{[&] { order.push_back(3); }};
    call first{[&] {
        order.push_back(1);
        loop.post(third);
    }};
    call second{[&] { order.push_back(2); }};
    loop.post(first);
    loop.post(second);
    CHECK(order.empty());
    CHECK(loop.run_until_idle() == 3);
    CHECK(order == std::vector{1, 2, 3});
    CHECK(loop.now() == at(0s));
    CHECK_FALSE(loop.run_one());
}

TEST_CASE("virtual_loop: time jumps from timer to timer") {
    virtual_loop loop;
    std::vector<time_point> seen;
    alarm late{[&] { seen.push_back(loop.now()); }};
    alarm early{[&] { seen.push_back(loop.now()); }};
    alarm past{[&] { seen.push_back(loop.now()); }};
    alarm no_time{[&] { seen.push_back(loop.now()); }};
    loop.arm(late, at(3h));
    loop.arm(early, at(1ns));
    loop.arm(past, at(-5s));
    loop.arm(no_time, sluice::never);
    CHECK(late.due() == at(3h));
    CHECK(loop.run_until_idle() == 3);
    CHECK(seen == std::vector{at(0s), at(1ns), at(3h)});
    CHECK_FALSE(early.armed());
    CHECK(no_time.armed());
    loop.disarm(no_time);
    loop.disarm(no_time);
    CHECK_FALSE(no_time.armed());
}

TEST_CASE("virtual_loop: run_until stops in time, and advance moves it") {
    virtual_loop loop{at(1s)};
    int fired = 0;
    alarm periodic{[&] {
        ++fired;
        loop.arm(periodic, loop.now() + 10ms);
    }};
    loop.arm(periodic, loop.now());
    CHECK(loop.run_until(at(1050ms)) == 6);
    CHECK(loop.now() == at(1050ms));
    CHECK(loop.advance(9ms) == 0);
    CHECK(loop.now() == at(1059ms));
    CHECK(loop.run_one());
    CHECK(loop.now() == at(1060ms));
    CHECK(loop.run_until(at(0s)) == 0);
    CHECK(loop.now() == at(1060ms));
    CHECK(fired == 7);
    loop.disarm(periodic);
}

TEST_CASE("virtual_loop: work goes before time, timers of one instant in order of arming") {
    virtual_loop loop;
    std::vector<int> order;
    call work{[&] { order.push_back(10); }};
    alarm b{[&] { order.push_back(2); }};
    alarm c{[&] { order.push_back(3); }};
    alarm a{[&] {
        order.push_back(1);
        loop.post(work);
        loop.arm(c, loop.now());  // re-armed: now after b
    }};
    loop.arm(a, at(1s));
    loop.arm(c, at(1s));
    loop.arm(b, at(1s));
    loop.run_until_idle();
    CHECK(order == std::vector{1, 10, 2, 3});
    CHECK(loop.now() == at(1s));
}

TEST_CASE("virtual_loop: many timers, armed, moved and disarmed at random, fire in order") {
    std::mt19937_64 random{7};
    virtual_loop loop;
    std::vector<std::pair<time_point, int>> fired;
    std::vector<std::unique_ptr<alarm>> alarms;
    std::vector<std::pair<time_point, std::uint64_t>> expected(500);
    std::uint64_t order = 0;
    for (int i = 0; i < 500; ++i) {
        alarms.push_back(std::make_unique<alarm>([&, i] { fired.emplace_back(loop.now(), i); }));
    }
    for (int step = 0; step < 5000; ++step) {
        const std::size_t i = random() % alarms.size();
        if (random() % 4 == 0) {
            loop.disarm(*alarms[i]);
        } else {
            const auto when = at(sluice::duration{static_cast<std::int64_t>(random() % 100)});
            loop.arm(*alarms[i], when);
            expected[i] = {when, order++};
        }
    }
    std::size_t armed = 0;
    for (const auto& a : alarms) {
        armed += a->armed() ? 1 : 0;
    }
    CHECK(loop.run_until_idle() == armed);
    REQUIRE(fired.size() == armed);
    bool in_order = true;
    for (std::size_t k = 0; k < fired.size(); ++k) {
        const auto& want = expected[static_cast<std::size_t>(fired[k].second)];
        in_order &= fired[k].first == want.first;
        if (k > 0) {
            in_order &= expected[static_cast<std::size_t>(fired[k - 1].second)] < want;
        }
    }
    CHECK(in_order);
}

TEST_CASE("virtual_loop: descriptors are looked at before time moves") {
    virtual_loop loop;
    const int fd = ::eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    REQUIRE(fd >= 0);
    std::vector<time_point> seen;
    watcher watch{fd, [&] {
                      std::uint64_t value = 0;
                      if (::read(fd, &value, sizeof value) > 0) {
                          seen.push_back(loop.now());
                      }
                  }};
    REQUIRE(loop.watch(watch).ok());
    CHECK(loop.watch(watch).code() == absl::StatusCode::kInvalidArgument);
    watcher bad{-1, [] {}};
    CHECK(loop.watch(bad).code() == absl::StatusCode::kInvalidArgument);

    const std::uint64_t one = 1;
    alarm writer{[&] { CHECK(::write(fd, &one, sizeof one) == sizeof one); }};
    alarm later{[] {}};
    loop.arm(writer, at(1s));
    loop.arm(later, at(2s));
    loop.run_until_idle();
    CHECK(seen == std::vector{at(1s)});

    loop.unwatch(watch);
    CHECK(::write(fd, &one, sizeof one) == sizeof one);
    CHECK(loop.run_until_idle() == 0);
    ::close(fd);
}

TEST_CASE("virtual_loop: a watch may unwatch itself and others while it runs") {
    virtual_loop loop;
    const int a = ::eventfd(1, EFD_CLOEXEC);
    const int b = ::eventfd(1, EFD_CLOEXEC);
    int runs = 0;
    std::unique_ptr<watcher> second;
    watcher first{a, [&] {
                      ++runs;
                      loop.unwatch(*second);
                      second.reset();
                      loop.unwatch(first);
                  }};
    second = std::make_unique<watcher>(b, [&] { runs += 100; });
    REQUIRE(loop.watch(first).ok());
    REQUIRE(loop.watch(*second).ok());
    loop.run_until_idle();
    CHECK(runs == 1);
    ::close(a);
    ::close(b);
}

TEST_CASE("virtual_loop: foreign threads post in their order") {
    virtual_loop loop;
    std::vector<int> order;
    call first{[&] { order.push_back(1); }};
    call second{[&] { order.push_back(2); }};
    bool foreign_in_loop = true;
    CHECK(loop.in_loop());
    std::thread([&] {
        foreign_in_loop = loop.in_loop();
        loop.post(first);
        loop.post(second);
    }).join();
    CHECK_FALSE(foreign_in_loop);
    CHECK(loop.run_until_idle() == 2);
    CHECK(order == std::vector{1, 2});

    // Whoever runs it is its thread from then on.
    std::thread([&] {
        loop.run_until_idle();
        foreign_in_loop = loop.in_loop();
    }).join();
    CHECK(foreign_in_loop);
    CHECK_FALSE(loop.in_loop());
}

TEST_CASE("virtual_loop: posting and arming again allocate nothing") {
    virtual_loop loop;
    int left = 1000;
    alarm tick{[&] {}};
    call again{[&] {
        if (--left > 0) {
            loop.arm(tick, loop.now() + 1us);
            loop.post(again);
        }
    }};
    loop.arm(tick, at(1s));
    loop.post(again);
    const allocation_counter count;
    loop.run_until_idle();
    CHECK(count.allocations() == 0);
    CHECK(left == 0);
}

}  // namespace
