// SPDX-License-Identifier: Apache-2.0
#include <sluice/cost/linear_cost_model.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <sluice/base/bytes.hpp>

namespace {

using Catch::Approx;
using sluice::cost_form;
using sluice::cost_sample;
using sluice::demand_shape;
using sluice::linear_cost_model;
using sluice::linear_cost_options;
using sluice::stage_id;

constexpr double infinity = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

demand_shape load_shape(std::uint64_t bytes, std::uint64_t descriptors) {
    return {.bytes = bytes, .descriptors = descriptors};
}
demand_shape compute_shape(std::uint64_t query, std::uint64_t context) {
    return {.query_tokens = query, .context_tokens = context};
}

}  // namespace

TEST_CASE("predictions follow the two formulas") {
    linear_cost_model model;
    model.set_load(stage_id::fetch, {1e-3, 2e-9, 3e-6, 1});
    model.set_compute({5e-3, 1e-4, 2e-9, 1});
    CHECK(model.predict(stage_id::fetch, load_shape(1'000'000, 100)) == Approx(1e-3 + 2e-3 + 3e-4));
    CHECK(model.predict(stage_id::compute, compute_shape(100, 1000)) ==
          Approx(5e-3 + 1e-2 + 2e-9 * 100 * 1050));
    CHECK(model.load(stage_id::fetch).per_byte_s == Approx(2e-9));
    CHECK(model.compute().c2_s == Approx(2e-9));
    CHECK(model.compute().r2 == 1);
}

TEST_CASE("nothing to do costs nothing") {
    const linear_cost_model model;
    for (const stage_id stage : {stage_id::lookup, stage_id::fetch, stage_id::copy,
                                 stage_id::compute, stage_id::put, stage_id::first_custom}) {
        CHECK(model.predict(stage, {}) == 0);
    }
    CHECK(model.predict(stage_id::compute, compute_shape(0, 1000)) == 0);
    CHECK(model.predict(stage_id::fetch, load_shape(1, 1)) > 0);
}

TEST_CASE("the calvo preset has two lines and keeps them") {
    const auto options = linear_cost_options::preset("calvo");
    REQUIRE(options);
    CHECK(options->form == cost_form::calvo);
    CHECK(linear_cost_options::preset("linear")->form == cost_form::full);
    CHECK_FALSE(linear_cost_options::preset("quadratic"));

    linear_cost_model model(*options);
    CHECK(model.compute().c2_s == 0);
    model.set_load(stage_id::fetch, {1e-3, 2e-9, 3e-6, 1});
    model.set_compute({5e-3, 1e-4, 2e-9, 1});
    CHECK(model.load(stage_id::fetch).per_descriptor_s == 0);
    for (std::uint64_t i = 1; i < 200; ++i) {
        model.observe(stage_id::fetch, load_shape(i << 20, i * i), 1e-3 * static_cast<double>(i));
        model.observe(stage_id::compute, compute_shape(i, 100 * i),
                      1e-6 * static_cast<double>(i * i));
    }
    CHECK(model.load(stage_id::fetch).per_descriptor_s == 0);
    CHECK(model.compute().c2_s == 0);
    CHECK(model.compute().c1_s > 0);
}

TEST_CASE("a guess is given up for what is observed") {
    linear_cost_model model;
    std::mt19937_64 random(1);
    std::normal_distribution<double> noise(0, 0.05);
    // A machine fifty times slower than the guess.
    for (int i = 0; i < 100; ++i) {
        const std::uint64_t q = 16 + random() % 2000;
        const std::uint64_t context = random() % 8000;
        const double q_context = static_cast<double>(q) * static_cast<double>(context + q / 2);
        const double seconds = 0.01 + 5e-3 * static_cast<double>(q) + 1e-7 * q_context;
        model.observe(stage_id::compute, compute_shape(q, context), seconds * (1 + noise(random)));
    }
    CHECK(model.predict(stage_id::compute, compute_shape(1000, 4000)) ==
          Approx(0.01 + 5 + 0.45).epsilon(0.15));
    CHECK(model.accuracy(stage_id::compute).samples == 100);
    CHECK(model.accuracy(stage_id::compute).relative_error < 0.2);
}

