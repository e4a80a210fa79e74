// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/prewarm_rule.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

namespace {

using Catch::Matchers::WithinAbs;
using sluice::demand::evaluate_start;
using sluice::demand::need_forecast;
using sluice::demand::need_sample;
using sluice::demand::plan_keep;
using sluice::demand::plan_prewarm;
using sluice::demand::prewarm_plan;
using sluice::demand::prewarm_rule;
using sluice::demand::warm_cost;

need_forecast of(std::vector<need_sample> samples) { return need_forecast::of(samples); }

// What one window brings for one sample, as the header defines it.
double value_of(const need_sample& s, double start, double stop, const warm_cost& cost,
                double price) {
    if (s.seconds <= start || stop <= start) {
        return 0;
    }
    if (!s.used || s.seconds > stop) {
        return -price * cost.hold * (std::min(s.seconds, stop) - start);
    }
    const double held = s.seconds - start;
    const double share = held >= cost.seconds ? 1 : held / cost.seconds;
    return cost.saving * share - price * cost.hold * std::max(held - cost.seconds, 0.0);
}

std::vector<need_sample> draw(std::mt19937_64& random, std::size_t count) {
    std::uniform_real_distribution<double> share(0, 1);
    const double used = share(random) < 0.3 ? 1 : share(random);
    const double far = 40 * share(random);
    const bool two_groups = share(random) < 0.5;
    std::vector<need_sample> out(count);
    for (need_sample& s : out) {
        s.used = share(random) < used;
        s.seconds = (two_groups && share(random) < 0.4 ? far : 0) + 5 * share(random);
    }
    return out;
}

}  // namespace

TEST_CASE("a need at a known time is met just in time") {
    const prewarm_plan plan = plan_prewarm(of({{10, true}}), 0, {2, 2, 1}, {});
    CHECK_THAT(plan.start, WithinAbs(8, 1e-9));
    CHECK_THAT(plan.stop, WithinAbs(12, 1e-9));  // the default slack: one warming more
    CHECK_THAT(plan.gain, WithinAbs(2, 1e-9));
    CHECK_THAT(plan.waste, WithinAbs(0, 1e-9));
}

TEST_CASE("what will never be needed, or needed too rarely, is not warmed") {
    CHECK(!plan_prewarm({}, 0, {2, 2, 1}, {}).pays());
    CHECK(!plan_prewarm(of({{10, false}}), 0, {2, 2, 1}, {}).pays());
    // One run in twenty-one at 10 s; the others end at 100 s.
    std::vector<need_sample> rare(20, {100, false});
    rare.push_back({10, true});
    CHECK(!plan_prewarm(of(rare), 0, {2, 2, 1}, {}).pays());
    // The same where holding costs little.
    CHECK(plan_prewarm(of(rare), 0, {2, 2, 0.01}, {}).pays());
    CHECK(!plan_prewarm(of({{10, true}}), 0, {0, 0, 1}, {}).pays());  // nothing to gain
}

TEST_CASE("warming starts where the probability of the rule is reached") {
    // Needs are even over [0, 100], so that P(T <= s + c | T > s) = c / (100 - s).
    std::vector<need_sample> even;
    for (int i = 0; i < 48; ++i) {
        even.push_back({(i + 0.5) * 100.0 / 48, true});
    }
    const prewarm_rule rule{.confidence = 0.2};
    const prewarm_plan plan = plan_prewarm(of(even), 0, {10, 10, 1}, rule);
    CHECK_THAT(plan.start, WithinAbs(50, 3));
}

TEST_CASE("after the early needs have not come, later ones are waited for cold") {
    std::vector<need_sample> two;
    for (int i = 0; i < 24; ++i) {
        two.push_back({2 + 0.01 * i, true});
        two.push_back({60 + 0.01 * i, true});
    }
    const warm_cost cost{1, 1, 1};
    const prewarm_plan first = plan_prewarm(of(two), 0, cost, {.confidence = 0.3});
    REQUIRE(first.pays());
    CHECK(first.start < 2);
    CHECK(first.stop < 10);
    const prewarm_plan second = plan_prewarm(of(two), first.stop, cost, {.confidence = 0.3});
    CHECK(second.start > 58);
    CHECK(second.start < 60);
}

