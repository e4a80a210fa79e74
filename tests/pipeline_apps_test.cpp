// SPDX-License-Identifier: Apache-2.0
// Applications and their requests in a pipeline: ranks are worked out once and reach all of them.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/demand/app_tracker.hpp>
#include <sluice/sched/policy_registry.hpp>

#include "support/rig.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using demand::app_tracker;
using test::rig;

/// A pipeline of one compute at a time, and applications by the seconds that are left.
struct apps_rig : rig {
    explicit apps_rig(const char* policy, const shape& s = {.slots = 256, .l2_blocks = 256})
        : rig(s) {
        auto o = options();
        o.applications = &tracker;
        o.policy = *make_policy(policy);
        open(std::move(o));
    }

    app_handle begin(double seconds, time_point deadline = never) {
        demand::app_spec spec;
        spec.application = "any";
        spec.known_service_s = spec.known_path_s = seconds;
        spec.deadline = deadline;
        return *tracker.begin(spec);
    }
    request_handle submit_of(app_handle a, std::uint64_t tokens = 100) {
        request_spec spec;
        spec.prompt_tokens = tokens;
        spec.application = a;
        return *pipe->submit(spec);
    }
    /// Something that computes while others are submitted.
    request_handle busy() {
        const request_handle h = submit_of({}, 160);
        loop.advance(1us);
        REQUIRE(model->order.back() == h);
        return h;
    }

    app_tracker tracker;
};

TEST_CASE("applications: requests go in the order of their applications") {
    apps_rig r("oracle");
    const app_handle slow = r.begin(100);
    const app_handle fast = r.begin(1);
    const request_handle first = r.busy();
    const request_handle of_slow = r.submit_of(slow);
    const request_handle of_fast = r.submit_of(fast);
    r.run();
    CHECK(r.model->order == std::vector{first, of_fast, of_slow});
    r.close();
}

TEST_CASE("applications: what an application receives moves all its requests, and no others") {
    apps_rig r("oracle");
    const app_handle a = r.begin(10);
    const app_handle b = r.begin(8);
    const request_handle first = r.busy();
    std::vector<request_handle> of_a;
    std::vector<request_handle> of_b;
    for (int i = 0; i < 3; ++i) {
        of_a.push_back(r.submit_of(a));
        of_b.push_back(r.submit_of(b));
    }
    r.loop.advance(1us);
    // b is ahead until a has had 5 of its 10 seconds.
    REQUIRE(r.tracker.begin_unit(a, {.unit = "plan", .prompt_tokens = 10}).ok());
    REQUIRE(r.tracker.end_unit(a, {.completion_tokens = 84}).ok());
    r.run();
    std::vector<request_handle> expected{first};
    expected.insert(expected.end(), of_a.begin(), of_a.end());
    expected.insert(expected.end(), of_b.begin(), of_b.end());
    CHECK(r.model->order == expected);
    r.close();
}

TEST_CASE("applications: progress is ranked at the interval, the end of a unit at once") {
    apps_rig r("las");
    const app_handle a = r.begin(1);
    r.loop.run_until_idle();
    REQUIRE(r.tracker.begin_unit(a, {.unit = "write", .prompt_tokens = 1000}).ok());
    r.loop.run_until_idle();
    REQUIRE(r.tracker.progress(a, {.prompt_tokens = 1000}).ok());
    r.loop.advance(10ms);
    CHECK(r.tracker.rank(a)->value == 0.1);  // the first progress for long
    for (std::uint64_t n = 1; n <= 8; ++n) {
        REQUIRE(r.tracker.progress(a, {.prompt_tokens = 1000, .completion_tokens = 10 * n}).ok());
        r.loop.advance(10ms);
        CHECK(r.tracker.rank(a)->value == 0.1);
    }
    r.loop.advance(10ms);
    CHECK(r.tracker.rank(a)->value == 0.1 + 80 * 0.06);
    REQUIRE(r.tracker.end_unit(a, {.completion_tokens = 200}).ok());
    r.loop.run_until_idle();
    CHECK(r.tracker.rank(a)->value == 0.1 + 200 * 0.06);
    r.close();
}

TEST_CASE("applications: a rank that stays is not given out again") {
    apps_rig r("app_fifo");
    const app_handle a = r.begin(1);
    r.loop.run_until_idle();
    const std::uint64_t before = r.tracker.stats().ranked;
    CHECK(before == 1);
    for (int i = 0; i < 5; ++i) {
        REQUIRE(r.tracker.begin_unit(a, {.unit = "u"}).ok());
        r.loop.run_until_idle();
        REQUIRE(r.tracker.end_unit(a, {}).ok());
        r.loop.run_until_idle();
    }
    CHECK(r.tracker.stats().ranked == before);
    CHECK(r.tracker.stats().refreshed == 11);
    r.close();
}

TEST_CASE("applications: the deadline of an application is that of its requests") {
    apps_rig r("edf");
    const time_point now = r.loop.now();
    const app_handle loose = r.begin(1, now + 100s);
    const app_handle tight = r.begin(1, now + 10s);
    const request_handle first = r.busy();
    const request_handle of_loose = r.submit_of(loose);
    const request_handle of_tight = r.submit_of(tight);
    // Its own is earlier yet.
    request_spec spec;
    spec.prompt_tokens = 100;
    spec.application = loose;
    spec.deadline = now + 5s;
    const request_handle own = *r.pipe->submit(spec);
    r.run();
    CHECK(r.model->order == std::vector{first, own, of_tight, of_loose});
    r.close();
}

