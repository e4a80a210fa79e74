// SPDX-License-Identifier: Apache-2.0
#include <sluice/coro/completion.hpp>

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/scope.hpp>
#include <sluice/coro/sync_wait.hpp>
#include <sluice/coro/task.hpp>
#include <sluice/coro/thread_loop.hpp>
#include <sluice/coro/virtual_loop.hpp>
#include <sluice/stage/await_operation.hpp>

#include "support/allocation_counter.hpp"

namespace {

using absl::StatusCode;
using sluice::completion;
using sluice::scope;
using sluice::sync_wait;
using sluice::task;
using sluice::thread_loop;
using sluice::virtual_loop;
using sluice::test::allocation_counter;

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

}  // namespace
