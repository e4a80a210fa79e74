// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>

#include <absl/status/status.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/base/status.hpp>

#include "../src/experiment/kv_model.hpp"
#include "../src/experiment/profile.hpp"
#include "support/temp_dir.hpp"

using namespace sluice::experiment;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using sluice::stage_id;

TEST_CASE("kv_model: bytes per token of the public configurations", "[experiment]") {
    CHECK(load_kv_model("llama3.1-8b").value().kv_bytes_per_token() == 131'072);
    CHECK(load_kv_model("qwen2.5-14b").value().kv_bytes_per_token() == 196'608);
}

TEST_CASE("profile: all built-in ones are good", "[experiment]") {
    for (const std::string& name : builtin_profiles()) {
        CAPTURE(name);
        const auto profile = load_profile(name);
        REQUIRE(profile.ok());
        CHECK(profile->name == name);
        CHECK_FALSE(profile->reasons.empty());
        for (const std::string& model : builtin_kv_models()) {
            CHECK(profile->for_model(load_kv_model(model).value()).ok());
        }
    }
}

TEST_CASE("profile: calvo-testbed is what its reasons say", "[experiment]") {
    const hardware_profile p = load_profile("calvo-testbed").value();
    const auto model = load_kv_model("llama3.1-8b").value();
    const std::uint64_t block_bytes = model.kv_bytes_per_token() * p.block_tokens;
    CHECK(block_bytes == 32 << 20);
    const auto cost = profiled_cost_model(p, block_bytes);
    REQUIRE(cost.ok());
    // The mean context is 28300 / 256 blocks.
    const double blocks = 28'300.0 / 256;
    const auto load = [&](stage_id stage) {
        const double hundred = (*cost)->predict(stage, {block_bytes * 100, 100, 0, 0});
        const double two_hundred = (*cost)->predict(stage, {block_bytes * 200, 200, 0, 0});
        return hundred + (two_hundred - hundred) * (blocks - 100) / 100;
    };
    const double fetch = load(stage_id::fetch);
    const double copy = load(stage_id::copy);
    const double compute = (*cost)->predict(stage_id::compute, {0, 0, 61, 28'300});
    const double whole = fetch + copy + compute;
    CHECK_THAT(whole, WithinRel(0.75, 0.002));
    CHECK_THAT(fetch / whole, WithinAbs(0.492, 0.001));
    CHECK_THAT(copy / whole, WithinAbs(0.435, 0.001));
    CHECK_THAT(compute / whole, WithinAbs(0.073, 0.001));
}
