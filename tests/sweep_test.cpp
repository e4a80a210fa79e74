// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/base/status.hpp>

#include "experiment/sweep.hpp"
#include "experiment/sweep_csv.hpp"
#include "support/temp_dir.hpp"

using Catch::Matchers::ContainsSubstring;
using namespace sluice::experiment;

namespace {

/// Sweep files of a test.
class sweep_files {
 public:
    std::string write(std::string_view text) { return folder_.write("sweep.json", text); }
    /// What is wrong with it; must be something.
    std::string fault(std::string_view text) {
        const auto sweep = load_sweep(write(text));
        CHECK_FALSE(sweep.ok());
        return std::string(sluice::message_of(sweep.status()));
    }

 private:
    sluice_test::temp_dir folder_;
};

std::string committed(std::string_view name) {
    return std::string(SLUICE_SWEEPS) + '/' + std::string(name);
}

std::string read(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// A sweep of one figure with these keys.
std::string with(std::string_view figure, std::string_view base = "") {
    return std::string("{\"title\": \"t\", \"base\": {") + std::string(base) +
           "},\n\"figures\": [\n{" + std::string(figure) + "}\n]}";
}

constexpr std::string_view lines = R"("name": "a", "title": "A", "kind": "lines", "x": "qps",
"show": ["ttft_mean"], "grid": {"qps": [0.5, 1]})";

/// Serves 12 requests in each run.
constexpr std::string_view small = R"({"title": "small",
"base": {"workload": "icl", "requests": 12, "seeds": 2},
"figures": [
 {"name": "load", "title": "By load", "kind": "lines", "x": "offered_load",
  "grid": {"offered_load": [0.5, 0.9]},
  "variants": [{"label": "coupled", "config": "coupled"}, {"label": "sjf", "policy": "sjf"}],
  "show": ["ttft_mean", {"measure": "attainment", "against": "coupled"}]},
 {"name": "one", "title": "One", "kind": "distribution",
  "grid": {"offered_load": 0.9, "policy": "sjf"}},
 {"name": "fit", "title": "Fit", "kind": "scatter_fit", "x": "context_tokens", "y": "load_s",
  "grid": {"offered_load": 0.9, "policy": "sjf"}},
 {"name": "busy", "title": "Bottleneck", "kind": "table",
  "grid": {"bottleneck": 0.85}, "show": ["bottleneck", "busy_fetch", "ttft_mean", "qps"]}
]})";

}  // namespace

TEST_CASE("sweep file: runs are those of all figures, each once", "[sweep]") {
    sweep_files files;
    const auto sweep = load_sweep(files.write(small));
    REQUIRE(sweep.ok());
    REQUIRE(sweep->figures.size() == 4);
    CHECK(sweep->runs.size() == 5);
    CHECK(sweep->figures[0].runs == std::vector<std::size_t>{0, 1, 2, 3});
    CHECK(sweep->figures[1].runs == std::vector<std::size_t>{3});
    CHECK(sweep->runs[3].figures == std::vector<std::string>{"load", "one", "fit"});
    CHECK(sweep->runs[3].wants_ttft);
    CHECK(sweep->runs[3].wants_requests);
    CHECK_FALSE(sweep->runs[0].wants_ttft);
    CHECK(sweep->runs[3].name == "figure 'load': sjf, offered load 0.9");
    CHECK(sweep->runs[3].load == load_kind::offered_load);
    CHECK(sweep->runs[4].load == load_kind::bottleneck);
    CHECK(sweep->runs[4].load_value == 0.85);
    CHECK(sweep->figures[0].axes[0].dashed == std::vector<bool>{true, false});

    const std::vector<std::string> only{"busy"};
    const auto part = load_sweep(files.write(small), only);
    REQUIRE(part.ok());
    CHECK(part->runs.size() == 1);
    const std::vector<std::string> none{"nothing"};
    CHECK_FALSE(load_sweep(files.write(small), none).ok());
}

TEST_CASE("sweep file: the committed ones are right", "[sweep]") {
    for (const char* name : {"quick.json", "evaluation.json"}) {
        CAPTURE(name);
        const auto sweep = load_sweep(committed(name));
        CHECK(sluice::message_of(sweep.status()) == "");
    }
}

