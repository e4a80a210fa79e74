// SPDX-License-Identifier: Apache-2.0
#include <sluice/sched/policies.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <limits>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/sched/ready_queue.hpp>

namespace {

using namespace std::chrono_literals;
using sluice::duration;
using sluice::from_seconds;
using sluice::make_policy;
using sluice::never;
using sluice::policy;
using sluice::rank_tier;
using sluice::request_view;
using sluice::stage_id;
using sluice::time_point;

constexpr time_point start{100s};

request_view request(duration arrival, double load, double compute) {
    request_view r;
    r.arrival = start + arrival;
    r.admitted = true;
    r.predicted = {load / 2, load / 2, compute};
    r.remaining = r.predicted;
    return r;
}

std::unique_ptr<policy> make(std::string_view spec) {
    auto made = make_policy(spec);
    REQUIRE(made.ok());
    return *std::move(made);
}

// The order in which a stage would serve them: indices, best first.
std::vector<std::size_t> order(policy& p, const std::vector<request_view>& requests,
                               time_point now = start + 1s) {
    sluice::ready_queue queue;
    for (std::uint32_t i = 0; i < requests.size(); ++i) {
        const auto share = p.flow(requests[i]);
        queue.set(i, {sluice::pack_rank(p.rank(requests[i], stage_id::fetch, now)), i, false,
                      share.flow, share.weight});
    }
    std::vector<std::size_t> out;
    while (!queue.empty()) {
        const std::uint32_t best = queue.top();
        out.push_back(best);
        queue.charge(best, 1);
        queue.erase(best);
    }
    return out;
}

using indices = std::vector<std::size_t>;

}  // namespace

TEST_CASE("the two requests of CALVO's example") {
    // R1 has more to load, R2 more to compute.
    request_view r1 = request(0ns, 0.361, 0.019);
    r1.prompt_tokens = 30'000;
    r1.load_tokens = 29'970;
    request_view r2 = request(1ns, 0.199, 0.025);
    r2.prompt_tokens = 17'000;
    r2.load_tokens = 16'950;
    const std::vector<request_view> both = {r1, r2};

    CHECK(order(*make("fifo"), both) == indices{0, 1});
    CHECK(order(*make("sjf_pt"), both) == indices{0, 1});
    CHECK(order(*make("sjf"), both) == indices{1, 0});
    CHECK(order(*make("srpt"), both) == indices{1, 0});
}

