// SPDX-License-Identifier: Apache-2.0
#include <sluice/cost/split.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <sluice/cost/linear_cost_model.hpp>

namespace {

using Catch::Approx;
using sluice::choose_split;
using sluice::stage_backlog;
using sluice::stage_prices;
using sluice::stage_seconds;

// Ten blocks: each takes `load` to fetch, a tenth of it to copy, `compute` to compute.
auto ten_blocks(double load, double compute) {
    return [=](std::uint32_t k) {
        return stage_seconds{k * load, k * load / 10, (10 - k) * compute};
    };
}

}  // namespace

TEST_CASE("loads all when loading is fast, computes all when it is slow") {
    CHECK(choose_split(10, ten_blocks(0.01, 1)).load_blocks == 10);
    CHECK(choose_split(10, ten_blocks(1, 0.01)).load_blocks == 0);
    CHECK(choose_split(10, ten_blocks(1, 0.01)).ttft_s == Approx(0.1));
    CHECK(choose_split(0, ten_blocks(1, 0.01)).load_blocks == 0);
}

TEST_CASE("a long compute queue makes loading free, a long fetch queue makes it dear") {
    const auto times = ten_blocks(0.2, 0.1);
    CHECK(choose_split(10, times).load_blocks == 0);
    stage_backlog busy;
    busy.compute = 5;
    CHECK(choose_split(10, times, busy).load_blocks == 10);
    // Just enough for some of them.
    busy.compute = 1;
    const auto some = choose_split(10, times, busy);
    CHECK(some.load_blocks > 0);
    CHECK(some.load_blocks < 10);
    CHECK(some.ttft_s == Approx(1 + 0.1 * (10 - some.load_blocks)).margin(0.021));

    const auto quick = ten_blocks(0.05, 0.1);
    CHECK(choose_split(10, quick).load_blocks == 10);
    stage_backlog loading;
    loading.fetch = 3;
    CHECK(choose_split(10, quick, loading).load_blocks == 0);
    loading.fetch = 0;
    loading.copy = 3;
    CHECK(choose_split(10, quick, loading).load_blocks == 0);
}

TEST_CASE("prices move work off the stage that is full") {
    const auto times = ten_blocks(0.09, 0.1);
    CHECK(choose_split(10, times).load_blocks == 10);
    stage_prices prices;
    prices.fetch = sluice::shadow_price(0.8);
    const auto shy = choose_split(10, times, {}, prices);
    CHECK(shy.load_blocks == 0);
    CHECK(shy.ttft_s == Approx(1));
    // Both equally full: as if both were idle.
    prices.copy = prices.compute = prices.fetch;
    const auto even = choose_split(10, times, {}, prices);
    CHECK(even.load_blocks == 10);
    CHECK(even.priced_s == Approx(5 * even.ttft_s));
}

TEST_CASE("the more requests arrive, the shorter a computation that holds them up") {
    // By the prices alone it is all or nothing: computing costs half of what loading does.
    stage_prices prices;
    prices.fetch = prices.copy = 2;
    const auto times = ten_blocks(0.09, 0.1);
    CHECK(choose_split(10, times, {}, prices).load_blocks == 0);
    std::uint32_t before = 0;
    for (const double arrivals : {0.5, 1.0, 2.0, 4.0, 100.0}) {
        CAPTURE(arrivals);
        prices.arrivals_per_s = arrivals;
        const auto choice = choose_split(10, times, {}, prices);
        CHECK(choice.load_blocks >= before);
        before = choice.load_blocks;
        if (arrivals == 2.0) {
            // 0.18 k + 0.1 (10 - k) + (0.1 (10 - k))^2, but for what does not depend on k.
            CHECK(choice.load_blocks == 6);
        }
    }
    CHECK(before == 10);
}

TEST_CASE("the shadow price is 1 on an idle stage and bounded on a full one") {
    CHECK(sluice::shadow_price(0) == 1);
    CHECK(sluice::shadow_price(-1) == 1);
    CHECK(sluice::shadow_price(0.5) == 2);
    CHECK(sluice::shadow_price(1) == Approx(20));
    CHECK(sluice::shadow_price(std::numeric_limits<double>::quiet_NaN()) == 1);
}

