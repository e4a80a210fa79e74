// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <fstream>
#include <set>
#include <string>

#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "../src/bench/capi_bench.hpp"
#include "support/temp_dir.hpp"

using namespace sluice::bench;

namespace {

/// The exit code of the command.
int run_command(const std::string& arguments) {
    const std::string line = std::string(SLUICE_COMMAND) + " bench capi " + arguments;
    const int status = std::system(line.c_str());
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("capi bench: the command's result has the documented keys") {
    const sluice_test::temp_dir dir;
    const std::string file = dir.file("out.json");
    REQUIRE(run_command("--requests 50 --json " + file + " > /dev/null") == 0);
    std::ifstream in(file);
    const nlohmann::json out = nlohmann::json::parse(in, nullptr, false);
    REQUIRE(out.contains("rows"));
    CHECK(out["requests"] == 50);
    REQUIRE(out["rows"].size() == 8);
    std::set<std::pair<std::string, std::string>> seen;
    for (const nlohmann::json& row : out["rows"]) {
        CAPTURE(row.dump());
        for (const char* key : {"p25_ns", "p50_ns", "p75_ns"}) {
            REQUIRE(row.contains(key));
            CHECK(row[key] > 0);
        }
        CHECK(row["p25_ns"] <= row["p50_ns"]);
        CHECK(row["p50_ns"] <= row["p75_ns"]);
        CHECK(row["allocations"] >= 0);
        seen.emplace(row["case"], row["api"]);
        CHECK(out["overhead_p50_ns"].contains(row["case"]));
        CHECK(out["overhead_p25_ns"].contains(row["case"]));
        CHECK(out["overhead_p75_ns"].contains(row["case"]));
    }
    std::set<std::pair<std::string, std::string>> wanted;
    for (const char* name :
         {"loop_library_l1", "loop_engine_l1", "threads_library_l1", "threads_engine_l1"}) {
        wanted.emplace(name, "c++");
        wanted.emplace(name, "c");
    }
    CHECK(seen == wanted);
    REQUIRE(out["calls"].size() == 7);
    for (const nlohmann::json& call : out["calls"]) {
        CAPTURE(call.dump());
        CHECK(call["cpp_ns"] > 0);
        CHECK(call["c_ns"] > 0);
        CHECK(call.contains("overhead_ns"));
        CHECK(call.contains("call"));
    }
}

TEST_CASE("capi bench: the C API allocates no more than the C++ API") {
    const auto result = run_capi_bench({20});
    REQUIRE(result.ok());
    for (std::size_t i = 0; i + 1 < result->rows.size(); i += 2) {
        CAPTURE(result->rows[i].name);
        CHECK(result->rows[i + 1].allocations <= result->rows[i].allocations + 0.1);
    }
}

TEST_CASE("capi bench: what cannot be measured is refused") {
    CHECK(run_capi_bench({0}).status().code() == absl::StatusCode::kInvalidArgument);
    CHECK(run_command("--requests 0 2> /dev/null") == 2);
}
