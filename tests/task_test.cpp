// SPDX-License-Identifier: Apache-2.0
#include <sluice/coro/task.hpp>

#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/frame_cache.hpp>
#include <sluice/coro/sync_wait.hpp>

#include "support/allocation_counter.hpp"

namespace {

using sluice::sync_wait;
using sluice::task;
using sluice::test::allocation_counter;

static_assert(!std::is_copy_constructible_v<task<int>>);
static_assert(std::is_nothrow_move_constructible_v<task<int>>);

// Counts the objects alive, so that a double or a missing destruction shows.
struct counted {
    explicit counted(int& n) noexcept : alive(&n) { ++*alive; }
    counted(const counted& other) noexcept : alive(other.alive) { ++*alive; }
    counted(counted&& other) noexcept : alive(other.alive) { ++*alive; }
    counted& operator=(const counted&) = delete;
    ~counted() { --*alive; }
    int* alive;
};

task<int> number(int n) { co_return n; }

task<void> mark(bool& ran) {
    ran = true;
    co_return;
}

task<int> sum(int n) {
    int total = 0;
    for (int i = 0; i < n; ++i) {
        total += co_await number(1);
    }
    co_return total;
}

TEST_CASE("task: calling runs nothing, awaiting runs it once") {
    bool ran = false;
    { auto never_awaited = mark(ran); }
    CHECK_FALSE(ran);
    sync_wait(mark(ran));
    CHECK(ran);
}

TEST_CASE("task: results of every kind") {
    CHECK(sync_wait(number(7)) == 7);

    const auto move_only = []() -> task<std::unique_ptr<int>> {
        co_return std::make_unique<int>(3);
    };
    CHECK(*sync_wait(move_only()) == 3);

    std::string word = "here";
    const auto reference = [](std::string& s) -> task<std::string&> { co_return s; };
    CHECK(&sync_wait(reference(word)) == &word);

    const auto converted = []() -> task<std::string> { co_return "text"; };
    CHECK(sync_wait(converted()) == "text");

    const auto braced = []() -> task<std::pair<int, int>> { co_return {1, 2}; };
    CHECK(sync_wait(braced()) == std::pair{1, 2});
}

TEST_CASE("task: arguments, locals and results are destroyed once") {
    int alive = 0;
    const auto pass = [](counted c) -> task<counted> {
        counted local = c;
        co_return local;
    };
    const auto outer = [&pass](int& n) -> task<int> {
        counted mine{n};
        counted got = co_await pass(counted(n));
        co_return *got.alive;
    };
    {
        auto never_awaited = pass(counted{alive});
        CHECK(alive == 1);
    }
    CHECK(alive == 0);
    CHECK(sync_wait(outer(alive)) >= 2);
    CHECK(alive == 0);
}

TEST_CASE("task: a moved task keeps its coroutine") {
    task<int> first = number(1);
    task<int> second = std::move(first);
    first = number(5);
    CHECK(sync_wait(std::move(second)) == 1);
    CHECK(sync_wait(std::move(first)) == 5);
}

TEST_CASE("task: an exception is carried to whoever awaits") {
    const auto fails = [](bool now) -> task<int> {
        if (now) {
            throw std::runtime_error("user code");
        }
        co_return 1;
    };
    const auto passes_on = [&fails]() -> task<int> { co_return co_await fails(true); };
    const auto handles = [&fails]() -> task<std::string> {
        try {
            co_await fails(true);
        } catch (const std::runtime_error& e) {
            co_return e.what();
        }
        co_return "nothing";
    };
    CHECK_THROWS_AS(sync_wait(passes_on()), std::runtime_error);
    CHECK(sync_wait(handles()) == "user code");
    CHECK(sync_wait(fails(false)) == 1);
}

TEST_CASE("task: a million awaits that complete at once need no stack") {
    CHECK(sync_wait(sum(1'000'000)) == 1'000'000);
}

// Not `co_return n == 0 ? 0 : 1 + co_await ...`: GCC 12 would await in any case.
task<int> depth(int n) {
    if (n == 0) {
        co_return 0;
    }
    const int below = co_await depth(n - 1);
    co_return below + 1;
}

TEST_CASE("task: a deep chain of awaits needs no stack") {
    CHECK(sync_wait(depth(100'000)) == 100'000);
}

TEST_CASE("task: frames are used again") {
    sync_wait(sum(10));
    const allocation_counter count;
    CHECK(sync_wait(sum(1000)) == 1000);
    CHECK(count.allocations() == 0);
}

TEST_CASE("frame cache: is bounded, and frames may end on another thread") {
    using sluice::detail::frame_cache;
    for (const std::size_t size : {1U, 128U, 129U, 2048U, 2049U, 100'000U}) {
        std::vector<void*> frames;
        for (int i = 0; i < 300; ++i) {
            frames.push_back(frame_cache::allocate(size));
        }
        std::thread([&frames, size] {
            for (void* frame : frames) {
                frame_cache::deallocate(frame, size);
            }
            // What it kept serves it again, and is freed when it ends.
            frame_cache::deallocate(frame_cache::allocate(size), size);
        }).join();
    }
    if (allocation_counter::counts()) {
        std::vector<void*> frames;
        for (int i = 0; i < 200; ++i) {
            frames.push_back(frame_cache::allocate(128));
        }
        for (void* frame : frames) {
            frame_cache::deallocate(frame, 128);
        }
        const allocation_counter count;
        for (void*& frame : frames) {
            frame = frame_cache::allocate(100);
        }
        CHECK(count.allocations() == 200 - 128);  // 16 KiB are kept
        for (void* frame : frames) {
            frame_cache::deallocate(frame, 100);
        }
    }
}

}  // namespace