TEST_CASE("applications: a request of one that has ended is a request of none") {
    apps_rig r("oracle");
    const app_handle a = r.begin(0.000001);
    REQUIRE(r.tracker.end(a).ok());
    const request_handle first = r.busy();
    const request_handle alone = r.submit_of({}, 90);
    const request_handle orphan = r.submit_of(a, 100);
    r.run();
    // Shortest first: neither has the rank of an application.
    CHECK(r.model->order.front() == first);
    CHECK(r.model->order.size() == 3);
    static_cast<void>(alone);
    static_cast<void>(orphan);
    CHECK(r.tracker.end(a).code() == absl::StatusCode::kNotFound);
    r.close();
}

TEST_CASE("applications: one that ends leaves its requests where they are") {
    apps_rig r("oracle");
    const app_handle a = r.begin(5);
    const app_handle b = r.begin(7);
    const request_handle first = r.busy();
    const request_handle of_b = r.submit_of(b);
    const request_handle of_a = r.submit_of(a);
    r.loop.advance(1us);
    REQUIRE(r.tracker.end(a).ok());
    // Its index is another's now, with another rank.
    r.loop.advance(1us);
    const app_handle c = r.begin(9);
    CHECK(c.index == a.index);
    const request_handle of_c = r.submit_of(c);
    r.run();
    CHECK(r.model->order == std::vector{first, of_a, of_b, of_c});
    r.close();
}

TEST_CASE("applications: a tracker serves one pipeline at a time, and keeps what it knows") {
    apps_rig r("oracle");
    rig other({});
    auto o = other.options();
    o.applications = &r.tracker;
    CHECK(pipeline::create(std::move(o)).status().code() == absl::StatusCode::kFailedPrecondition);
    const app_handle a = r.begin(3);
    r.loop.run_until_idle();
    CHECK(r.tracker.rank(a)->value == 3);
    r.close();
    REQUIRE(r.pipe->closed());
    r.pipe.reset();
    auto again = other.options();
    again.applications = &r.tracker;
    again.policy = *make_policy("app_fifo");
    other.open(std::move(again));
    other.loop.run_until_idle();
    CHECK(r.tracker.rank(a)->value != 3);
    REQUIRE(r.tracker.end(a).ok());
    other.close();
}

TEST_CASE("applications: without a tracker no request can name one") {
    rig r({});
    r.open(r.options());
    request_spec spec;
    spec.prompt_tokens = 16;
    spec.application = {0, 1};
    CHECK(r.pipe->submit(spec).status().code() == absl::StatusCode::kInvalidArgument);
    r.close();
}

TEST_CASE("applications: events while a pipeline closes are only kept") {
    apps_rig r("las");
    const app_handle a = r.begin(3);
    r.pipe->begin_close();
    REQUIRE(r.tracker.begin_unit(a, {.unit = "u"}).ok());
    r.loop.run_until_idle();
    CHECK(r.pipe->closed());
    r.pipe.reset();
    CHECK(r.tracker.end_unit(a, {}).code() == absl::StatusCode::kFailedPrecondition);
    CHECK(r.tracker.end_unit(a, {.time = r.loop.now()}).ok());
    r.loop.run_until_idle();
    CHECK(r.tracker.end(a).ok());
}

TEST_CASE("applications: vtc counts what others have had while one was there") {
    // Against counters that are all changed at every step.
    apps_rig r("vtc");
    struct state {
        app_handle h;
        double key = 0;
    };
    std::vector<state> live;
    std::uint64_t random = 12345;
    const auto below = [&](std::uint64_t n) {
        random = random * 6364136223846793005 + 1442695040888963407;
        return (random >> 33) % n;
    };
    for (int step = 0; step < 500; ++step) {
        if (live.empty() || below(4) == 0) {
            live.push_back({r.begin(1)});
            r.loop.run_until_idle();
            continue;
        }
        const std::size_t at = below(live.size());
        if (below(6) == 0) {
            REQUIRE(r.tracker.end(live[at].h).ok());
            r.loop.run_until_idle();
            live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
        } else {
            const std::uint64_t prompt = below(1000);
            const std::uint64_t completion = below(100);
            REQUIRE(r.tracker.begin_unit(live[at].h, {.unit = "u", .prompt_tokens = prompt}).ok());
            REQUIRE(r.tracker.end_unit(live[at].h, {.completion_tokens = completion}).ok());
            r.loop.run_until_idle();
            const double had = static_cast<double>(prompt) / 10 + static_cast<double>(completion);
            for (state& s : live) {
                s.key -= had / static_cast<double>(live.size());
            }
            live[at].key += had;
        }
        for (std::size_t i = 1; i < live.size(); ++i) {
            const double expected = live[i].key - live[i - 1].key;
            const double got =
                r.tracker.rank(live[i].h)->value - r.tracker.rank(live[i - 1].h)->value;
            REQUIRE(std::abs(expected - got) < 1e-6);
        }
    }
    r.close();
}

}  // namespace
}  // namespace sluice