TEST_CASE("the relative error is a running mean over actual times") {
    linear_cost_options options;
    options.refit = false;
    options.error_smoothing = 0.5;
    linear_cost_model model(options);
    model.set_load(stage_id::copy, {1, 0, 0, 1});
    model.observe(stage_id::copy, load_shape(1, 1), 2);
    CHECK(model.accuracy(stage_id::copy).relative_error == Approx(0.5));
    CHECK(model.accuracy(stage_id::copy).predicted_s == Approx(1));
    CHECK(model.accuracy(stage_id::copy).actual_s == 2);
    model.observe(stage_id::copy, load_shape(1, 1), 1);
    CHECK(model.accuracy(stage_id::copy).relative_error == Approx(0.25));
    model.observe(stage_id::copy, load_shape(1, 1), 0);
    model.observe(stage_id::copy, load_shape(1, 1), -1);
    model.observe(stage_id::copy, load_shape(1, 1), not_a_number);
    model.observe(stage_id::copy, load_shape(1, 1), infinity);
    model.observe(stage_id::copy, {}, 1);
    CHECK(model.accuracy(stage_id::copy).samples == 2);
    CHECK(model.accuracy(stage_id::copy).ignored == 5);
    // Nothing was learnt.
    CHECK(model.load(stage_id::copy).fixed_s == Approx(1));
}

TEST_CASE("the generation grows with material changes only") {
    linear_cost_model model;
    model.set_load(stage_id::fetch, {1e-3, 1e-9, 0, 1});
    const auto seconds = [](std::uint64_t bytes, double bandwidth) {
        return 1e-3 + static_cast<double>(bytes) / bandwidth;
    };
    std::mt19937_64 random(3);
    std::normal_distribution<double> noise(0, 0.02);
    const std::uint64_t set = model.generation();
    CHECK(set > 0);
    const auto run = [&](double bandwidth) {
        for (int i = 0; i < 400; ++i) {
            const std::uint64_t bytes = sluice::mib * (1 + random() % 64);
            model.observe(stage_id::fetch, load_shape(bytes, bytes >> 16),
                          seconds(bytes, bandwidth) * (1 + noise(random)));
        }
    };
    run(1e9);
    CHECK(model.generation() == set);
    run(0.5e9);
    const std::uint64_t moved = model.generation();
    // From 1 to 2 in steps of a tenth or more.
    CHECK(moved > set);
    CHECK(moved <= set + 8);
    run(0.5e9);
    CHECK(model.generation() == moved);
    CHECK(model.predict(stage_id::fetch, load_shape(32 * sluice::mib, 512)) ==
          Approx(seconds(32 * sluice::mib, 0.5e9)).epsilon(0.05));
}

TEST_CASE("refitting can be switched") {
    linear_cost_model model;
    model.set_load(stage_id::fetch, {1e-3, 1e-9, 0, 1});
    model.set_refit(false);
    const std::uint64_t generation = model.generation();
    for (int i = 0; i < 100; ++i) {
        model.observe(stage_id::fetch, load_shape(1'000'000, 1), 1);
    }
    CHECK(model.generation() == generation);
    CHECK(model.load(stage_id::fetch).per_byte_s == Approx(1e-9));
    CHECK(model.accuracy(stage_id::fetch).relative_error > 0.9);
    // Five hundred times slower than was thought.
    model.set_refit(true);
    for (int i = 0; i < 200; ++i) {
        model.observe(stage_id::fetch, load_shape(1'000'000, 1), 1);
    }
    CHECK(model.generation() > generation);
    CHECK(model.predict(stage_id::fetch, load_shape(1'000'000, 1)) == Approx(1).epsilon(0.05));
}

