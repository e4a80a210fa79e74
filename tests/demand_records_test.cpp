// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <string>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <sluice/base/status.hpp>
#include <sluice/demand/demand_model.hpp>
#include <sluice/demand/run_record.hpp>
#include <sluice/demand/unit_visit.hpp>

#include "support/mutate_json.hpp"

using Catch::Approx;
namespace demand = sluice::demand;

namespace {

const std::string good =
    R"({"app":"a","run":3,"run_ms":12.5,"units":[)"
    R"({"unit":"ask","backend":"llm","start_order":1,"calls":[)"
    R"({"prompt_tokens":100,"completion_tokens":10,"latency_ms":3},)"
    R"({"prompt_tokens":50,"completion_tokens":20,"cached_tokens":40}]},)"
    R"({"unit":"look","backend":"search","start_order":0,"calls":[{"duration_ms":1500}]},)"
    R"({"unit":"see","backend":"dnn","start_order":2,"calls":[{"duration_ms":250,"model":"m"},)"
    R"({"duration_ms":750}]}]})";

std::string message(std::string_view text) {
    const auto runs = demand::parse_runs(text, "runs.jsonl");
    return runs.ok() ? "fine" : std::string(sluice::message_of(runs.status()));
}

std::string replaced(std::string_view what, std::string_view by) {
    std::string text = good;
    text.replace(text.find(what), what.size(), by);
    return text;
}

}  // namespace

TEST_CASE("runs are read in the order of their units, chains as one call") {
    const auto runs = demand::parse_runs("\n" + good + "\r\n\n", "runs.jsonl");
    REQUIRE(runs.ok());
    REQUIRE(runs->size() == 1);
    const demand::run_record& run = runs->front();
    CHECK(run.application == "a");
    CHECK(run.run == 3);
    REQUIRE(run.units.size() == 3);
    CHECK(run.units[0].unit == "look");
    CHECK(run.units[0].calls[0].seconds == Approx(1.5));
    CHECK(run.units[1].calls.size() == 2);
    CHECK(run.units[1].calls[1].cached_tokens == 40);
    CHECK(run.units[2].calls.size() == 1);
    CHECK(run.units[2].calls[0].seconds == Approx(1));

    // Service adds up calls, the path takes the largest of each; what is loaded has its own rate.
    const demand::service_rates rates{0.01, 1, 0.001};
    const double ask = 0.01 * 110 + 0.001 * 40 + 30;
    CHECK(demand::service_seconds(run, rates) == Approx(1.5 + ask + 1));
    CHECK(demand::path_seconds(run, rates) == Approx(1.5 + 0.01 * 60 + 0.001 * 40 + 20 + 1));
}

