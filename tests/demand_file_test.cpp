// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <fstream>
#include <string>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <sluice/base/status.hpp>
#include <sluice/demand/demand_model.hpp>
#include <sluice/demand/model_set.hpp>

#include "support/mutate_json.hpp"
#include "support/temp_dir.hpp"

using Catch::Approx;
namespace demand = sluice::demand;

namespace {

// As a person would write it.
const std::string by_hand = R"({
  "sluice_demand_model": 1,
  "application": "agent",
  "units": [
    {"unit": "think", "backend": "llm", "visits": [
      {"prompt_tokens": [1000], "completion_tokens": [100, 200]},
      {"prompt_tokens": [2000], "completion_tokens": [50, 150], "repeat": {"completion_tokens": 0.5}}]},
    {"unit": "act", "backend": "docker", "visits": [
      {"seconds": [1, 2, 9]}]}],
  "ways": [
    {"share": 3, "units": ["think", "act", "think"]},
    {"share": 1, "units": ["think", "act", "think", 4]}],
  "correlations": {
    "columns": [["think", 1, "completion_tokens"], ["act", 1, "seconds"]],
    "ranks": [[1, 2, 0.9]]}
})";

std::string message(std::string_view text) {
    const auto model = demand::demand_model::parse(text, "agent.json");
    return model.ok() ? "fine" : std::string(sluice::message_of(model.status()));
}

std::string replaced(std::string_view what, std::string_view by) {
    std::string text = by_hand;
    text.replace(text.find(what), what.size(), by);
    return text;
}

std::unique_ptr<demand::demand_model> parsed(std::string_view text,
                                             const demand::demand_options& options = {}) {
    auto model = demand::demand_model::parse(text, "agent.json", options);
    REQUIRE(model.ok());
    return *std::move(model);
}

}  // namespace

TEST_CASE("a model written by hand gives runs as it says") {
    demand::demand_options options;
    options.drawn_runs = 400;
    const auto model = parsed(by_hand, options);
    CHECK(model->application() == "agent");
    REQUIRE(model->size() == 400);
    const demand::unit_id think = model->find_unit("think");
    const demand::unit_id act = model->find_unit("act");
    CHECK(model->units()[act].backend == "docker");
    CHECK(model->next(think, 2)[0].unit == demand::no_unit);
    CHECK(model->next(think, 2)[0].probability == Approx(0.75));
    double first = 0;
    double both = 0;
    double seconds = 0;
    for (std::size_t r = 0; r < model->size(); ++r) {
        const auto run = model->run(r);
        REQUIRE((run.size() == 3 || run.size() == 6));
        CHECK(run[0].prompt_tokens == 1000);
        CHECK(run[2].prompt_tokens == 2000);
        CHECK(run[0].completion_tokens >= 100);
        CHECK(run[0].completion_tokens <= 200);
        CHECK(run[1].seconds >= 1);
        CHECK(run[1].seconds <= 9);
        const double x = static_cast<double>(run[0].completion_tokens) - 150;
        first += x * x;
        seconds += (run[1].seconds - 3.5) * (run[1].seconds - 3.5);
        both += x * (run[1].seconds - 3.5);
    }
    CHECK(both / std::sqrt(first * seconds) > 0.7);
    // Half of the time it takes up to 2 s.
    CHECK(model->duration(act).quantile(0.5) == Approx(2).margin(0.05));

    // The same each time; others with another seed.
    const auto again = parsed(by_hand, options);
    options.seed = 2;
    const auto other = parsed(by_hand, options);
    CHECK(std::ranges::equal(model->service().values(), again->service().values()));
    CHECK_FALSE(std::ranges::equal(model->service().values(), other->service().values()));
}

TEST_CASE("what is wrong with a model is said with file and line") {
    CHECK(message("{").starts_with("agent.json:1: not JSON"));
    CHECK(message("[]") == "agent.json:1: an array where an object should be");
    CHECK(message(replaced("_model\": 1", "_model\": 2")) ==
          "agent.json:2: key 'sluice_demand_model' is 2, above 1");
    CHECK(message(replaced("\"application\": \"agent\",", "")) ==
          "agent.json:1: key 'application' is missing");
    CHECK(message(replaced("[1000]", "[]")) ==
          "agent.json:6: key 'prompt_tokens' has 0 values, not 1 to 1001");
    CHECK(message(replaced("[1000]", "[-1]")) == "agent.json:6: 'prompt_tokens'[0] is -1, below 0");
    CHECK(message(replaced("[100, 200]", "[200, 100]")) ==
          "agent.json:6: 'completion_tokens'[1] is 100, below the value before it; a quantile "
          "table ascends");
    CHECK(message(replaced("[1, 2, 9]", "[1, 2, 1e99]")).starts_with("agent.json:9: 'seconds'[2]"));
    CHECK(message(replaced("\"seconds\"", "\"secs\""))
              .starts_with("agent.json:9: unknown key 'secs'"));
    CHECK(message(replaced("\"act\", \"backend\"", "\"think\", \"backend\"")) ==
          "agent.json:8: unit 'think' stands twice");
    CHECK(
        message(replaced("docker", "env")).starts_with("agent.json:8: unit 'act' is a local wait"));
    CHECK(message(replaced("[\"think\", \"act\", \"think\"]", "[\"think\", \"jump\"]")) ==
          "agent.json:11: 'units'[1] is 'jump', which is no unit of this file");
    CHECK(message(replaced("[\"think\", \"act\", \"think\"]", "[]")) ==
          "agent.json:11: a way of 0 units, not 1 to 4096");
    CHECK(message(replaced("[\"think\", \"act\", \"think\"]", "[3]"))
              .starts_with("agent.json:11: 'units'[0] repeats a unit"));
    CHECK(message(replaced("\"think\", 4]", "\"think\", 4096, 4096]"))
              .starts_with("agent.json:12: 'units'[4] repeats a unit"));
    CHECK(message(replaced("\"share\": 3", "\"share\": 0")) ==
          "agent.json:11: key 'share' is 0, not above 0");
    CHECK(message(replaced("[\"act\", 1, \"seconds\"]", "[\"act\", 2, \"seconds\"]")) ==
          "agent.json:14: the visit is 2, above 1");
    CHECK(message(replaced("[\"act\", 1, \"seconds\"]", "[\"act\", 1, \"calls\"]")) ==
          "agent.json:14: 'calls' is no table of that visit");
    CHECK(message(replaced("[1, 2, 0.9]", "[1, 3, 0.9]")) ==
          "agent.json:15: the second column is 3, above 2");
    CHECK(message(replaced("[1, 2, 0.9]", "[1, 2, 1.9]")) ==
          "agent.json:15: the correlation is 1.9, above 1");
    CHECK(demand::demand_model::read("/nowhere/at.json").status().code() ==
          absl::StatusCode::kNotFound);
    demand::demand_options options;
    options.drawn_runs = 0;
    CHECK_FALSE(demand::demand_model::parse(by_hand, "agent.json", options).ok());
}

