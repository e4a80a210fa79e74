// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <nlohmann/json.hpp>

#include <sluice/base/bytes.hpp>

#include "../src/bench/fetch_bench.hpp"
#include "../src/bench/fetch_plan.hpp"
#include "support/temp_dir.hpp"

using namespace sluice;
using namespace sluice::bench;

namespace {

/// The exit code of the command.
int run_command(const std::string& arguments) {
    const std::string line = std::string(SLUICE_COMMAND) + " bench fetch " + arguments;
    const int status = std::system(line.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

nlohmann::json read_json(const std::string& path) {
    std::ifstream in(path);
    return nlohmann::json::parse(in, nullptr, false);
}

}  // namespace

TEST_CASE("fetch bench: the cases of the documented table", "[fetch_bench]") {
    const std::vector<fetch_case> cases = fetch_cases({});
    const auto count = [&cases](auto pred) {
        return std::count_if(cases.begin(), cases.end(), pred);
    };
    CHECK(count([](const fetch_case& c) { return c.window == 16; }) == 12);
    CHECK(count([](const fetch_case& c) { return c.placement == fetch_placement::adjacent; }) == 4);
    for (const std::uint64_t bytes : {64 * kib, 1 * mib}) {
        for (const fetch_caller who : {fetch_caller::waiting, fetch_caller::async}) {
            CHECK(count([&](const fetch_case& c) {
                      return c.window == 1 && c.block_bytes == bytes && c.caller == who;
                  }) == 1);
        }
    }
    CHECK(cases.size() == 16);
}

TEST_CASE("fetch bench: a wish leaves the rest at its default", "[fetch_bench]") {
    fetch_selection s;
    s.block_bytes = {128 * kib};
    CHECK(fetch_cases(s) ==
          std::vector<fetch_case>{{fetch_placement::scattered, 128 * kib, 16, fetch_checksum::off,
                                   fetch_caller::waiting, 1}});
    s.checksums = {fetch_checksum::off, fetch_checksum::on};
    s.windows = {1, 16};
    CHECK(fetch_cases(s).size() == 4);
}

TEST_CASE("fetch bench: a plan reads every block once", "[fetch_bench]") {
    const auto placement = GENERATE(fetch_placement::scattered, fetch_placement::adjacent);
    std::vector<std::byte> pool(1000 * 64);
    const fetch_plan plan = make_fetch_plan(placement, 64, pool, 7);
    REQUIRE(plan.remote.size() == 1000);
    REQUIRE(plan.local.size() == 1000);
    CHECK(std::set<std::uint64_t>(plan.remote.begin(), plan.remote.end()).size() == 1000);
    std::uint64_t put = 0;
    for (const std::uint32_t group : plan.groups) {
        put += group;
    }
    CHECK(put == 1000);
    std::size_t neighbours = 0;
    for (std::size_t i = 1; i < plan.blocks(); ++i) {
        CHECK(plan.local[i] >= pool.data());
        CHECK(plan.local[i] + 64 <= pool.data() + pool.size());
        neighbours += plan.remote[i] == plan.remote[i - 1] + 64 ? 1 : 0;
    }
    if (placement == fetch_placement::scattered) {
        CHECK(neighbours < 20);
        CHECK(plan.local_run < 1.1);
    } else {
        CHECK(neighbours > 900);  // all but the ends of prefixes
        CHECK(plan.local_run > 5);
    }
}

TEST_CASE("fetch bench: a walk begins anew where too few are left", "[fetch_bench]") {
    std::vector<std::byte> pool(200 * 64);
    const fetch_plan plan = make_fetch_plan(fetch_placement::scattered, 64, pool, 7);
    fetch_walk walk(plan);
    CHECK(walk.next(150).remote.front() == plan.remote[0]);
    CHECK(walk.next(50).remote.front() == plan.remote[150]);
    CHECK(walk.next(200).remote.size() == 200);
    CHECK(walk.next(1).local.front() == plan.local[0]);
}

TEST_CASE("fetch bench: wrong options", "[fetch_bench]") {
    fetch_bench_options options;
    options.cases = {fetch_case{}};
    SECTION("no pairs") { options.pairs = 0; }
    SECTION("blocks too large for the pool") { options.pool_bytes = 64 * kib; }
    SECTION("no multiple of 8") { options.cases[0].block_bytes = 65537; }
    SECTION("no window") { options.cases[0].window = 0; }
    CHECK(run_fetch_bench(options).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("fetch bench: the command's rows have the documented keys", "[fetch_bench]") {
    const sluice_test::temp_dir dir;
    const std::string file = dir.file("out.json");
    REQUIRE(run_command("--block-bytes 16K --placement scattered,adjacent --window 1,16 "
                        "--checksum on --mode waiting,async --pool 8M --pairs 1 "
                        "--seconds-per-run 0.01 --idle 0.1 --json " +
                        file + " > /dev/null") == 0);
    const nlohmann::json out = read_json(file);
    REQUIRE(out.contains("rows"));
    CHECK(out["rows"].size() == 8);
    for (const nlohmann::json& row : out["rows"]) {
        for (const char* key :
             {"provider", "placement", "block_bytes", "window", "checksum", "mode", "connections",
              "mb_s", "raw_mb_s", "ratio", "p50_us", "raw_p50_us", "cpu_s_per_gb", "caller"}) {
            CAPTURE(key);
            CHECK(row.contains(key));
        }
        CHECK(row["provider"] == "tcp");
        CHECK(row["block_bytes"] == 16384);
        CHECK(row["checksum"] == true);
        CHECK(row["mb_s"] > 0);
        CHECK(row["raw_mb_s"] > 0);
        CHECK(row["p50_us"] > 0);
    }
    CHECK(out["idle"].contains("node_wakeups_per_s"));
}

TEST_CASE("fetch bench: the command refuses what it cannot measure", "[fetch_bench]") {
    CHECK(run_command("--provider nosuch --pool 8M --block-bytes 16K 2> /dev/null") != 0);
    CHECK(run_command("--placement sideways 2> /dev/null") == 2);
    CHECK(run_command("--window 0 2> /dev/null") == 2);
}