TEST_CASE("what is wrong with runs is said with file and line") {
    CHECK(message("") == "runs.jsonl: no run");
    CHECK(message(good + "\n{\"app\":").starts_with("runs.jsonl:2: not JSON"));
    CHECK(message(good + "\n[]") == "runs.jsonl:2: an array where an object should be");
    CHECK(message(replaced("\"app\":\"a\",", "")) == "runs.jsonl:1: key 'app' is missing");
    CHECK(message(replaced("\"app\":\"a\"", "\"app\":\"" + std::string(300, 'x') + "\"")) ==
          "runs.jsonl:1: key 'app' is longer than 256 bytes");
    CHECK(message(R"({"app":"a","units":[]})") ==
          "runs.jsonl:1: key 'units' has 0 units, not 1 to 4096");
    CHECK(message(R"({"app":"a"})") == "runs.jsonl:1: key 'units' is missing");
    CHECK(message(replaced("\"calls\":[{\"duration_ms\":1500}]", "\"calls\":[]")) ==
          "runs.jsonl:1: key 'calls' of unit 'look' has 0 calls, not 1 to 65536");
    CHECK(message(replaced("\"prompt_tokens\":100", "\"prompt_tokens\":-1")) ==
          "runs.jsonl:1: key 'prompt_tokens' is -1, below 0");
    CHECK(message(replaced("\"prompt_tokens\":100", "\"prompt_tokens\":1.5"))
              .starts_with("runs.jsonl:1: key 'prompt_tokens' is 1.5, not a whole number"));
    CHECK(message(replaced("\"prompt_tokens\":100", "\"prompt_tokens\":99999999999")) ==
          "runs.jsonl:1: key 'prompt_tokens' is 99999999999, above 1073741824");
    CHECK(message(replaced("\"cached_tokens\":40", "\"cached_tokens\":60")) ==
          "runs.jsonl:1: key 'cached_tokens' is 60, above 50");
    CHECK(message(replaced("1500", "-1500")) ==
          "runs.jsonl:1: key 'duration_ms' is -1500, below 0");
    CHECK(message(replaced("1500", "NaN")).starts_with("runs.jsonl:1: not JSON"));
    CHECK(message(replaced("1500", "1e300"))
              .starts_with("runs.jsonl:1: key 'duration_ms' is 1e+300, above"));
    CHECK(message(replaced("\"start_order\":2", "\"start_order\":1")) ==
          "runs.jsonl:1: units 'ask' and 'see' have the same 'start_order', 1");
    std::string loop = R"({"app":"a","units":[)";
    for (int i = 0; i < 5000; ++i) {
        loop +=
            R"({"unit":"u","backend":"llm","calls":[{"prompt_tokens":1,"completion_tokens":1}]},)";
    }
    loop.back() = ']';
    CHECK(message(loop + "}") == "runs.jsonl:1: key 'units' has 5000 units, not 1 to 4096");
    CHECK(demand::read_runs("/nowhere/at all").status().code() == absl::StatusCode::kNotFound);
    CHECK_FALSE(demand::read_runs("/").ok());
}

TEST_CASE("mangled runs are refused or read, and what is read can be learned") {
    for (std::uint64_t seed = 0; seed < 3000; ++seed) {
        sluice::workload::random_source random(seed);
        const auto runs = demand::parse_runs(sluice_test::mutate_json(good, random), "runs.jsonl");
        if (!runs.ok()) {
            continue;
        }
        CAPTURE(seed);
        for (const demand::run_record& run : *runs) {
            CHECK(demand::check_run(run).ok());
        }
        const auto model = demand::demand_model::learn(runs->front().application, *runs);
        if (model.ok()) {
            CHECK(std::isfinite((*model)->service().gittins(0)));
        }
    }
}

TEST_CASE("records with what cannot be are not learned from") {
    demand::run_record run{"a", 7, {{"u", "llm", {{10, 5, 0, 0}}}}};
    REQUIRE(demand::check_run(run).ok());
    const auto broken = [&run](auto change) {
        demand::run_record other = run;
        change(other);
        const absl::Status status = demand::check_run(other);
        CHECK(status.code() == absl::StatusCode::kInvalidArgument);
        CHECK_FALSE(demand::demand_model::learn("a", std::vector{run, other}).ok());
        return std::string(sluice::message_of(status));
    };
    CHECK(broken([](auto& r) { r.units.clear(); }) ==
          "run 7 of 'a': it has 0 units, not 1 to 4096");
    CHECK(broken([](auto& r) { r.units.resize(5000, r.units[0]); }) ==
          "run 7 of 'a': it has 5000 units, not 1 to 4096");
    (void)broken([](auto& r) { r.units[0].calls.clear(); });
    (void)broken([](auto& r) { r.units[0].unit.clear(); });
    (void)broken([](auto& r) { r.units[0].backend.assign(300, 'x'); });
    (void)broken([](auto& r) { r.units[0].calls[0].cached_tokens = 11; });
    (void)broken([](auto& r) { r.units[0].calls[0].prompt_tokens = UINT32_MAX; });
    (void)broken([](auto& r) { r.units[0].calls[0].seconds = -1; });
    (void)broken(
        [](auto& r) { r.units[0].calls[0].seconds = std::numeric_limits<double>::quiet_NaN(); });
    (void)broken(
        [](auto& r) { r.units[0].calls[0].seconds = std::numeric_limits<double>::infinity(); });
}
