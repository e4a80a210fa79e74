// SPDX-License-Identifier: Apache-2.0
#include <sluice/sched/ready_queue.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <random>
#include <tuple>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/sched/indexed_heap.hpp>

namespace {

using sluice::pack_rank;
using sluice::rank_tier;
using sluice::rank_value;
using sluice::ready_queue;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

ready_queue::entry normal(double rank, std::uint32_t order, bool holder = false,
                          std::uint32_t flow = 0, double weight = 1) {
    return {pack_rank(rank), order, holder, flow, weight};
}

// The same rules, by looking at everything each time.
class reference {
 public:
    void set(std::uint32_t id, const ready_queue::entry& e) {
        const bool moves = entries_.contains(id) && entries_[id].flow == e.flow;
        if (!moves && count(e.flow) == 0) {
            tags_[e.flow] = std::max(tags_[e.flow], virtual_time_);
        }
        entries_[id] = e;
    }
    void erase(std::uint32_t id) { entries_.erase(id); }
    [[nodiscard]] bool contains(std::uint32_t id) const { return entries_.contains(id); }
    [[nodiscard]] std::size_t size() const { return entries_.size(); }

    void charge(std::uint32_t id, double seconds) {
        const auto& e = entries_.at(id);
        double start = tags_[e.flow];
        for (const auto& [other, o] : entries_) {
            const int g = group(o);
            if (g != 0 && (group(e) == 0 || g == group(e))) {
                start = std::min(start, tags_[o.flow]);
            }
        }
        virtual_time_ = std::max(virtual_time_, start);
        tags_[e.flow] += seconds / e.weight;
    }
    [[nodiscard]] std::uint32_t top() {
        return std::min_element(
                   entries_.begin(), entries_.end(),
                   [this](const auto& a, const auto& b) { return key(a.second) < key(b.second); })
            ->first;
    }

 private:
    static int group(const ready_queue::entry& e) {
        const auto tier = static_cast<int>(e.rank >> 62);
        // The background stands behind all others, its holders first.
        return tier == 0 ? 0 : tier == 3 ? (e.holder ? 5 : 6) : (e.holder ? 0 : 2) + tier;
    }
    [[nodiscard]] long count(std::uint32_t flow) const {
        return std::count_if(entries_.begin(), entries_.end(),
                             [flow](const auto& e) { return e.second.flow == flow; });
    }
    std::tuple<int, double, std::uint64_t, std::uint32_t> key(const ready_queue::entry& e) {
        return {group(e), group(e) == 0 ? 0 : tags_[e.flow], e.rank, e.arrival_order};
    }

    std::map<std::uint32_t, ready_queue::entry> entries_;
    std::map<std::uint32_t, double> tags_;
    double virtual_time_ = 0;
};

void against_reference(std::uint64_t seed, std::uint32_t flows) {
    CAPTURE(seed, flows);
    std::mt19937_64 random(seed);
    const auto below = [&random](std::uint64_t n) {
        return static_cast<std::uint32_t>(random() % n);
    };
    ready_queue queue;
    reference expected;
    std::uint32_t order = 0;
    std::map<std::uint32_t, std::uint32_t> orders;
    for (int step = 0; step < 4000; ++step) {
        CAPTURE(step);
        const std::uint32_t id = below(60);
        const std::uint32_t what = below(10);
        if (what < 5) {
            if (!expected.contains(id)) {
                orders[id] = order++;
            }
            const std::uint32_t flow = below(flows);
            const std::uint32_t tier = below(8);
            // Few values, so that ties are common; weights are powers of two, so that tags are
            // exact.
            const rank_value rank(below(5), tier == 0   ? rank_tier::overdue
                                            : tier == 1 ? rank_tier::hopeless
                                            : tier == 2 ? rank_tier::background
                                                        : rank_tier::normal);
            const ready_queue::entry e{pack_rank(rank), orders[id], below(3) == 0, flow,
                                       flow % 2 == 0 ? 1.0 : 2.0};
            queue.set(id, e);
            expected.set(id, e);
        } else if (what < 7) {
            queue.erase(id);
            expected.erase(id);
        } else if (expected.size() != 0) {
            const std::uint32_t best = what == 9 ? id : expected.top();
            if (expected.contains(best)) {
                const double seconds = 1 + below(4);
                queue.charge(best, seconds);
                expected.charge(best, seconds);
            }
            if (what == 8) {
                queue.erase(best);
                expected.erase(best);
            }
        }
        REQUIRE(queue.size() == expected.size());
        REQUIRE(queue.contains(id) == expected.contains(id));
        if (!queue.empty()) {
            REQUIRE(queue.top() == expected.top());
        }
    }
    while (!queue.empty()) {
        const std::uint32_t best = queue.top();
        REQUIRE(best == expected.top());
        queue.erase(best);
        expected.erase(best);
    }
    REQUIRE(expected.size() == 0);
}

}  // namespace

