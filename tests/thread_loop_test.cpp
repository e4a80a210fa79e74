// SPDX-License-Identifier: Apache-2.0
#include <sluice/coro/thread_loop.hpp>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <semaphore>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/sleep.hpp>
#include <sluice/coro/switch_to.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/task.hpp>

#include "support/allocation_counter.hpp"

namespace {

using namespace std::chrono_literals;
using sluice::thread_loop;
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

// Runs `f` on the loop and waits for it.
void on(sluice::loop& l, const std::function<void()>& f) {
    const auto body = [](const std::function<void()>& g) -> sluice::task<void> {
        g();
        co_return;
    };
    sluice::sync_wait(l, body(f));
}

TEST_CASE("thread_loop: runs posted work on a named thread of its own, in order") {
    thread_loop loop{"a name that is too long"};
    std::vector<int> order;
    std::string name;
    bool inside = false;
    std::thread::id id;
    call first{[&] { order.push_back(1); }};
    call second{[&] { order.push_back(2); }};
    loop.post(first);  // before it runs
    REQUIRE(loop.start().ok());
    loop.post(second);
    on(loop, [&] {
        std::array<char, 16> buffer{};
        ::pthread_getname_np(::pthread_self(), buffer.data(), buffer.size());
        name = buffer.data();
        inside = loop.in_loop();
        id = std::this_thread::get_id();
    });
    CHECK(order == std::vector{1, 2});
    CHECK(name == "a name that is ");
    CHECK(inside);
    CHECK_FALSE(loop.in_loop());
    CHECK(id != std::this_thread::get_id());
    CHECK(loop.start().code() == absl::StatusCode::kFailedPrecondition);
    CHECK(loop.run().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("thread_loop: its thread takes no signals from the application") {
    thread_loop loop;
    REQUIRE(loop.start().ok());
    bool blocks_term = false;
    bool blocks_fault = true;
    on(loop, [&] {
        sigset_t mask;
        ::pthread_sigmask(SIG_SETMASK, nullptr, &mask);
        blocks_term = ::sigismember(&mask, SIGTERM) == 1;
        blocks_fault = ::sigismember(&mask, SIGSEGV) == 1;
    });
    CHECK(blocks_term);
    CHECK_FALSE(blocks_fault);
}

TEST_CASE("thread_loop: run uses the calling thread until stop") {
    thread_loop loop;
    bool inside = false;
    call work{[&] {
        inside = loop.in_loop();
        loop.stop();
    }};
    loop.post(work);
    CHECK(loop.run().ok());
    CHECK(inside);
    CHECK_FALSE(loop.in_loop());
}

TEST_CASE("thread_loop: run_until uses the threads of those who wait") {
    thread_loop l;
    std::atomic<bool> done{false};
    std::thread::id ran_on;
    call c([&] {
        ran_on = std::this_thread::get_id();
        done.store(true);
    });
    l.post(c);
    REQUIRE(l.run_until(done).ok());
    CHECK(ran_on == std::this_thread::get_id());
    CHECK_FALSE(l.in_loop());

    // Again, and with a timer to wait for.
    std::atomic<bool> fired{false};
    struct flag_timer : sluice::timer {
        explicit flag_timer(std::atomic<bool>& f)
            : timer([](timer& t) noexcept { static_cast<flag_timer&>(t).flag->store(true); }),
              flag(&f) {}
        std::atomic<bool>* flag;
    } t(fired);
    call arm([&] { l.arm(t, l.now() + 1ms); });
    l.post(arm);
    REQUIRE(l.run_until(fired).ok());
    CHECK(l.start().code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("thread_loop: several wait in run_until, and each goes on when its own is done",
          "[race]") {
    thread_loop l;
    constexpr int waiters = 4;
    constexpr int rounds = 500;
    std::atomic<int> refused{0};  // Catch2 wants its assertions on one thread
    std::vector<std::thread> threads;
    for (int w = 0; w < waiters; ++w) {
        threads.emplace_back([&] {
            for (int i = 0; i < rounds; ++i) {
                std::atomic<bool> done{false};
                call c([&] { done.store(true, std::memory_order_release); });
                l.post(c);
                if (!l.run_until(done).ok()) {
                    refused.fetch_add(1);
                }
            }
        });
    }
    for (std::thread& t : threads) {
        t.join();
    }
    CHECK(refused == 0);
}

TEST_CASE("thread_loop: drive runs a task and its loop on the calling thread") {
    thread_loop l;
    const auto body = [](thread_loop& on) -> sluice::task<int> {
        const absl::Status slept = co_await sluice::sleep_for(on, 1ms);
        co_return slept.ok() && on.in_loop() ? 7 : 0;
    };
    CHECK(sluice::drive(l, body(l)) == 7);
    CHECK(sluice::drive(l, body(l)) == 7);
}

TEST_CASE("thread_loop: run_until refuses a loop that has a thread") {
    thread_loop l;
    REQUIRE(l.start().ok());
    const std::atomic<bool> never{false};
    CHECK(l.run_until(never).code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("thread_loop: the destructor runs what is posted, and what that posts") {
    int ran = 0;
    std::optional<thread_loop> loop{std::in_place};
    call again{[&] {
        if (++ran < 100) {
            loop->post(again);
        }
    }};

    SECTION("on its thread") {
        REQUIRE(loop->start().ok());
        loop->post(again);
        loop.reset();
    }
    SECTION("on this thread, if it never had one") {
        loop->post(again);
        loop.reset();
    }
    SECTION("on this thread, if its own has ended") {
        REQUIRE(loop->start().ok());
        loop->stop();
        loop->join();
        loop->post(again);
        loop.reset();
    }
    CHECK(ran == 100);
}

TEST_CASE("thread_loop: timers run at or after their instant, in order") {
    thread_loop loop;
    const auto start = loop.now();
    std::binary_semaphore done{0};
    std::vector<int> order;
    bool early = false;
    alarm last{[&] {
        order.push_back(4);
        early |= loop.now() < start + 2ms;
        done.release();
    }};
    alarm b{[&] { order.push_back(2); }};
    alarm c{[&] { order.push_back(3); }};
    alarm dropped{[&] { order.push_back(-1); }};
    alarm a{[&] {
        order.push_back(1);
        early |= loop.now() < start + 1ms;
        loop.disarm(dropped);
    }};
    loop.arm(last, start + 2ms);
    loop.arm(a, start + 1ms);
    loop.arm(b, start + 1ms);
    loop.arm(dropped, start + 1ms);
    loop.arm(c, start + 1ms);
    REQUIRE(loop.start().ok());
    done.acquire();
    CHECK(order == std::vector{1, 2, 3, 4});
    CHECK_FALSE(early);
}

TEST_CASE("thread_loop: a timer that is always due starves nobody") {
    thread_loop loop;
    std::binary_semaphore done{0};
    const int fd = ::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    int got = 0;
    const auto one_of_three = [&] {
        if (++got == 3) {
            done.release();
        }
    };
    alarm greedy{[&] { loop.arm(greedy, sluice::time_point::min()); }};
    alarm other{one_of_three};
    call work{one_of_three};
    watcher watch{fd, [&] {
                      loop.unwatch(watch);
                      one_of_three();
                  }};
    loop.arm(greedy, sluice::time_point::min());
    loop.arm(other, loop.now());
    loop.post(work);
    REQUIRE(loop.watch(watch).ok());
    REQUIRE(loop.start().ok());
    done.acquire();
    CHECK(got == 3);
    loop.stop();
    loop.join();
    ::close(fd);
}

TEST_CASE("thread_loop: work that always posts itself starves nobody") {
    thread_loop loop;
    std::binary_semaphore done{0};
    const int fd = ::eventfd(1, EFD_CLOEXEC | EFD_NONBLOCK);
    int got = 0;
    bool enough = false;
    const auto one_of_three = [&] {
        if (++got == 3) {
            enough = true;
            done.release();
        }
    };
    call greedy{[&] {
        if (!enough) {
            loop.post(greedy);
        }
    }};
    alarm other{one_of_three};
    call foreign{one_of_three};
    watcher watch{fd, [&] {
                      loop.unwatch(watch);
                      one_of_three();
                  }};
    loop.post(greedy);
    loop.arm(other, loop.now() + 1us);
    REQUIRE(loop.watch(watch).ok());
    REQUIRE(loop.start().ok());
    loop.post(foreign);
    done.acquire();
    CHECK(got == 3);
    loop.stop();
    loop.join();
    ::close(fd);
}

TEST_CASE("thread_loop: watched descriptors wake it, level-triggered") {
    thread_loop loop;
    REQUIRE(loop.start().ok());
    const int fd = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | EFD_SEMAPHORE);
    std::binary_semaphore done{0};
    int reads = 0;
    watcher watch{fd, [&] {
                      std::uint64_t value = 0;
                      if (::read(fd, &value, sizeof value) > 0 && ++reads == 3) {
                          done.release();
                      }
                  }};
    absl::Status first;
    absl::Status twice;
    absl::Status bad;
    on(loop, [&] {
        first = loop.watch(watch);
        twice = loop.watch(watch);
        watcher no_fd{-1, [] {}};
        bad = loop.watch(no_fd);
    });
    CHECK(first.ok());
    CHECK(twice.code() == absl::StatusCode::kInvalidArgument);
    CHECK(bad.code() == absl::StatusCode::kInvalidArgument);
    const std::uint64_t three = 3;
    CHECK(::write(fd, &three, sizeof three) == sizeof three);
    done.acquire();
    CHECK(reads == 3);
    on(loop, [&] { loop.unwatch(watch); });
    ::close(fd);
}

TEST_CASE("thread_loop: a watch may unwatch and destroy another that is ready too") {
    thread_loop loop;
    const int a = ::eventfd(1, EFD_CLOEXEC);
    const int b = ::eventfd(1, EFD_CLOEXEC);
    std::binary_semaphore done{0};
    int runs = 0;
    std::unique_ptr<watcher> first;
    std::unique_ptr<watcher> second;
    // Whichever runs first ends the other.
    const auto end = [&](std::unique_ptr<watcher>& self, std::unique_ptr<watcher>& other) {
        ++runs;
        loop.unwatch(*other);
        other.reset();
        loop.unwatch(*self);
        done.release();
    };
    first = std::make_unique<watcher>(a, [&] { end(first, second); });
    second = std::make_unique<watcher>(b, [&] { end(second, first); });
    REQUIRE(loop.watch(*first).ok());
    REQUIRE(loop.watch(*second).ok());
    REQUIRE(loop.start().ok());
    done.acquire();
    loop.stop();
    loop.join();
    CHECK(runs == 1);
    ::close(a);
    ::close(b);
}

TEST_CASE("thread_loop: several threads post, each in its order", "[race]") {
    constexpr int threads = 3;
    constexpr int each = 5000;
    for (const sluice::duration spin : {0us, 20us}) {
        thread_loop loop{"posts", spin};
        REQUIRE(loop.start().ok());
        struct numbered : sluice::work {
            numbered() noexcept
                : work([](work& w) noexcept {
                      auto& self = static_cast<numbered&>(w);
                      *self.in_order &= *self.last + 1 == self.number;
                      *self.last = self.number;
                  }) {}
            int number = 0;
            int* last = nullptr;
            bool* in_order = nullptr;
        };
        std::array<int, threads> last{};
        bool in_order = true;
        std::vector<std::vector<numbered>> items;
        for (int t = 0; t < threads; ++t) {
            auto& mine = items.emplace_back(each);
            for (int i = 0; i < each; ++i) {
                auto& item = mine[static_cast<std::size_t>(i)];
                item.number = i + 1;
                item.last = &last[static_cast<std::size_t>(t)];
                item.in_order = &in_order;
            }
        }
        const allocation_counter count;
        {
            std::vector<std::jthread> posters;
            for (auto& mine : items) {
                posters.emplace_back([&loop, &mine] {
                    for (numbered& item : mine) {
                        loop.post(item);
                    }
                });
            }
        }
        loop.stop();
        loop.join();
        CHECK(count.allocations() <= 10);  // the threads themselves
        CHECK(in_order);
        CHECK(last == std::array{each, each, each});
    }
}

TEST_CASE("thread_loop: may be destroyed while the last poster is still in post", "[race]") {
    for (int round = 0; round < 200; ++round) {
        std::atomic<bool> ran{false};
        call work{[&] { ran.store(true); }};
        std::optional<thread_loop> loop{std::in_place};
        REQUIRE(loop->start().ok());
        std::jthread poster([&work, l = &*loop] { l->post(work); });
        while (!ran.load()) {
            std::this_thread::yield();
        }
        loop.reset();
    }
}

sluice::task<int> ping_pong(sluice::loop& a, sluice::loop& b, int rounds) {
    int wrong = 0;
    for (int i = 0; i < rounds; ++i) {
        co_await sluice::switch_to(a);
        wrong += a.in_loop() ? 0 : 1;
        co_await sluice::switch_to(b);
        wrong += b.in_loop() ? 0 : 1;
        co_await sluice::switch_to(b);
        wrong += b.in_loop() ? 0 : 1;
    }
    co_return wrong;
}

TEST_CASE("thread_loop: hops between loops allocate nothing", "[race]") {
    thread_loop a{"a"};
    thread_loop b{"b"};
    REQUIRE(a.start().ok());
    REQUIRE(b.start().ok());
    CHECK(sluice::sync_wait(ping_pong(a, b, 10)) == 0);
    const allocation_counter count;
    CHECK(sluice::sync_wait(ping_pong(a, b, 1000)) == 0);
    CHECK(count.allocations() <= 1);  // the frame, which b may have freed before
}

}  // namespace