TEST_CASE("fifo is exact arrival order") {
    const auto p = make("fifo");
    std::vector<request_view> requests;
    // Late in a long run a double cannot tell these apart; the arrival counter does.
    for (int i = 0; i < 100; ++i) {
        requests.push_back(request(10'000h + duration{i}, 100 - i, 1));
    }
    const auto got = order(*p, requests);
    CHECK(std::is_sorted(got.begin(), got.end()));
}

TEST_CASE("before admission every request ranks by arrival") {
    for (const auto& name : sluice::policy_names()) {
        CAPTURE(name);
        const auto p = make(name == "aging" || name == "fair" ? name + "(sjf)" : name);
        std::vector<request_view> requests = {request(0ns, 9, 9), request(1ns, 1, 1)};
        requests[0].deadline = start + 90s;
        requests[1].deadline = start + 80s;
        for (auto& r : requests) {
            r.admitted = false;
        }
        CHECK(order(*p, requests) == indices{0, 1});
    }
}

TEST_CASE("sjf goes by the prediction, srpt by what remains of it") {
    std::vector<request_view> requests = {request(0ns, 5, 1), request(0ns, 3, 1)};
    requests[0].remaining = {0, 0.5, 1};
    CHECK(order(*make("sjf"), requests) == indices{1, 0});
    CHECK(order(*make("srpt"), requests) == indices{0, 1});
    CHECK(make("srpt")->ranks_by_service());
    for (const char* other : {"fifo", "sjf_pt", "sjf", "edf", "lstf"}) {
        CHECK_FALSE(make(other)->ranks_by_service());
    }
}

TEST_CASE("sjf_pt counts the tokens to compute") {
    std::vector<request_view> requests = {request(0ns, 1, 1), request(0ns, 1, 1)};
    requests[0].prompt_tokens = 100;
    requests[1].prompt_tokens = 1000;
    requests[1].load_tokens = 990;
    CHECK(order(*make("sjf_pt"), requests) == indices{1, 0});
    requests[1].load_tokens = 2000;  // more than there are: nothing to compute
    CHECK(make("sjf_pt")->rank(requests[1], stage_id::copy, start).value == 0);
}

TEST_CASE("edf goes by deadline, lstf of the papers by the latest start") {
    std::vector<request_view> requests = {request(0ns, 1, 1), request(0ns, 6, 2),
                                          request(0ns, 1, 0)};
    requests[0].deadline = start + 20s;
    requests[1].deadline = start + 25s;  // starts at 17, before 18
    for (const char* form : {"on", "off"}) {
        CHECK(order(*make(std::string("edf:late_last=") + form), requests) == indices{0, 1, 2});
    }
    const auto p = make("lstf:late_last=off");
    CHECK(order(*p, requests) == indices{1, 0, 2});
    // What is done does not re-rank, the plan does.
    requests[1].remaining = {0, 0, 1};
    CHECK(order(*p, requests) == indices{1, 0, 2});
    requests[1].predicted = {0, 0, 1};
    CHECK(order(*p, requests) == indices{0, 1, 2});
}

TEST_CASE("lstf goes by when loading has to be done") {
    std::vector<request_view> requests = {request(0ns, 1, 1), request(0ns, 6, 2),
                                          request(0ns, 1, 0)};
    requests[0].deadline = start + 20s;
    requests[1].deadline = start + 25s;
    CHECK(order(*make("lstf"), requests) == indices{0, 1, 2});
    requests[1].predicted.compute = 7;  // loading has to be done at 18, before 19
    CHECK(order(*make("lstf"), requests) == indices{1, 0, 2});
}

TEST_CASE("on_time is between edf and srpt") {
    std::vector<request_view> requests = {request(0ns, 5, 1), request(0ns, 1, 1),
                                          request(0ns, 1, 0)};
    requests[0].deadline = start + 20s;
    requests[1].deadline = start + 23s;  // 4 smaller, 3 later
    CHECK(order(*make("on_time"), requests) == indices{1, 0, 2});
    requests[1].deadline = start + 25s;
    CHECK(order(*make("on_time"), requests) == indices{0, 1, 2});
    // Service makes the rank better.
    requests[1].deadline = start + 23s;
    requests[0].remaining = {0, 3, 1};
    CHECK(order(*make("on_time"), requests) == indices{0, 1, 2});
    CHECK(make("on_time")->ranks_by_service());
}

TEST_CASE("a request that will miss its deadline goes behind those that will not") {
    std::vector<request_view> requests = {request(0ns, 6, 2), request(0ns, 1, 1),
                                          request(0ns, 4, 1), request(0ns, 1, 0)};
    requests[0].deadline = start + 4s;  // fetch and copy overlap: alone it takes 5
    requests[1].deadline = start + 50s;
    requests[2].deadline = start + 2s;  // 3
    for (const char* name : {"edf", "lstf", "on_time"}) {
        CAPTURE(name);
        // Of the hopeless the cheaper first.
        CHECK(order(*make(name), requests) == indices{1, 3, 2, 0});
        CHECK(make(name)->rank(requests[0], stage_id::copy, start).tier == rank_tier::hopeless);
    }
    CHECK(order(*make("edf:late_last=off"), requests) == indices{2, 0, 1, 3});
    CHECK(order(*make("on_time:late_last=off"), requests) == indices{2, 0, 1, 3});
    CHECK(order(*make("lstf:late_last=off"), requests) == indices{0, 2, 1, 3});
}

TEST_CASE("next_change is the very instant at which a request becomes hopeless") {
    for (const char* name : {"edf", "lstf", "on_time"}) {
        CAPTURE(name);
        const auto p = make(name);
        request_view r = request(0ns, 2, 1);
        CHECK(p->next_change(r, start) == never);  // no deadline
        r.deadline = start + 10s;
        const time_point change = p->next_change(r, start);
        CHECK(change == start + 8s + 1ns);
        CHECK(p->rank(r, stage_id::fetch, change - 1ns).tier == rank_tier::normal);
        CHECK(p->rank(r, stage_id::fetch, change).tier == rank_tier::hopeless);
        CHECK(p->next_change(r, change - 1ns) == change);
        CHECK(p->next_change(r, change) == never);
        r.remaining = {0, 0, 1};
        CHECK(p->next_change(r, change) == start + 9s + 1ns);

        r.deadline = time_point::min() + 1ns;
        CHECK(p->rank(r, stage_id::fetch, start).tier == rank_tier::hopeless);
        r.deadline = never - 1ns;
        r.remaining = {1e300, 0, 0};
        CHECK(p->rank(r, stage_id::fetch, start).tier == rank_tier::normal);
        CHECK(make(std::string(name) + ":late_last=off")->next_change(r, start) == never);
    }
}

TEST_CASE("a rank that is not a number is counted and goes last") {
    const auto p = make("sjf");
    std::vector<request_view> requests = {request(0ns, 1, 1), request(0ns, 2, 2)};
    requests[0].predicted.fetch = std::numeric_limits<double>::quiet_NaN();
    CHECK(order(*p, requests) == indices{1, 0});
    CHECK(p->faults() == 1);
}

TEST_CASE("aging sends who has waited to the front, oldest first") {
    const auto p = make("aging:after=5(sjf)");
    const std::vector<request_view> requests = {request(0s, 9, 1), request(1s, 8, 1),
                                                request(4s, 1, 1), request(5s, 0.5, 1)};
    CHECK(order(*p, requests, start + 5s - 1ns) == indices{3, 2, 1, 0});
    CHECK(order(*p, requests, start + 5s) == indices{0, 3, 2, 1});
    CHECK(order(*p, requests, start + 6s) == indices{0, 1, 3, 2});
    CHECK(p->next_change(requests[0], start) == start + 5s);
    CHECK(p->next_change(requests[0], start + 5s) == never);

    // The inner policy may have a change before that.
    const auto deadlines = make("aging:after=5(edf)");
    request_view r = request(0s, 1, 1);
    r.deadline = start + 4s;
    CHECK(deadlines->next_change(r, start) == start + 2500ms + 1ns);
    CHECK(deadlines->next_change(r, start + 3s) == start + 5s);
}

TEST_CASE("nothing that arrives after a request came of age starts an operation before it") {
    for (const char* spec : {"aging:after=3(sjf)", "fair(aging:after=3(sjf))",
                             "aging:after=3(fair(sjf))", "aging:after=3(lstf)"}) {
        for (std::uint64_t seed = 1; seed <= 5; ++seed) {
            CAPTURE(spec, seed);
            const auto p = make(spec);
            std::mt19937_64 random(seed);
            std::exponential_distribution<double> cost(2);
            sluice::ready_queue queue;
            std::vector<request_view> requests;
            std::vector<time_point> change;
            std::vector<int> operations;
            time_point now = start;
            const auto set = [&](std::uint32_t id) {
                const auto share = p->flow(requests[id]);
                const auto rank = p->rank(requests[id], stage_id::fetch, now);
                queue.set(
                    id, {sluice::pack_rank(rank), id, random() % 2 == 0, share.flow, share.weight});
                change[id] = p->next_change(requests[id], now);
            };
            for (int step = 0; step < 3000; ++step) {
                // One more arrives in most steps: an overload, so that big ones starve under sjf.
                if (requests.size() < 500 && random() % 8 != 0) {
                    request_view r = request(now - start, cost(random), cost(random));
                    r.deadline = now + from_seconds(10 * cost(random));
                    r.tenant = static_cast<std::uint32_t>(random() % 3);
                    requests.push_back(r);
                    change.push_back(never);
                    operations.push_back(1 + static_cast<int>(random() % 3));
                    set(static_cast<std::uint32_t>(requests.size() - 1));
                }
                for (std::uint32_t id = 0; id < requests.size(); ++id) {
                    if (queue.contains(id) && change[id] <= now) {
                        set(id);
                    }
                }
                if (!queue.empty()) {
                    const std::uint32_t id = queue.top();
                    bool first = true;
                    for (std::uint32_t other = 0; other < requests.size(); ++other) {
                        if (queue.contains(other) && requests[other].arrival + 3s <= now) {
                            first = first && requests[id].arrival <= requests[other].arrival;
                        }
                    }
                    REQUIRE(first);
                    queue.charge(id, 0.01);
                    if (--operations[id] == 0) {
                        queue.erase(id);
                    }
                }
                now += 20ms;
            }
            CHECK(queue.empty());
        }
    }
}

TEST_CASE("fair makes a flow of each tenant and leaves the order within to the inner policy") {
    const auto p = make("fair(sjf)");
    std::vector<request_view> requests;
    for (int i = 0; i < 8; ++i) {
        requests.push_back(request(0ns, 8 - i, 0));
        requests.back().tenant = i < 6 ? 1 : 2;
        requests.back().tenant_weight = i < 6 ? 2 : 1;
    }
    // Tenant 2 has the shortest; tenant 1 twice the share.
    CHECK(order(*p, requests) == indices{7, 5, 4, 6, 3, 2, 1, 0});
    CHECK(p->flow(requests[0]).flow == 1);
    CHECK(p->flow(requests[0]).weight == 2);
    requests[0].tenant_weight = -1;
    CHECK(p->flow(requests[0]).weight == 1);
    CHECK(make("sjf")->flow(requests[0]).flow == 0);
    CHECK(make("aging:after=9(fair(sjf))")->flow(requests[0]).flow == 1);
}

TEST_CASE("wrappers pass everything on") {
    struct probe final : policy {
        int calls = 0;
        void submitted(const request_view&, time_point) noexcept override { calls += 1; }
        void served(const request_view&, stage_id, double) noexcept override { calls += 10; }
        void done(const request_view&, time_point) noexcept override { calls += 100; }
        duration interval() const noexcept override { return 7s; }
        bool ranks_by_service() const noexcept override { return true; }
        time_point next_change(const request_view&, time_point) noexcept override {
            return start + 1s;
        }
        sluice::rank_value do_rank(const request_view&, stage_id, time_point) noexcept override {
            return {42, rank_tier::hopeless};
        }
    };
    auto inner = std::make_unique<probe>();
    probe& seen = *inner;
    sluice::fair_policy p(std::make_unique<sluice::aging_policy>(std::move(inner), 60s));
    const request_view r = request(0s, 1, 1);
    p.submitted(r, start);
    p.served(r, stage_id::copy, 1);
    p.done(r, start);
    CHECK(seen.calls == 111);
    CHECK(p.interval() == 7s);
    CHECK(p.ranks_by_service());
    CHECK(p.next_change(r, start) == start + 1s);
    CHECK(p.rank(r, stage_id::copy, start).value == 42);
    CHECK(p.rank(r, stage_id::copy, start).tier == rank_tier::hopeless);
}