TEST_CASE("packed ranks keep the order of values, and tiers stand above values") {
    const std::vector<double> ascending = {-infinity, -1e300, -2,  -1, -1e-300, 0.0,   1e-300,
                                           1e-9,      1,      1.5, 2,  1e18,    1e300, infinity};
    for (std::size_t i = 1; i < ascending.size(); ++i) {
        CAPTURE(ascending[i]);
        CHECK(pack_rank(ascending[i - 1]) < pack_rank(ascending[i]));
    }
    CHECK(pack_rank(-0.0) == pack_rank(0.0));
    CHECK(pack_rank(infinity) < pack_rank(not_a_number));
    CHECK(pack_rank(not_a_number) == pack_rank(-not_a_number));
    CHECK(pack_rank({not_a_number, rank_tier::overdue}) < pack_rank(-infinity));
    CHECK(pack_rank(not_a_number) < pack_rank({-infinity, rank_tier::hopeless}));

    std::mt19937_64 random(1);
    for (int i = 0; i < 10'000; ++i) {
        const double a =
            std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 200) - 160);
        const double b =
            std::ldexp(static_cast<double>(random()), static_cast<int>(random() % 200) - 160);
        REQUIRE((pack_rank(a) <= pack_rank(b)) == (a <= b));
        REQUIRE((pack_rank(-a) >= pack_rank(-b)) == (a <= b));
    }
}

TEST_CASE("the overdue go first, then holders, then the others, the background last") {
    ready_queue queue;
    queue.set(0, normal(1, 0));
    queue.set(1, {pack_rank({0, rank_tier::hopeless}), 1, false, 0, 1});
    queue.set(2, normal(9, 2, true));
    queue.set(3, {pack_rank({0, rank_tier::hopeless}), 3, true, 0, 1});
    queue.set(4, {pack_rank({7, rank_tier::overdue}), 4, false, 0, 1});
    queue.set(5, {pack_rank({8, rank_tier::overdue}), 5, true, 0, 1});
    queue.set(6, {pack_rank({0, rank_tier::background}), 0, false, 0, 1});
    queue.set(7, {pack_rank({1, rank_tier::background}), 0, true, 0, 1});
    std::vector<std::uint32_t> order;
    while (!queue.empty()) {
        order.push_back(queue.top());
        queue.erase(queue.top());
    }
    CHECK(order == std::vector<std::uint32_t>{4, 5, 2, 3, 0, 1, 7, 6});
}

TEST_CASE("equal ranks go in arrival order, across the wrap of the counter") {
    ready_queue queue;
    std::uint32_t order = 0xffff'fffc;
    for (std::uint32_t id = 0; id < 8; ++id) {
        queue.set(id, normal(3, order++));
    }
    for (std::uint32_t id = 0; id < 8; ++id) {
        REQUIRE(queue.top() == id);
        queue.erase(id);
    }
}

TEST_CASE("a request that is paused and comes back stands where it stood") {
    ready_queue queue;
    for (std::uint32_t id = 0; id < 4; ++id) {
        queue.set(id, normal(id, id));
    }
    queue.erase(0);
    CHECK(queue.top() == 1);
    CHECK_FALSE(queue.contains(0));
    queue.set(0, normal(0, 0));
    CHECK(queue.top() == 0);
}

TEST_CASE("the queue agrees with a linear search") {
    for (std::uint64_t seed = 1; seed <= 12; ++seed) {
        against_reference(seed, 1);
        against_reference(seed, 3);
        against_reference(seed, 20);
    }
}