TEST_CASE("sweep file: what is wrong is named with its line and key", "[sweep]") {
    sweep_files files;
    struct bad {
        std::string text;
        std::string_view line;
        std::string_view what;
    };
    const std::string good(lines);
    const auto replaced = [&good](std::string_view from, std::string_view to) {
        std::string out = good;
        const std::size_t at = out.find(from);
        REQUIRE(at != std::string::npos);
        return with(out.replace(at, from.size(), to));
    };
    const std::vector<bad> cases{
        {"{\"title\": \"t\", \"figures\": []}", ":1:", "'figures'"},
        {"{\"title\": \"t\"}", ":1:", "'figures'"},
        {"[]", ":1:", "an object"},
        {"{\"title\": \"t\",\n\"figurs\": [], \"figures\": [{}]}", ":2:", "'figurs'"},
        {with(lines, "\"wokload\": \"icl\""), ":1:", "'wokload'"},
        {with(lines, "\"workload\": \"icll\""), ":", "icll"},
        {with(lines, "\"hit-ratio\": 0.5"), ":1:", "'hit-ratio'"},
        {with(lines, "\"hit_ratio\": 2"), ":1:", "hit_ratio"},
        {with(lines, "\"policy\": \"best\""), ":3:", "best"},
        {with(lines, "\"requests\": [1]"), ":1:", "'requests'"},
        {with(lines, "\"qps\": 1, \"offered_load\": 0.5"), ":1:", "'offered_load'"},
        {with(lines, "\"profile\": \"none.json\""), ":", "none.json"},
        {replaced("\"qps\": [0.5, 1]", "\"qps\": []"), ":4:", "'qps' is an empty list"},
        {replaced("\"qps\": [0.5, 1]", "\"qps\": [0.5, 0.5]"), ":4:", "0.5 stands twice"},
        {replaced("\"qps\": [0.5, 1]", "\"qps\": [0.5, \"x\"]"), ":4:", "qps"},
        {replaced("\"qps\": [0.5, 1]", "\"qps\": [0.5, -1]"), ":4:", "qps"},
        {replaced("\"qps\": [0.5, 1]", "\"qpz\": [0.5, 1]"), ":4:", "'qpz'"},
        {replaced("\"qps\": [0.5, 1]", "\"qps\": [0.5, 1], \"bottleneck\": 0.5"),
         ":4:", "'bottleneck'"},
        {replaced("\"x\": \"qps\"", "\"x\": \"hit_ratio\""), ":3:", "'hit_ratio'"},
        {replaced("\"x\": \"qps\"", "\"y\": \"qps\""), ":3:", "'x' is missing"},
        {replaced("ttft_mean", "ttft_men"), ":4:", "'ttft_men'"},
        {replaced("[\"ttft_mean\"]", "[]"), ":4:", "'show'"},
        {replaced("\"ttft_mean\"", "{\"measure\": \"ttft_mean\", \"against\": \"x\"}"),
         ":4:", "'against'"},
        {replaced("\"ttft_mean\"", "{\"measure\": \"ttft_mean\", \"againts\": \"x\"}"),
         ":4:", "'againts'"},
        {replaced("\"lines\"", "\"line\""), ":3:", "'kind'"},
        {replaced("\"name\": \"a\"", "\"name\": \"a b\""), ":3:", "'name'"},
        {replaced("\"lines\"", "\"lines\", \"across\": \"qps\""), ":3:", "'across'"},
        {replaced("\"lines\"", "\"lines\", \"panels\": [\"model\"]"), ":3:", "'panels'"},
        {replaced("\"lines\"", "\"lines\", \"panels\": [\"qps\"]"), ":3:", "another use"},
        {replaced("\"lines\"", "\"lines\", \"variants\": []"), ":3:", "'variants'"},
        {replaced("\"lines\"", "\"lines\", \"variants\": [{\"policy\": \"sjf\"}]"),
         ":3:", "'label'"},
        {replaced("\"lines\"",
                  "\"lines\", \"variants\": [\n{\"label\": \"a\"}, {\"label\": \"a\"}]"),
         ":4:", "stands twice"},
        {replaced("\"lines\"", "\"lines\", \"variants\": [{\"label\": \"a\", \"qps\": 3}]"),
         ":4:", "'qps'"},
        {replaced("\"lines\"",
                  "\"lines\", \"variants\": [{\"label\": \"a\", \"config\": \"async\", "
                  "\"policy\": \"sjf\"}]"),
         ":3:", "async"},
        {replaced("[\"ttft_mean\"]", "[\"ttft_mean\", \"attainment\"]"), "", ""},
        {with("\"name\": \"a\", \"title\": \"A\", \"kind\": \"bars\", \"x\": \"qps\", \"show\": "
              "[\"ttft_mean\", \"attainment\"], \"grid\": {\"qps\": [1, 2]}"),
         ":3:", "one unit"},
        {with("\"name\": \"a\", \"title\": \"A\", \"kind\": \"lines\", \"x\": \"model\", "
              "\"show\": [\"ttft_mean\"], \"grid\": {\"model\": [\"llama3.1-8b\"]}"),
         ":3:", "no numbers"},
    };
    for (const bad& one : cases) {
        CAPTURE(one.text);
        if (one.what.empty()) {
            CHECK(
                load_sweep(files.write(one.text)).ok());  // what the others are made from is right
            continue;
        }
        const std::string fault = files.fault(one.text);
        CHECK_THAT(fault, ContainsSubstring(std::string(one.line)));
        CHECK_THAT(fault, ContainsSubstring(std::string(one.what)));
    }
    std::string twice = with(lines);
    twice.insert(twice.rfind("\n]}"), ", {" + std::string(lines) + "}");
    CHECK_THAT(files.fault(twice), ContainsSubstring("as of another figure"));
    CHECK_FALSE(load_sweep("/nonexistent/sweep.json").ok());
}