TEST_CASE(
    "a plan is worth as much as its window, and no window is worth more than the row of plans") {
    for (std::uint64_t seed = 1; seed <= 200; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        std::uniform_real_distribution<double> share(0, 1);
        const std::vector<need_sample> samples = draw(random, 2 + seed % 40);
        const warm_cost cost{0.2 + 6 * share(random), 0.2 + 6 * share(random), 0.1 + share(random)};
        const prewarm_rule rule{.confidence = 0.02 + 0.9 * share(random), .overdue_slack = 0};
        const need_forecast forecast = of(samples);
        const prewarm_plan plan = plan_prewarm(forecast, 0, cost, rule);
        const auto mean = [&](double start, double stop) {
            double sum = 0;
            for (const need_sample& s : samples) {
                sum += value_of(s, start, stop, cost, rule.price());
            }
            return sum / static_cast<double>(samples.size());
        };
        double best = 0;
        for (int at = 0; at <= 60; ++at) {
            for (const need_sample& end : samples) {
                best = std::max(best, mean(0.8 * at, end.seconds));
            }
        }
        CHECK((plan.pays() || best <= 1e-9));
        if (plan.pays()) {
            CHECK_THAT(mean(plan.start, plan.stop), WithinAbs(plan.value, 1e-9));
            CHECK_THAT(plan.gain - rule.price() * plan.waste, WithinAbs(plan.value, 1e-9));
            // With the windows that follow: no window alone is worth more.
            double row = plan.value;
            double at = plan.stop;
            for (;;) {
                const prewarm_plan next = plan_prewarm(forecast, at, cost, rule);
                if (!next.pays()) {
                    break;
                }
                row += mean(next.start, next.stop);
                at = next.stop;
            }
            CHECK(row >= best - 1e-9);
            // Time without news changes nothing.
            const prewarm_plan later = plan_prewarm(forecast, 0.7 * plan.start, cost, rule);
            CHECK_THAT(later.start, WithinAbs(plan.start, 1e-6));
        }
    }
}

TEST_CASE("a dearer second of waste never starts more waste") {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const need_forecast forecast = of(draw(random, 100));
        double last = prewarm_plan::never;
        for (double k = 0.05; k < 1; k += 0.05) {
            // Of all windows, as seen from the beginning.
            double waste = 0;
            for (double at = 0;;) {
                const prewarm_rule rule{.confidence = k, .overdue_slack = 0};
                const prewarm_plan plan = plan_prewarm(forecast, at, {2, 2, 1}, rule);
                if (!plan.pays()) {
                    break;
                }
                double ahead = 0;
                for (const need_forecast::point& p : forecast.points()) {
                    ahead += p.seconds > at ? p.weight : 0;
                }
                waste += plan.waste * ahead;
                at = plan.stop;
            }
            CHECK(waste <= last + 1e-9);
            last = waste;
        }
    }
}

TEST_CASE("an overdue need is given up at its share of the forecast") {
    std::vector<need_sample> even;
    for (int i = 1; i <= 40; ++i) {
        even.push_back({1.0 * i, true});
    }
    const prewarm_rule rule{.confidence = 0.05, .give_up = 0.5, .overdue_slack = 0};
    const prewarm_plan plan = plan_prewarm(of(even), 0, {4, 4, 1}, rule);
    REQUIRE(plan.pays());
    CHECK(plan.stop <= 20.5 + 1e-9);
    CHECK(!plan_prewarm(of(even), 21, {4, 4, 1}, rule).pays());
}

TEST_CASE("what is warm is kept where that is worth more than warming it anew") {
    const warm_cost cost{5, 5, 1};
    const prewarm_rule rule{.confidence = 0.5};
    // 3 s of holding save 5 s, and in part what was spent on it.
    CHECK(plan_keep(of({{3, true}}), 0, 5, 5, cost, rule).start == 0);
    CHECK(plan_keep(of({{7, true}}), 0, 5, 5, cost, rule).start == 2);
    // 2 s of warming anew cost nothing, if those spent have been of use.
    CHECK(plan_keep(of({{7, true}}), 0, 5, 0, cost, rule).start == 2);
    CHECK(plan_keep(of({{4, true}}), 0, 5, 5, cost, rule).start == 0);
    CHECK(plan_keep(of({{90, true}}), 0, 5, 5, cost, rule).start > 80);  // warm it anew
    CHECK(!plan_keep(of({{3, false}}), 0, 5, 5, cost, rule).pays());
}

TEST_CASE("forecasts leave out what is no number and keep what they stand for") {
    const double nan = std::nan("");
    const need_forecast forecast =
        of({{nan, true}, {-3, true}, {4, false}, {8, true}, {nan, false}});
    REQUIRE(forecast.points().size() == 3);
    CHECK(forecast.points()[0].seconds == 0);
    CHECK_THAT(forecast.probability(), WithinAbs(2.0 / 3, 1e-12));
    CHECK_THAT(forecast.probability_by(5), WithinAbs(1.0 / 3, 1e-12));

    std::vector<need_sample> many(1000);
    double sum = 0;
    for (std::size_t i = 0; i < many.size(); ++i) {
        many[i] = {std::fmod(static_cast<double>(i) * 7.31, 11), i % 3 != 0};
        sum += many[i].used ? many[i].seconds : 0;
    }
    const need_forecast big = of(many);
    CHECK(big.points().size() == 2 * need_forecast::max_points_each);
    double mean = 0;
    double weight = 0;
    for (const need_forecast::point& p : big.points()) {
        mean += p.used ? p.weight * p.seconds : 0;
        weight += p.weight;
    }
    CHECK_THAT(weight, WithinAbs(1, 1e-9));
    CHECK_THAT(mean, WithinAbs(sum / 1000, 1e-9));
    CHECK(std::is_sorted(big.points().begin(), big.points().end(),
                         [](auto& a, auto& b) { return a.seconds < b.seconds; }));
}