TEST_CASE("custom stages cost nothing until they are seen, then a load") {
    const auto stage = static_cast<stage_id>(20);
    linear_cost_model model;
    CHECK(model.predict(stage, load_shape(1000, 1)) == 0);
    CHECK(model.load(stage).per_byte_s == 0);
    for (std::uint64_t i = 1; i <= 200; ++i) {
        const std::uint64_t bytes = 1'000'000 * (1 + i % 7);
        model.observe(stage, load_shape(bytes, 1), 1e-2 + 1e-8 * static_cast<double>(bytes));
    }
    CHECK(model.predict(stage, load_shape(4'000'000, 1)) == Approx(5e-2).epsilon(0.05));
    model.set_load(static_cast<stage_id>(255), {1, 0, 0, 1});
    CHECK(model.predict(static_cast<stage_id>(255), load_shape(1, 1)) == Approx(1));
}

TEST_CASE("coefficients that make no sense count as 0, and predictions are never negative") {
    linear_cost_model model;
    model.set_load(stage_id::fetch, {-1, not_a_number, infinity, 1});
    CHECK(model.predict(stage_id::fetch, load_shape(1000, 10)) == 0);
    model.set_load(stage_id::fetch, {1e-3, 1e-9, 1e-6, 1});
    std::mt19937_64 random(7);
    for (int i = 0; i < 3000; ++i) {
        const auto shape =
            load_shape(1 + random() % (1ULL << (random() % 40)), 1 + random() % 5000);
        model.observe(stage_id::fetch, shape, std::pow(10, static_cast<double>(random() % 9) - 7));
        const double predicted =
            model.predict(stage_id::fetch, load_shape(random() % 100'000'000, 7));
        REQUIRE(std::isfinite(predicted));
        REQUIRE(predicted >= 0);
    }
    const auto c = model.load(stage_id::fetch);
    CHECK((c.fixed_s >= 0 && c.per_byte_s >= 0 && c.per_descriptor_s >= 0));
}

TEST_CASE("offline fits give back the coefficients of clean measurements") {
    std::vector<cost_sample> loads;
    std::vector<cost_sample> computes;
    for (std::uint64_t i = 1; i <= 40; ++i) {
        const std::uint64_t bytes = (1 + i * 37 % 50) << 18;
        const std::uint64_t pieces = 1 + i * 13 % 29;
        loads.push_back({load_shape(bytes, pieces), 2e-4 + 1e-9 * static_cast<double>(bytes) +
                                                        4e-6 * static_cast<double>(pieces)});
        const std::uint64_t q = 16 * i;
        const std::uint64_t context = 1000 * (i % 5);
        computes.push_back({compute_shape(q, context),
                            1e-3 + 1e-4 * static_cast<double>(q) +
                                3e-9 * static_cast<double>(q) *
                                    (static_cast<double>(context) + static_cast<double>(q) / 2)});
    }
    loads.push_back({load_shape(5, 5), not_a_number});
    loads.push_back({{}, 5});
    const auto load = sluice::fit_load(loads);
    REQUIRE(load.ok());
    CHECK(load->fixed_s == Approx(2e-4).epsilon(1e-4));
    CHECK(load->per_byte_s == Approx(1e-9).epsilon(1e-4));
    CHECK(load->per_descriptor_s == Approx(4e-6).epsilon(1e-4));
    CHECK(load->r2 == Approx(1));
    const auto compute = sluice::fit_compute(computes);
    REQUIRE(compute.ok());
    CHECK(compute->c0_s == Approx(1e-3).epsilon(1e-3));
    CHECK(compute->c1_s == Approx(1e-4).epsilon(1e-3));
    CHECK(compute->c2_s == Approx(3e-9).epsilon(1e-3));
    const auto line = sluice::fit_load(loads, cost_form::calvo);
    REQUIRE(line.ok());
    CHECK(line->per_descriptor_s == 0);
    CHECK(line->r2 < 1);
    CHECK(sluice::fit_load({}).status().code() == absl::StatusCode::kInvalidArgument);
}
