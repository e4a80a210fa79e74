// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <iterator>
#include <string>

#include <CLI/CLI.hpp>
#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "command/commands.hpp"
#include "command/output.hpp"
#include "support/temp_dir.hpp"

namespace sluice::command {
namespace {

/// `sluice sim ARGUMENTS`. \return the exit code
int sim(const std::string& arguments) {
    CLI::App app("test", "sluice");
    int code = exit_ok;
    add_sim(app, code);
    try {
        app.parse("sim " + arguments);
    } catch (const CLI::ParseError&) {
        return exit_usage;
    }
    return code;
}

nlohmann::json result_of(const std::string& arguments) {
    const sluice_test::temp_dir dir;
    const std::string file = dir.file("out.json");
    REQUIRE(sim("calvo --quiet --requests 30 --seeds 2 " + arguments + " --json " + file) ==
            exit_ok);
    std::ifstream in(file);
    return nlohmann::json::parse(std::string(std::istreambuf_iterator<char>(in), {}));
}

TEST_CASE("sim calvo: flags say what runs", "[sim_command]") {
    const nlohmann::json plain = result_of("--workload icl --qps 1.2");
    CHECK(plain["config"] == "pipelined");
    CHECK(plain["policy"] == "sjf");
    CHECK(plain["qps"] == 1.2);
    CHECK(plain["requests"] == 30);

    CHECK(result_of("--config coupled")["policy"] == "fifo");
    CHECK(result_of("--config coupled --policy sjf")["policy"] == "sjf");
    CHECK(result_of("--policy lstf --late-last off")["policy"] == "lstf:late_last=off");
    const nlohmann::json all = result_of(
        "--workload code --model qwen2.5-14b --policy srpt --reservation just_in_time --split "
        "--qps 0.3 --first-seed 9 --hit-ratio 0.5 --drift 50%:0.5 --cost knows --jobs 1");
    CHECK(all["workload"] == "code");
    CHECK(all["model"] == "qwen2.5-14b");
    CHECK(all["reservation"] == "just_in_time");
    CHECK(all["split"] == true);
    CHECK(all["first_seed"] == 9);
    CHECK(all["hit_ratio"] == 0.5);
    CHECK(all["drift"] == "50%:0.5");
    CHECK(all["cost"] == "knows");
}

TEST_CASE("sim calvo: a trace", "[sim_command]") {
    const sluice_test::temp_dir dir;
    const std::string trace = dir.write(
        "trace.jsonl",
        R"({"timestamp": 0, "input_length": 1100, "output_length": 2, "hash_ids": [1, 2, 3]})"
        "\n"
        R"({"timestamp": 9000, "input_length": 1500, "output_length": 2, "hash_ids": [1, 2, 4]})"
        "\n");
    const nlohmann::json out = result_of("--workload mooncake --policy fifo --trace " + trace);
    CHECK(out["requests"] == 2);
    // Two blocks of each are computed, copied out and put, but those of the second are there.
    CHECK(out["block_operations"] == 4);
    CHECK(out["qps"].get<double>() > 0);
}

TEST_CASE("sim calvo: what is wrong is said, and nothing runs", "[sim_command]") {
    for (const char* arguments : {
             "",
             "sweeps",
             "calvo --config serial",
             "calvo --qps fast",
             "calvo --qps -1",
             "calvo --seeds 0",
             "calvo --hit-ratio 2",
             "calvo --drift 1",
             "calvo --late-last maybe",
             "calvo --late-last on",  // of sjf
             "calvo --policy best",
             "calvo --config async --policy sjf",
             "calvo --config coupled --split",
             "calvo --config async --reservation late",
             "calvo --workload mooncake",
             "calvo --workload poems",
             "calvo --model gpt",
             "calvo --profile laptop",
             "calvo --plugin /nowhere.so",
             "calvo --json /nowhere/out.json",
         }) {
        CAPTURE(arguments);
        CHECK(sim(arguments) != exit_ok);
    }
}

}  // namespace
}  // namespace sluice::command
