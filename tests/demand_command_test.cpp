// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <catch2/catch_test_macros.hpp>

#include <sluice/demand/demand_model.hpp>

#include "command/commands.hpp"
#include "command/demand_report.hpp"
#include "command/output.hpp"
#include "support/temp_dir.hpp"

namespace command = sluice::command;
namespace demand = sluice::demand;
namespace fs = std::filesystem;

namespace {

int run(const std::string& line) {
    CLI::App app{"", "sluice"};
    int exit_code = command::exit_ok;
    command::add_demand(app, exit_code);
    try {
        app.parse(line);
    } catch (const CLI::ParseError&) {
        return command::exit_usage;
    }
    return exit_code;
}

void write_runs(const fs::path& file, int runs) {
    std::ofstream out(file);
    for (int i = 0; i < runs; ++i) {
        out << R"({"app":"a b/c","run":)" << i
            << R"(,"units":[{"unit":"u","backend":"llm","calls":[{"prompt_tokens":100,)"
            << R"("completion_tokens":)" << 10 * (i + 1) << "}]}]}\n";
    }
}

}  // namespace

TEST_CASE("demand learn writes a model for each application") {
    const sluice_test::temp_dir folder;
    const fs::path runs = fs::path(folder.path()) / "runs";
    const fs::path out = fs::path(folder.path()) / "deep" / "models";
    fs::create_directories(runs);
    write_runs(runs / "a.jsonl", 20);
    REQUIRE(run("demand learn --runs " + runs.string() + " --out " + out.string()) == 0);
    const auto all = demand::demand_model::read((out / "a_b_c.json").string());
    REQUIRE(all.ok());
    CHECK((*all)->application() == "a b/c");
    CHECK(run("demand show " + (out / "a_b_c.json").string()) == 0);
    CHECK(run("demand show " + runs.string() + " --json " + (out / "show").string()) == 0);
    CHECK(fs::file_size(out / "show") > 100);

    // Two halves, which have nothing in common.
    const std::string halves = "demand learn --split-seed 3 --runs " + runs.string() + " --out ";
    REQUIRE(run(halves + (out / "a").string() + " --half a") == 0);
    REQUIRE(run(halves + (out / "b").string() + " --half b") == 0);
    const auto a = demand::demand_model::read((out / "a" / "a_b_c.json").string());
    const auto b = demand::demand_model::read((out / "b" / "a_b_c.json").string());
    REQUIRE((a.ok() && b.ok()));
    CHECK((*a)->service().mean() != (*b)->service().mean());
}

TEST_CASE("demand says what is wrong and does nothing") {
    const sluice_test::temp_dir folder;
    const std::string path = folder.path();
    CHECK(run("demand") == command::exit_usage);
    CHECK(run("demand learn --runs /nowhere --out " + path) == command::exit_usage);
    CHECK(run("demand learn --half a --runs " + path + " --out " + path) == command::exit_usage);
    CHECK(run("demand learn --runs " + path + " --out " + path) != command::exit_ok);  // no runs
    std::ofstream(fs::path(folder.path()) / "a.json") << "{}";
    CHECK(run("demand show " + path + "/a.json") == command::exit_usage);
    write_runs(fs::path(folder.path()) / "a.jsonl", 1);
    CHECK(run("demand learn --split-seed 1 --half a --runs " + path + " --out " + path) ==
          command::exit_usage);  // half of one is none
}