TEST_CASE("mangled models are refused or work") {
    demand::demand_options options;
    options.drawn_runs = 20;
    int read = 0;
    for (std::uint64_t seed = 0; seed < 4000; ++seed) {
        sluice::workload::random_source random(seed);
        CAPTURE(seed);
        const auto model = demand::demand_model::parse(sluice_test::mutate_json(by_hand, random),
                                                       "agent.json", options);
        if (model.ok()) {
            ++read;
            CHECK((*model)->size() == 20);
            CHECK(std::isfinite((*model)->service().gittins(0)));
            CHECK(demand::demand_model::parse((*model)->to_json(), "again").ok());
        }
    }
    CHECK(read > 100);
}

TEST_CASE("correlations that contradict each other are met as well as can be") {
    const auto model = parsed(replaced("[1, 2, 0.9]", "[0, 1, 1], [1, 2, 1], [0, 2, -1]"));
    CHECK(std::isfinite(model->service().mean()));
}

TEST_CASE("a model comes back from its file as it was learned") {
    sluice::workload::random_source random(4);
    std::vector<demand::run_record> runs;
    for (int i = 0; i < 300; ++i) {
        const auto calls = static_cast<std::uint32_t>(random.below(12) + 1);
        demand::run_record run{"a \"quoted\"\n", 0, {}};
        run.units.push_back({"plan", "llm", {{400, 10 * calls + 5, 100, 0}}});
        demand::unit_record work{"work", "llm", {}};
        for (std::uint32_t c = 0; c < calls; ++c) {
            work.calls.push_back({300, static_cast<std::uint32_t>(50 + random.below(100)), 0, 0});
        }
        run.units.push_back(work);
        for (std::uint64_t loop = random.below(3); loop > 0; --loop) {
            run.units.push_back({"check", "docker", {{0, 0, 0, random.log_normal(2, 0.5)}}});
            run.units.push_back({"work", "llm", {{500, 80, 0, 0}}});
        }
        runs.push_back(std::move(run));
    }
    const auto model = demand::demand_model::learn(runs.front().application, runs);
    REQUIRE(model.ok());
    const auto drawn = parsed((*model)->to_json());
    CHECK(drawn->application() == runs.front().application);
    const auto deviation = [](const demand::sample_set& s) { return std::sqrt(s.variance()); };
    CHECK(drawn->service().mean() == Approx((*model)->service().mean()).epsilon(0.03));
    CHECK(deviation(drawn->service()) == Approx(deviation((*model)->service())).epsilon(0.1));
    CHECK(drawn->path().mean() == Approx((*model)->path().mean()).epsilon(0.03));
    // What the first answer says of the rest, it still says.
    demand::unit_visit plan = demand::visit_of(runs[0].units[0]);
    plan.unit = drawn->find_unit("plan");
    demand::observation seen;
    seen.ended = std::span(&plan, 1);
    CHECK((*model)->explained(seen) > 0.8);
    CHECK(drawn->explained(seen) == Approx((*model)->explained(seen)).margin(0.1));
    CHECK(drawn->run(0)[0].cached_tokens == 100);
}

TEST_CASE("a folder of models is read as a whole") {
    const sluice_test::temp_dir folder;
    demand::model_set models;
    CHECK(models.load_directory(folder.path()).code() == absl::StatusCode::kNotFound);
    CHECK(models.load_directory(folder.file("none")).code() == absl::StatusCode::kNotFound);
    std::ofstream(folder.file("agent.json")) << by_hand;
    std::ofstream(folder.file("notes.txt")) << "no model";
    REQUIRE(models.load_directory(folder.path()).ok());
    CHECK(models.find("agent") != nullptr);
    std::ofstream(folder.file("broken.json")) << "{}";
    CHECK(models.load_directory(folder.path()).code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("the models that come with the library are models") {
    demand::model_set models;
    REQUIRE(models.load_directory(SLUICE_APPS).ok());
    CHECK(models.size() == 9);
    for (const auto& [name, model] : models.models()) {
        CAPTURE(name);
        CHECK(model->size() == 500);
        CHECK(model->service().mean() > 1);
    }
}