TEST_CASE("flows with work share by weight, within one operation of each") {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        std::uniform_real_distribution<double> unit(0.0, 1.0);
        constexpr std::uint32_t flows = 5;
        std::vector<double> weight(flows);
        std::vector<double> largest(flows);
        for (std::uint32_t f = 0; f < flows; ++f) {
            weight[f] = 0.5 + 4 * unit(random);
            largest[f] = 0.01 + unit(random);
        }
        ready_queue queue;
        // Flow f has the ids f * 4 to f * 4 + 3, queued from its own start on.
        std::vector<int> start(flows);
        for (std::uint32_t f = 0; f < flows; ++f) {
            start[f] = f < 2 ? 0 : static_cast<int>(random() % 500);
        }
        std::vector<double> served(flows, 0);  // over weight, from the time all have work
        std::vector<std::vector<double>> high(flows, std::vector<double>(flows, -infinity));
        std::vector<std::vector<double>> low(flows, std::vector<double>(flows, infinity));
        std::uint32_t order = 0;
        for (int step = 0; step < 3000; ++step) {
            for (std::uint32_t f = 0; f < flows; ++f) {
                for (std::uint32_t id = 4 * f; start[f] == step && id < 4 * f + 4; ++id) {
                    queue.set(id, normal(unit(random), order++, false, f, weight[f]));
                }
            }
            const std::uint32_t id = queue.top();
            const std::uint32_t f = id / 4;
            const double seconds = largest[f] * unit(random);
            queue.charge(id, seconds);
            queue.set(id, normal(unit(random), order++, false, f, weight[f]));
            served[f] += seconds / weight[f];
            for (std::uint32_t a = 0; a < flows; ++a) {
                for (std::uint32_t b = 0; b < flows; ++b) {
                    if (start[a] <= step && start[b] <= step) {
                        high[a][b] = std::max(high[a][b], served[a] - served[b]);
                        low[a][b] = std::min(low[a][b], served[a] - served[b]);
                    }
                }
            }
        }
        for (std::uint32_t a = 0; a < flows; ++a) {
            for (std::uint32_t b = 0; b < flows; ++b) {
                CAPTURE(a, b);
                // Over every interval in which both had work.
                REQUIRE(high[a][b] - low[a][b] <=
                        largest[a] / weight[a] + largest[b] / weight[b] + 1e-9);
            }
        }
    }
}

TEST_CASE("a flow saves no credit while it has no work") {
    ready_queue queue;
    queue.set(0, normal(0, 0, false, 1));
    queue.set(1, normal(0, 1, false, 2));
    queue.erase(1);
    for (int i = 0; i < 100; ++i) {
        queue.charge(0, 1);
    }
    queue.set(1, normal(0, 2, false, 2));
    int second = 0;
    for (int i = 0; i < 100; ++i) {
        second += queue.top() == 1;
        queue.charge(queue.top(), 1);
    }
    CHECK(second >= 50);
    CHECK(second <= 51);
}

TEST_CASE("service of overdue work is paid for, but not by newcomers") {
    ready_queue queue;
    queue.set(0, {pack_rank({0, rank_tier::overdue}), 0, false, 1, 1});
    queue.set(1, normal(0, 1, false, 2));
    for (int i = 0; i < 50; ++i) {
        REQUIRE(queue.top() == 0);
        queue.charge(0, 1);
    }
    queue.set(0, normal(0, 0, false, 1));
    queue.set(2, normal(1, 2, false, 3));  // a newcomer starts with flow 2, not behind flow 1
    int newcomer = 0;
    for (int i = 0; i < 60; ++i) {
        REQUIRE(queue.top() != 0);
        newcomer += queue.top() == 2;
        queue.charge(queue.top(), 1);
    }
    CHECK(newcomer == 30);
}

TEST_CASE("bad weights and charges change nothing") {
    ready_queue queue;
    queue.set(0, normal(0, 0, false, 1, 0));
    queue.set(1, normal(0, 1, false, 2, not_a_number));
    queue.charge(0, not_a_number);
    queue.charge(0, -1);
    queue.charge(0, infinity);
    queue.charge(7, 1);
    CHECK(queue.top() == 0);
    queue.charge(0, 1);
    CHECK(queue.top() == 1);
    queue.charge(1, 0.5);
    CHECK(queue.top() == 1);
}

TEST_CASE("flows that have gone are forgotten") {
    ready_queue queue;
    for (std::uint32_t flow = 0; flow < 10'000; ++flow) {
        queue.set(0, normal(0, flow, false, flow));
        queue.charge(0, 1e-3);
        queue.erase(0);
    }
    CHECK(queue.flows() <= 2100);
}

TEST_CASE("an indexed heap agrees with a linear search") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        sluice::indexed_heap<double> heap;
        std::map<std::uint32_t, double> expected;
        for (int step = 0; step < 5000; ++step) {
            const auto id = static_cast<std::uint32_t>(random() % 100);
            if (random() % 5 < 3) {
                const auto key = static_cast<double>(random() % 1000);
                heap.set(id, key);
                expected[id] = key;
            } else {
                heap.erase(id);
                expected.erase(id);
            }
            REQUIRE(heap.size() == expected.size());
            REQUIRE(heap.contains(id) == expected.contains(id));
            if (!expected.empty()) {
                const auto best = std::min_element(
                    expected.begin(), expected.end(),
                    [](const auto& a, const auto& b) { return a.second < b.second; });
                REQUIRE(heap.top_key() == best->second);
                REQUIRE(expected.at(heap.top()) == heap.key(heap.top()));
            }
        }
        double last = -1;
        while (!heap.empty()) {
            REQUIRE(heap.top_key() >= last);
            last = heap.top_key();
            heap.pop();
        }
    }
}
