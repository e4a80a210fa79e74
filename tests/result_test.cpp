// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <sluice/observe/result.hpp>

using Catch::Matchers::WithinAbs;
using sluice::request_outcome;

namespace {

sluice::request_result request(double ttft, double multiple, double t0,
                               request_outcome outcome = request_outcome::computed) {
    sluice::request_result r;
    r.ttft_s = ttft;
    r.deadline_multiple = multiple;
    r.t0_s = t0;
    r.outcome = outcome;
    return r;
}

}  // namespace

TEST_CASE("result: percentiles interpolate between ranks", "[result]") {
    const std::vector<double> four{1, 2, 3, 4};
    CHECK(sluice::percentile(four, 0) == 1);
    CHECK(sluice::percentile(four, 50) == 2.5);
    CHECK_THAT(sluice::percentile(four, 95), WithinAbs(3.85, 1e-12));
    CHECK(sluice::percentile(four, 100) == 4);
    CHECK(sluice::percentile(four, 400) == 4);
    CHECK(sluice::percentile(four, -1) == 1);
    CHECK(sluice::percentile(std::vector<double>{7}, 99) == 7);
    CHECK(sluice::percentile({}, 50) == 0);
    CHECK(sluice::mean({}) == 0);
    CHECK(sluice::mean(four) == 2.5);
}

TEST_CASE("result: TTFT is of the requests that have one", "[result]") {
    sluice::run_result run;
    run.requests = {request(3, 2, 1), request(1, 2, 1), request(9, 2, 1, request_outcome::failed),
                    request(std::nan(""), 2, 1), request(2, 2, 1)};
    const sluice::ttft_summary t = sluice::summarize_ttft(run);
    CHECK(t.count == 3);
    CHECK(t.mean == 2);
    CHECK(t.p50 == 2);
    CHECK(sluice::sorted_ttft(run) == std::vector<double>{1, 2, 3});
    CHECK(sluice::summarize_ttft({}).count == 0);
}

TEST_CASE("result: a request without a first token missed its deadline", "[result]") {
    sluice::run_result run;
    run.requests = {request(2, 2, 1),  // just made it
                    request(2.001, 2, 1),
                    request(0, 2, 1, request_outcome::unfinished),
                    request(0, 4, 1, request_outcome::rejected),
                    request(3.9, 4, 1),
                    request(1, 0, 1)};  // has no deadline
    CHECK_THAT(sluice::attainment(run, 2).value(), WithinAbs(1.0 / 3, 1e-12));
    CHECK(sluice::attainment(run, 4).value() == 0.5);
    CHECK_FALSE(sluice::attainment(run, 8).has_value());
    CHECK(sluice::attainment(run).value() == 0.4);
    CHECK_FALSE(sluice::attainment({}).has_value());
}

TEST_CASE("result: labels tell rows apart", "[result]") {
    sluice::run_result run;
    run.config = "pipelined";
    run.policy = "sjf";
    CHECK(run.label() == "pipelined sjf");
    run.split = true;
    CHECK(run.label() == "pipelined sjf split");
    run.config = "recompute";
    CHECK(run.label() == "recompute");
}

TEST_CASE("result: spans are bounded", "[result]") {
    sluice::run_result run;
    run.max_spans = 2;
    for (std::uint64_t i = 0; i < 5; ++i) {
        run.add_span({"fetch", i, 0, 1, 0});
    }
    CHECK(run.spans.size() == 2);
    CHECK(run.spans_dropped == 3);
}

TEST_CASE("result: stages by name", "[result]") {
    sluice::run_result run;
    run.stages = {{"fetch", 0.75}};
    CHECK(run.busy("fetch") == 0.75);
    CHECK(run.busy("copy") == 0);
    CHECK(run.stage("copy") == nullptr);
}

TEST_CASE("result: lanes hold no overlaps and are few", "[result]") {
    const std::vector<sluice::stage_span> spans{{"fetch", 1, 0, 2},   {"fetch", 2, 1, 3},
                                                {"copy", 1, 1, 2},    {"fetch", 3, 2, 4},
                                                {"fetch", 4, 0.5, 5}, {"fetch", 5, 3, 4}};
    const std::vector<std::uint32_t> lanes = sluice::assign_lanes(spans);
    CHECK(lanes == std::vector<std::uint32_t>{0, 2, 0, 0, 1, 2});
    CHECK(sluice::assign_lanes({}).empty());
}
