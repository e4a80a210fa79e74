// SPDX-License-Identifier: Apache-2.0
#include <sluice/cost/least_squares.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

namespace {

using Catch::Approx;
using sluice::fit_least_squares;
using sluice::fit_sample;
using sluice::recursive_least_squares;
using sluice::regressors;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

double dot(const regressors& a, const regressors& b) {
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
}

}  // namespace

TEST_CASE("an exact line is found whatever the sizes of its columns") {
    const regressors truth = {3e-4, 2e-10, 5e-6};
    std::vector<fit_sample> samples;
    std::mt19937_64 random(1);
    for (int i = 0; i < 50; ++i) {
        const regressors x = {1, static_cast<double>(random() % 4'000'000'000),
                              static_cast<double>(random() % 1000)};
        samples.push_back({x, dot(truth, x)});
    }
    for (const bool non_negative : {false, true}) {
        const auto fit = fit_least_squares(samples, 3, non_negative);
        REQUIRE(fit.ok());
        CHECK(fit->used == 50);
        CHECK(fit->r2 == Approx(1).margin(1e-9));
        for (std::size_t i = 0; i < 3; ++i) {
            CHECK(fit->beta[i] == Approx(truth[i]).epsilon(1e-5));
        }
    }
}

TEST_CASE("noise lowers r2 and does not bias the slope") {
    std::mt19937_64 random(2);
    std::normal_distribution<double> noise(0, 20);
    std::vector<fit_sample> samples;
    for (int i = 0; i < 4000; ++i) {
        const double x = i % 100;
        samples.push_back({{1, x, 0}, 5 + 2 * x + noise(random)});
    }
    const auto fit = fit_least_squares(samples, 2);
    REQUIRE(fit.ok());
    CHECK(fit->beta[0] == Approx(5).margin(2.5));
    CHECK(fit->beta[1] == Approx(2).margin(0.05));
    // Var(2x) is 3333, of the noise 400.
    CHECK(fit->r2 == Approx(3333.0 / 3733.0).margin(0.02));
}

TEST_CASE("collinear regressors share the slope") {
    std::vector<fit_sample> samples;
    for (int i = 1; i <= 20; ++i) {
        samples.push_back({{1, i * 65536.0, static_cast<double>(i)}, 1e-3 + i * 1e-4});
    }
    const auto fit = fit_least_squares(samples, 3, false);
    REQUIRE(fit.ok());
    CHECK(fit->r2 > 0.999999);
    CHECK(dot(fit->beta, {1, 30 * 65536.0, 30}) == Approx(4e-3).epsilon(1e-4));
    CHECK(std::abs(fit->beta[2]) < 1e-3);
}

TEST_CASE("the best fit without negative coefficients is not the other one cut off") {
    // y falls with the second regressor; without it the first has to explain the mean.
    const std::vector<fit_sample> samples = {{{1, 0, 0}, 10}, {{1, 1, 0}, 8}, {{1, 2, 0}, 6}};
    const auto free = fit_least_squares(samples, 2, false);
    const auto bound = fit_least_squares(samples, 2, true);
    REQUIRE((free.ok() && bound.ok()));
    CHECK(free->beta[1] == Approx(-2));
    CHECK(bound->beta[1] == 0);
    CHECK(bound->beta[0] == Approx(8));
    CHECK(bound->r2 == Approx(0).margin(1e-9));
}

TEST_CASE("samples that cannot be used are left out") {
    std::vector<fit_sample> samples = {{{1, 1, 0}, 3}, {{1, 2, 0}, 5}};
    samples.push_back({{1, not_a_number, 0}, 3});
    samples.push_back({{1, 4, 0}, infinity});
    samples.push_back({{1, 4, 0}, 100, 0});
    samples.push_back({{1, 4, 0}, 100, not_a_number});
    samples.push_back({{1, 3, not_a_number}, 7});  // the third is not asked for
    const auto fit = fit_least_squares(samples, 2);
    REQUIRE(fit.ok());
    CHECK(fit->used == 3);
    CHECK(fit->beta[0] == Approx(1));
    CHECK(fit->beta[1] == Approx(2));

    CHECK(fit_least_squares({}, 2).status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(fit_least_squares(samples, 0).status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(fit_least_squares(samples, 4).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("a constant y is explained by a constant") {
    const std::vector<fit_sample> samples(5, {{1, 0, 0}, 0.1});
    const auto fit = fit_least_squares(samples, 2);
    REQUIRE(fit.ok());
    CHECK(fit->beta[0] == Approx(0.1));
    CHECK(fit->r2 == 1);
}

TEST_CASE("recursive fit finds a line and follows it when it drifts") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        std::normal_distribution<double> noise(0, 0.05);
        std::uniform_real_distribution<double> size(0.1, 4);
        recursive_least_squares fit(2, {1, 1, 1}, {0.5, 0.5}, {.prior_covariance = 100});
        regressors truth = {0.2, 1, 0};
        const auto learn = [&](int samples) {
            for (int i = 0; i < samples; ++i) {
                const regressors x = {1, size(random), 0};
                const double y = dot(truth, x);
                REQUIRE(fit.update(x, y * (1 + noise(random)), y));
            }
        };
        learn(300);
        CHECK(fit.predict({1, 2, 0}) == Approx(2.2).epsilon(0.05));
        CHECK(fit.beta()[1] == Approx(1).epsilon(0.1));
        truth[1] = 3;  // a third of the bandwidth
        learn(150);
        CHECK(fit.predict({1, 2, 0}) == Approx(6.2).epsilon(0.1));
    }
}

TEST_CASE("without variety the covariance does not wind up and the fit stays put") {
    recursive_least_squares fit(3, {1, 1, 1}, {1, 1, 1},
                                {.forgetting = 0.9, .prior_covariance = 5, .covariance_bound = 10});
    for (int i = 0; i < 20'000; ++i) {
        fit.update({1, 1, 1}, 3 + (i % 2 == 0 ? 0.05 : -0.05), 3);
        for (std::size_t j = 0; j < 3; ++j) {
            REQUIRE(fit.covariance(j, j) > 0);
            REQUIRE(fit.covariance(j, j) <= 10 + 1e-9);
        }
    }
    CHECK(fit.predict({1, 1, 1}) == Approx(3).epsilon(0.05));
    // The first sample of another kind does not throw it.
    fit.update({1, 2, 1}, 4, 4);
    CHECK(fit.predict({1, 1, 1}) == Approx(3).epsilon(0.1));
    CHECK(fit.predict({1, 2, 1}) == Approx(4).epsilon(0.1));
}

TEST_CASE("an outlier moves little") {
    recursive_least_squares fit(2, {1, 1, 1}, {0.2, 1, 0});
    for (int i = 0; i < 200; ++i) {
        const double x = 0.5 + i % 4;
        fit.update({1, x, 0}, (0.2 + x) * (i % 2 == 0 ? 1.02 : 0.98), 0.2 + x);
    }
    const double before = fit.predict({1, 2, 0});
    fit.update({1, 2, 0}, 1000, 2.2);
    CHECK(fit.predict({1, 2, 0}) == Approx(before).epsilon(0.02));
}

TEST_CASE("samples that are not finite are ignored") {
    recursive_least_squares fit(2, {1, 1, 1}, {1, 2, 0});
    CHECK_FALSE(fit.update({1, not_a_number, 0}, 1));
    CHECK_FALSE(fit.update({1, infinity, 0}, 1));
    CHECK_FALSE(fit.update({1, 1, 0}, not_a_number));
    CHECK_FALSE(fit.update({1, 1, 0}, -infinity));
    CHECK_FALSE(fit.update({1, 1, 0}, 1, 0));
    CHECK_FALSE(fit.update({1, 1, 0}, 1, not_a_number));
    CHECK_FALSE(fit.update({1, 1e300, 0}, 1));
    CHECK(fit.updates() == 0);
    CHECK(fit.beta() == regressors{1, 2, 0});
    CHECK(fit.update({1, 1, not_a_number}, 3));  // the third is not its own
}

TEST_CASE("coefficients stay non-negative and finite whatever is observed") {
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        std::uniform_real_distribution<double> exponent(-6, 6);
        recursive_least_squares fit(3, {1, 1e6, 1e2}, {0.1, 1e-7, 1e-3}, {.prior_covariance = 1e3});
        for (int i = 0; i < 5000; ++i) {
            const double y = std::pow(10, exponent(random));
            fit.update({1, std::pow(10, 6 + exponent(random)), std::pow(10, exponent(random))}, y,
                       std::max(y, 1e-3));
            for (const double b : fit.beta()) {
                REQUIRE(std::isfinite(b));
                REQUIRE(b >= 0);
            }
        }
    }
}
