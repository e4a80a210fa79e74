// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstdint>
#include <string>

#include <absl/status/status.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/base/status.hpp>

#include "../src/experiment/load.hpp"
#include "support/real_trace.hpp"
#include "support/temp_dir.hpp"

using namespace sluice::experiment;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinRel;

TEST_CASE("load: the built-in workloads have the published means", "[experiment]") {
    const auto& [name, context, query, cv] = GENERATE(table<std::string, double, double, double>(
        {{"loogle", 28'100, 28, 0.5}, {"icl", 28'300, 61, 0.3}, {"code", 38'300, 209, 0.8}}));
    const auto made =
        make_load({.workload = name, .seed = 3, .requests = 20'000, .qps = 1.2}).value();
    CHECK(made.name == name);
    CHECK(made.distinct);
    double contexts = 0, queries = 0, squares = 0, blocks = 0;
    for (const load_request& r : made.requests) {
        const double cached = r.cached_blocks * 256.0;
        contexts += cached;
        squares += cached * cached;
        queries += static_cast<double>(r.prompt_tokens) - cached;
        blocks += static_cast<double>(r.block_ids.size());
    }
    contexts /= 20'000;
    CHECK_THAT(contexts, WithinRel(context, 0.01));
    CHECK_THAT(queries / 20'000, WithinRel(query, 0.01));
    CHECK_THAT(std::sqrt(squares / 20'000 - contexts * contexts) / contexts, WithinRel(cv, 0.12));
    CHECK_THAT(19'999 / made.requests.back().arrival_s, WithinRel(1.2, 0.02));
}

TEST_CASE("load: the real trace", "[experiment][real]") {
    SLUICE_REAL_TRACE_OR_SKIP(path);
    const auto made = make_load({.workload = "mooncake", .trace = path, .requests = 0});
    REQUIRE(made.ok());
    CHECK(made->requests.size() == 12'031);
    CHECK_FALSE(made->distinct);
    CHECK(made->block_tokens == 512);
}
