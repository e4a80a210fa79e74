// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch_test_macros.hpp>

#include "bench/demand_bench.hpp"

TEST_CASE("the bench of demand measures each number of applications") {
    sluice::bench::demand_bench_options options;
    options.live = {10, 50};
    options.events = 500;
    options.window = 50;
    for (const char* policy : {"gittins", "mean_srpt", "app_fifo"}) {
        options.policy = policy;
        const auto rows = sluice::bench::run_demand_bench(options);
        REQUIRE(rows.size() == 2);
        CHECK(rows[0].live_applications == 10);
        CHECK(rows[1].live_applications == 50);
        for (const auto& row : rows) {
            CHECK(row.event_us_p50 > 0);
            CHECK(row.event_us_p99 >= row.event_us_p50);
            CHECK(row.learn_us_p50 > 0);
        }
    }
    options.policy = "no such policy";
    CHECK(sluice::bench::run_demand_bench(options).empty());
}
