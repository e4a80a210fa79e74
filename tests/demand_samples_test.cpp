// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <sluice/demand/sample_set.hpp>

#include "../src/workload/random.hpp"

using Catch::Approx;
using sluice::demand::sample_set;

namespace {

sample_set set_of(std::vector<double> samples) { return sample_set(samples); }

/// By the definition: the least expected time invested per job that ends, over all D.
double gittins_by_definition(const std::vector<double>& samples, double a) {
    std::vector<double> left;
    for (const double s : samples) {
        if (s > a) {
            left.push_back(s - a);
        }
    }
    double best = std::numeric_limits<double>::infinity();
    for (const double d : left) {
        double invested = 0;
        double ended = 0;
        for (const double x : left) {
            invested += std::min(x, d);
            ended += x <= d ? 1 : 0;
        }
        best = std::min(best, invested / ended);
    }
    return best;
}

}  // namespace

TEST_CASE("ranks of small sets are those worked out by hand") {
    CHECK(set_of({1, 1, 1, 10}).gittins(0) == Approx(4.0 / 3));
    CHECK(set_of({1, 1, 1, 10}).gittins_artifact(0) == Approx(4.0 / 3));
    CHECK(set_of({2, 4, 6, 8}).gittins(0) == Approx(5));
    CHECK(set_of({2, 4, 6, 8}).gittins_artifact(0) == Approx(5));
    CHECK(set_of({2, 4, 6, 8}).gittins(3) == Approx(3));
    CHECK(set_of({2, 4, 6, 8}).gittins_artifact(3) == Approx(3));
    // Here time invested in vain makes a difference.
    CHECK(set_of({1, 2, 3, 20}).gittins(0) == Approx(3));
    CHECK(set_of({20, 3, 1, 2}).gittins_artifact(0) == Approx(8.0 / 3));
}

TEST_CASE("the rank is the index by its definition") {
    for (std::uint64_t seed = 0; seed < 60; ++seed) {
        CAPTURE(seed);
        sluice::workload::random_source random(seed);
        std::vector<double> samples(random.below(80) + 1);
        for (double& s : samples) {
            // Some equal, some far out.
            s = random.below(3) == 0 ? static_cast<double>(random.below(6))
                                     : random.log_normal(20, 1.5);
        }
        const sample_set set(samples);
        for (int i = 0; i < 20; ++i) {
            const double a = random.unit() * set.max() * 0.99;
            if (set.cdf(a) < 1) {
                CHECK(set.gittins(a) == Approx(gittins_by_definition(samples, a)).epsilon(1e-9));
            }
        }
    }
}

TEST_CASE("beyond all samples the rank grows with what was had") {
    const sample_set set = set_of({2, 4, 6, 8});
    for (const double a : {8.0, 9.0, 30.0, 1e6}) {
        CHECK(set.gittins(a) == a);
        CHECK(set.mean_remaining(a) == a);
        CHECK(set.quantile_remaining(0.9, a) == a);
        CHECK(set.gittins_artifact(a) == 0);  // as published
    }
    // Nothing is known: never 0, which would go before everybody.
    CHECK(sample_set().gittins(0) > 0);
    CHECK(sample_set().gittins(5) == 5);
    CHECK(set_of({0, 0}).gittins(0) > 0);
}

TEST_CASE("what is left is that of the samples that are larger") {
    const sample_set set = set_of({8, 2, 6, 4});
    CHECK(set.size() == 4);
    CHECK(set.mean() == Approx(5));
    CHECK(set.variance() == Approx(5));
    CHECK(set.max() == 8);
    CHECK(set.cdf(1.9) == 0);
    CHECK(set.cdf(4) == Approx(0.5));
    CHECK(set.cdf(8) == 1);
    CHECK(set.quantile(0) == 2);
    CHECK(set.quantile(0.5) == 4);
    CHECK(set.quantile(0.51) == 6);
    CHECK(set.quantile(1) == 8);
    CHECK(set.mean_remaining(0) == Approx(5));
    CHECK(set.mean_remaining(4) == Approx(3));
    CHECK(set.quantile_remaining(0.5, 4) == Approx(2));
    CHECK(set.quantile_remaining(0.9, 4) == Approx(4));
}

TEST_CASE("what is no number of seconds is left out of a set") {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    constexpr double infinity = std::numeric_limits<double>::infinity();
    const sample_set set = set_of({nan, 3, -1, infinity, 1});
    CHECK(set.size() == 2);
    CHECK(set.mean() == Approx(2));
    // Asked with such a number it still answers with one.
    for (const double a : {nan, infinity, -infinity, -1.0}) {
        CHECK_FALSE(std::isnan(set.gittins(a)));
        CHECK_FALSE(std::isnan(set.quantile(a)));
        CHECK_FALSE(std::isnan(set.cdf(a)));
    }
}