TEST_CASE("stages overlap by block") {
    const stage_seconds own{1.0, 0.5, 0};
    // The last block's copy follows the fetch.
    CHECK(sluice::split_ttft(10, own, {}) == Approx(1.05));
    // Copying is slower: it follows the first fetch.
    CHECK(sluice::split_ttft(10, {0.5, 1.0, 0}, {}) == Approx(1.05));
    CHECK(sluice::split_ttft(1, own, {}) == Approx(1.5));
    CHECK(sluice::split_ttft(0, {0, 0, 2}, {9, 9, 1}) == Approx(3));
}

TEST_CASE("ties go to the larger k, and times that make no sense count as 0") {
    CHECK(choose_split(10, [](std::uint32_t) { return stage_seconds{}; }).load_blocks == 10);
    const double bad = std::numeric_limits<double>::quiet_NaN();
    CHECK(choose_split(10, [&](std::uint32_t) {
              return stage_seconds{bad, -1, bad};
          }).load_blocks == 10);
    stage_backlog equal;
    equal.compute = 1;
    // Loading 5 or fewer is hidden behind the queue, and computing is free.
    CHECK(choose_split(
              10,
              [](std::uint32_t k) {
                  return stage_seconds{0.2 * k, 0, 0};
              },
              equal)
              .load_blocks == 5);
}

TEST_CASE("the choice is the best of all, on random shapes") {
    for (std::uint64_t seed = 1; seed <= 50; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        std::uniform_real_distribution<double> unit(0, 1);
        const auto blocks = static_cast<std::uint32_t>(random() % 60);
        std::vector<stage_seconds> times(blocks + 1);
        for (auto& t : times) {
            t = {unit(random), unit(random), unit(random)};
        }
        const stage_backlog backlog{unit(random), unit(random), unit(random)};
        const stage_prices prices{1 + unit(random), 1 + unit(random), 1 + unit(random),
                                  unit(random)};
        const auto choice = choose_split(
            blocks, [&](std::uint32_t k) { return times[k]; }, backlog, prices);
        for (std::uint32_t k = 0; k <= blocks; ++k) {
            const double priced =
                sluice::split_ttft(k,
                                   {times[k].fetch * prices.fetch, times[k].copy * prices.copy,
                                    times[k].compute * prices.compute},
                                   backlog) +
                prices.arrivals_per_s * times[k].compute * times[k].compute * prices.compute / 2;
            REQUIRE(choice.priced_s <= priced);
            REQUIRE((priced > choice.priced_s || k <= choice.load_blocks));
        }
    }
}

TEST_CASE("shapes go through the cost model") {
    sluice::linear_cost_model model;
    model.set_load(sluice::stage_id::fetch, {1e-3, 1e-9, 0, 1});
    model.set_load(sluice::stage_id::copy, {1e-4, 1e-10, 0, 1});
    model.set_compute({1e-3, 1e-4, 0, 1});
    // Eight blocks of 16 tokens and 2 MiB, the first two in L2 already; 8 tokens are not cached.
    std::vector<std::uint64_t> tokens, fetch, copy;
    for (std::uint64_t k = 0; k <= 8; ++k) {
        tokens.push_back(16 * k);
        fetch.push_back(k < 2 ? 0 : (k - 2) << 21);
        copy.push_back(k << 21);
    }
    const sluice::split_shapes shapes{tokens, fetch, {}, copy, {}, 136};
    // A block loads in 2.3 ms and computes in 1.6: what is near is loaded, what is far computed.
    const auto far = choose_split(model, shapes);
    CHECK(far.load_blocks == 2);
    CHECK(far.ttft_s == Approx(1e-4 + 2 * 2.097152e-4 + 1e-3 + 104 * 1e-4));
    // With a loaded compute stage all is.
    stage_backlog backlog;
    backlog.compute = 1;
    CHECK(choose_split(model, shapes, backlog).load_blocks == 8);
}
