// SPDX-License-Identifier: Apache-2.0
#include <sluice/stage/compute_thread.hpp>

#include <latch>
#include <memory>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/thread_loop.hpp>

#include "support/tracked.hpp"

using namespace sluice;
using test::tracked;

TEST_CASE("compute_thread: runs jobs in order on its own thread", "[stage]") {
    thread_loop home;
    REQUIRE(home.start().ok());
    constexpr std::size_t count = 100;
    std::latch all(count);
    std::vector<const operation*> order;
    std::vector<std::uint64_t> ran;  // of the compute thread
    std::thread::id ran_on;
    compute_thread model([&](const compute_job& job) -> absl::Status {
        ran.push_back(job.query_tokens);
        ran_on = std::this_thread::get_id();
        return job.query_tokens % 10 == 3 ? absl::InternalError("") : absl::OkStatus();
    });

    std::vector<std::unique_ptr<tracked<compute_job>>> jobs;
    for (std::size_t i = 0; i < count; ++i) {
        jobs.push_back(std::make_unique<tracked<compute_job>>(home, &order, &all));
        jobs.back()->query_tokens = i;
        model.start(*jobs.back());
    }
    all.wait();

    REQUIRE(ran.size() == count);
    CHECK(ran_on != std::this_thread::get_id());
    for (std::size_t i = 0; i < count; ++i) {
        CHECK(ran[i] == i);
        CHECK(order[i] == jobs[i].get());
        CHECK(jobs[i]->times == 1);
        CHECK(jobs[i]->status().ok() == (i % 10 != 3));
    }
    CHECK(model.stats().jobs == count);
    CHECK(model.stats().failed == 10);
    CHECK(model.stats().busy_seconds >= 0);
}

TEST_CASE("compute_thread: what waits at its end is cancelled, what runs ends", "[stage]") {
    thread_loop home;
    REQUIRE(home.start().ok());
    std::latch begun(1);
    std::latch cancelled(2);
    std::latch ended(1);
    tracked<compute_job> running(home, nullptr, &ended);
    tracked<compute_job> waiting(home, nullptr, &cancelled);
    tracked<compute_job> last(home, nullptr, &cancelled);
    int runs = 0;
    {
        compute_thread model([&](const compute_job&) {
            ++runs;
            begun.count_down();
            cancelled.wait();  // so the others are answered while this one still runs
            return absl::OkStatus();
        });
        model.start(running);
        begun.wait();
        model.start(waiting);
        model.start(last);
    }
    ended.wait();
    CHECK(runs == 1);
    CHECK(running.status().ok());
    CHECK(waiting.code() == absl::StatusCode::kCancelled);
    CHECK(last.code() == absl::StatusCode::kCancelled);
}

TEST_CASE("compute_thread: without a function jobs fail", "[stage]") {
    thread_loop home;
    REQUIRE(home.start().ok());
    std::latch all(1);
    compute_thread model{compute_thread::function{}};
    tracked<compute_job> job(home, nullptr, &all);
    model.start(job);
    all.wait();
    CHECK(job.code() == absl::StatusCode::kFailedPrecondition);
}

TEST_CASE("compute_thread: ends unused", "[stage]") {
    for (int i = 0; i < 50; ++i) {
        compute_thread model([](const compute_job&) { return absl::OkStatus(); });
    }
}

TEST_CASE("compute_thread: started from many threads", "[stage][race]") {
    thread_loop home;
    REQUIRE(home.start().ok());
    constexpr int threads = 4;
    constexpr int each = 50;
    std::latch all(threads * each);
    std::vector<std::unique_ptr<tracked<compute_job>>> jobs;
    for (int i = 0; i < threads * each; ++i) {
        jobs.push_back(std::make_unique<tracked<compute_job>>(home, nullptr, &all));
    }
    std::uint64_t runs = 0;
    compute_thread model([&](const compute_job&) {
        ++runs;
        return absl::OkStatus();
    });
    std::vector<std::thread> starters;
    for (int t = 0; t < threads; ++t) {
        starters.emplace_back([&, t] {
            for (int i = 0; i < each; ++i) {
                model.start(*jobs[static_cast<std::size_t>(t * each + i)]);
            }
        });
    }
    for (std::thread& s : starters) {
        s.join();
    }
    all.wait();
    CHECK(runs == threads * each);
}