TEST_CASE("sweep: the result does not depend on the number of threads", "[sweep]") {
    sweep_files files;
    const auto sweep = load_sweep(files.write(small));
    REQUIRE(sweep.ok());
    const auto one = run_sweep(*sweep, 1);
    const auto three = run_sweep(*sweep, 3);
    REQUIRE(sluice::message_of(one.status()) == "");
    REQUIRE(three.ok());
    CHECK(one->csv == three->csv);
    CHECK(sweep_text(*sweep, *one) == sweep_text(*sweep, *three));
    CHECK(sweep_markdown(*sweep, *one) == sweep_markdown(*sweep, *three));
    CHECK(sluice::render_page(sweep_page(*sweep, *one)) ==
          sluice::render_page(sweep_page(*sweep, *three)));

    CHECK(one->csv.size() == 1 + 5 * 2);
    CHECK_THAT(sweep_markdown(*sweep, *one), ContainsSubstring("<!-- table load 2 -->"));
    CHECK_THAT(sweep_text(*sweep, *one), ContainsSubstring("12 requests, 2 seeds"));
    CHECK(one->runs[3].ttft.size() == 24);
    CHECK(one->runs[3].points.size() == 24);

    // What was asked for is what was run: the mean over seeds of the load is near.
    double load = 0;
    for (const measured& seed : one->runs[4].seeds) {
        load += seed[static_cast<std::size_t>(measure_id::bottleneck)] / 2;
    }
    CHECK(load > 0.4);
    CHECK(load < 1.7);
}

TEST_CASE("sweep: steps are told, one for each seed", "[sweep]") {
    sweep_files files;
    const auto sweep = load_sweep(files.write(small));
    REQUIRE(sweep.ok());
    std::size_t steps = 0;
    std::size_t promised = 0;
    const auto result = run_sweep(
        *sweep, 2, {[&](const std::string&, std::size_t n) { promised += n; }, [&] { ++steps; }});
    REQUIRE(result.ok());
    CHECK(promised == 2 + 10);  // each seed alone, and all runs
    CHECK(steps == promised);
}

TEST_CASE("sweep: a run that fails is named", "[sweep]") {
    sweep_files files;
    auto sweep = load_sweep(files.write(small));
    REQUIRE(sweep.ok());
    sweep->runs[2].options.workload = "gone";
    const auto result = run_sweep(*sweep, 2);
    REQUIRE_FALSE(result.ok());
    CHECK_THAT(std::string(sluice::message_of(result.status())),
               ContainsSubstring("figure 'load': sjf, offered load 0.5, seed "));
}

TEST_CASE("sweep: a table is checked by running its cheapest lines again", "[sweep]") {
    sweep_files files;
    const auto sweep = load_sweep(files.write(small));
    REQUIRE(sweep.ok());
    const auto result = run_sweep(*sweep, 2);
    REQUIRE(result.ok());
    std::string csv;
    std::string changed;
    for (const std::string& line : result->csv) {
        csv += line + '\n';
        changed += line;
        changed += changed.size() == line.size() ? "\n" : "1\n";  // more operations, but the names
    }
    CHECK(sluice::message_of(check_sweep(*sweep, csv, 3, 2)) == "");
    CHECK(check_sweep(*sweep, changed, 1, 2).code() == absl::StatusCode::kDataLoss);
    for (const std::string& bad :
         {csv.substr(0, csv.size() / 2), std::string(), csv + result->csv.back() + '\n',
          csv.substr(csv.find('\n')), csv + "1,a,1\n"}) {
        CHECK(check_sweep(*sweep, bad, 3, 2).code() == absl::StatusCode::kInvalidArgument);
    }
    std::string other = csv;
    other.replace(other.find("calvo-testbed"), 5, "other");
    CHECK(check_sweep(*sweep, other, 3, 2).code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("sweep: a table gives the same figures as its run", "[sweep]") {
    sweep_files files;
    const auto sweep = load_sweep(files.write(small));
    REQUIRE(sweep.ok());
    const auto result = run_sweep(*sweep, 2);
    REQUIRE(result.ok());
    std::string csv;
    for (const std::string& line : result->csv) {
        csv += line + '\n';
    }
    // The table may have more than what is drawn, and other numbers of runs.
    const std::vector<std::string> only{"busy", "load"};
    const auto part = load_sweep(files.write(small), only);
    REQUIRE(part.ok());
    const auto read = read_sweep(*part, csv);
    REQUIRE(sluice::message_of(read.status()) == "");
    const auto run = run_sweep(*part, 2);
    REQUIRE(run.ok());
    CHECK(sweep_text(*part, *read) == sweep_text(*part, *run));
    CHECK(sweep_markdown(*part, *read) == sweep_markdown(*part, *run));
}

TEST_CASE("sweep: the committed tables are those of the committed runs", "[sweep]") {
    auto sweep = load_sweep(committed("evaluation.json"));
    REQUIRE(sweep.ok());
    const auto result = read_sweep(*sweep, read(committed("evaluation.csv")));
    REQUIRE(sluice::message_of(result.status()) == "");
    drop_request_figures(*sweep);
    const std::string tables = read(committed("evaluation.md"));
    const std::string now = sweep_markdown(*sweep, *result);
    std::size_t count = 0;
    for (std::size_t at = now.find("<!-- table "); at != std::string::npos; ++count) {
        const std::size_t next = now.find("<!-- table ", at + 1);
        const std::string one = now.substr(at, now.find("\n\n", at) - at);
        CHECK_THAT(tables, ContainsSubstring(one));
        at = next;
    }
    CHECK(count > 0);
}

TEST_CASE("sweep: the cheapest of the committed runs come out the same", "[sweep]") {
    const auto sweep = load_sweep(committed("evaluation.json"));
    REQUIRE(sweep.ok());
    CHECK(sluice::message_of(check_sweep(*sweep, read(committed("evaluation.csv")), 12, 2)) == "");
}

TEST_CASE("sweep: every option of a run is a column or has its place", "[sweep]") {
    const run_options options;
    for (const run_option& option : all_run_options()) {
        CAPTURE(option.name);
        CHECK(option_text(options, option.name).has_value());
    }
    CHECK_FALSE(option_text(options, "none").has_value());
    sweep_run run;
    run.figures = {"a", "b"};
    run.options.policy = "a \"quoted\", one";
    const std::string key = csv_key(run, 3);
    CHECK(key.substr(0, 2) == "3,");
    CHECK_THAT(key, ContainsSubstring("\"a \"\"quoted\"\", one\""));
    measured values;
    values.fill(0.5);
    values[0] = 1.0 / 3;
    const std::string out = csv_values(values, 42);
    CHECK(out.substr(0, 13) == "0.3333333,0.5");
    CHECK(out.substr(out.size() - 7) == ",0.5,42");
    CHECK(as_written(values)[0] == 0.3333333);

    const std::string line = "7,a b," + key + ',' + out;
    const std::string text = csv_names() + '\n' + line + '\n';
    const auto rows = read_csv(text);
    REQUIRE(rows.ok());
    REQUIRE(rows->contains(key));
    CHECK(rows->at(key).numbers == as_written(values));
    CHECK(rows->at(key).block_operations == 42);
}
