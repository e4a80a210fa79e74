// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <iterator>
#include <string>
#include <string_view>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include <sluice/base/status.hpp>

#include "experiment/apps/summary.hpp"
#include "experiment/apps/sweep.hpp"
#include "support/real_runs.hpp"
#include "support/small_runs.hpp"

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using namespace sluice::experiment;

namespace {

app_case run(const app_options& options) {
    app_input_cache inputs;
    auto out = run_apps(options, inputs, 2);
    INFO(options.policy << ": " << out.status().ToString());
    REQUIRE(out.ok());
    return *std::move(out);
}

app_options small_options(const sluice_test::small_runs& small, std::string_view policy) {
    app_options o;
    o.runs = small.folder();
    o.mix = small.mix();
    o.policy = policy;
    o.splits = 3;
    return o;
}

std::string fault_of(app_options options) {
    app_input_cache inputs;
    const auto out = run_apps(options, inputs, 1);
    CHECK_FALSE(out.ok());
    return std::string(sluice::message_of(out.status()));
}

constexpr std::string_view all_policies[] = {"fifo",
                                             "sjf",
                                             "edf",
                                             "app_fifo",
                                             "vtc",
                                             "las",
                                             "gittins",
                                             "mean_srpt",
                                             "gittins_artifact",
                                             "gittins:online=off",
                                             "oracle",
                                             "oracle:by=path",
                                             "app_lstf",
                                             "aging:after=60(gittins)"};

}  // namespace

TEST_CASE("apps: one alone takes the time of its steps", "[apps]") {
    sluice_test::small_runs small;
    const std::string run_line =
        R"("units": [{"unit": "plan", "backend": "llm", "start_order": 0, "calls": [)"
        R"({"prompt_tokens": 100, "completion_tokens": 3}]},)"
        R"({"unit": "work", "backend": "dnn", "start_order": 1, "calls": [)"
        R"({"duration_ms": 2000}, {"duration_ms": 3000}]},)"
        R"({"unit": "tell", "backend": "llm", "start_order": 2, "calls": [)"
        R"({"prompt_tokens": 50, "completion_tokens": 2}, )"
        R"({"prompt_tokens": 60, "completion_tokens": 1}]}]})";
    // The client of this one does not wait before its calls.
    (void)small.write("hugginggpt.jsonl", R"({"app": "hugginggpt", "run": 0, )" + run_line + '\n' +
                                              R"({"app": "hugginggpt", "run": 1, )" + run_line);
    app_options o = small_options(small, "gittins");
    o.mix = small.write("one.json", R"({"name": "one", "weights": {"hugginggpt": 1},
"window_s": 10, "tasks": 1})");
    o.splits = 1;
    const app_case out = run(o);
    // Prefill 28.2 ms + 161 us a token, a step of one sequence 23.79 ms; the second prompt of the
    // last unit is prefilled before the first's second token.
    const double expected = 0.0282 + 0.0161 + 2 * 0.02379 + 5 + 2 * 0.0282 + 110 * 161e-6 + 0.02379;
    CHECK(out.act_s.mean.mean == Approx(expected).epsilon(1e-6));
    CHECK(out.runs[0].tracker.ended == 1);
    CHECK(out.runs[0].tracker.learned == 1);
}

TEST_CASE("apps: every policy serves them all, and trackers refuse nothing", "[apps]") {
    const sluice_test::small_runs small;
    for (const std::string_view policy : all_policies) {
        app_options o = small_options(small, policy);
        o.deadlines = true;
        o.intensity = 3;
        const app_case out = run(o);
        INFO(policy);
        for (const app_run& r : out.runs) {
            REQUIRE(r.tasks.size() == 40);
            for (const app_run::task& t : r.tasks) {
                CHECK(t.completion_s > 0);
                CHECK(t.allowed_s > 0);
            }
            CHECK(r.tracker.ended == 40);
            CHECK(r.tracker.refused_unknown + r.tracker.refused_order + r.tracker.refused_value +
                      r.tracker.refused_full ==
                  0);
            CHECK(r.tracker.irregular == 0);
            CHECK(r.tracker.unknown_class == 0);
        }
    }
}

TEST_CASE("apps: the same options give the same result, on any number of threads", "[apps]") {
    const sluice_test::small_runs small;
    const app_options o = small_options(small, "gittins");
    app_input_cache inputs;
    const auto one = run_apps(o, inputs, 1);
    const auto more = run_apps(o, inputs, 3);
    REQUIRE(one.ok());
    REQUIRE(more.ok());
    auto a = nlohmann::json::parse(app_case_json(*one));
    auto b = nlohmann::json::parse(app_case_json(*more));
    a.erase("wall_s");
    b.erase("wall_s");
    CHECK(a == b);
}

TEST_CASE("apps: orders that know sizes finish small ones first", "[apps]") {
    const sluice_test::small_runs small;
    app_options o = small_options(small, "fifo");
    o.intensity = 4;
    const double fifo = run(o).by_application.at("chat").mean.mean;
    o.policy = "gittins";
    const double gittins = run(o).by_application.at("chat").mean.mean;
    o.policy = "oracle";
    const double oracle = run(o).by_application.at("chat").mean.mean;
    CHECK(gittins < 0.7 * fifo);
    CHECK(oracle < 0.7 * fifo);
}

TEST_CASE("apps: where prefixes are far, prewarming brings them near before the calls", "[apps]") {
    SLUICE_REAL_RUNS_OR_SKIP(runs)
    app_options o;
    o.runs = runs;
    o.mix = "kv_cache";
    o.engine = "h800-llama3-70b-tp4";
    o.tasks = 80;
    o.window_s = 120;
    o.splits = 2;
    o.load_share = 0.4;
    const app_case without = run(o);
    o.cache = cache_use::prewarm;
    const app_case with = run(o);
    // What is cached is so for both; with nobody far ahead it is fetched when the call is there.
    CHECK(without.cached_share > 0.7);
    CHECK(with.cached_share == Approx(without.cached_share));
    CHECK(without.near_share < 0.1);
    CHECK(with.near_share > 0.5);
    CHECK(with.ttft_s < 0.9 * without.ttft_s);
    o.cache = cache_use::late;
    CHECK(run(o).cached_share == Approx(without.cached_share));
}

TEST_CASE("apps: loading takes its share of the TTFT of a call that loads, alone", "[apps]") {
    sluice_test::small_runs small;
    // Two turns, the second behind 64 blocks of the first; nobody waits before its calls.
    const std::string units =
        R"("units": [{"unit": "code_generation", "backend": "llm", "start_order": 0, "calls": [)"
        R"({"prompt_tokens": 2048, "completion_tokens": 1}]},)"
        R"({"unit": "code_generation", "backend": "llm", "start_order": 1, "calls": [)"
        R"({"prompt_tokens": 2148, "completion_tokens": 1}]}]})";
    (void)small.write("code_feedback.jsonl", R"({"app": "code_feedback", "run": 0, )" + units +
                                                 '\n' + R"({"app": "code_feedback", "run": 1, )" +
                                                 units);
    app_options o = small_options(small, "gittins");
    o.mix = small.write("one.json", R"({"name": "one", "weights": {"code_feedback": 1},
"window_s": 10, "tasks": 1})");
    o.splits = 1;
    o.load_share = 0.6;
    const app_case out = run(o);
    const double first = 0.0282 + 2048 * 161e-6;
    const double second = (0.0282 + 100 * 161e-6) / 0.4;
    CHECK(2 * out.ttft_s == Approx(first + second).epsilon(0.15));  // and the copy to the GPU
    CHECK(2 * out.ttft_s >= first + second);
}

TEST_CASE("apps: JSON has what scripts read", "[apps]") {
    const sluice_test::small_runs small;
    app_options o = small_options(small, "app_lstf");
    o.deadlines = true;
    const auto out = nlohmann::json::parse(app_case_json(run(o)));
    CHECK(out.at("policy") == "app_lstf");
    CHECK(out.at("engine") == "a100-llama2-7b");
    CHECK(out.at("intensity") == 1);
    CHECK(out.at("splits") == 3);
    for (const char* key : {"mean", "mean_ci95", "p50", "p90", "p95", "p99"}) {
        CHECK(out.at("act_s").at(key) > 0);
    }
    for (const char* key : {"tight", "modest", "loose", "all"}) {
        CHECK(out.at("deadline_satisfaction").at(key) >= 0);
    }
    CHECK(out.at("backend_busy").at("llm") > 0);
    CHECK(out.at("wall_s") > 0);
    o.deadlines = false;
    const auto without = nlohmann::json::parse(app_case_json(run(o)));
    CHECK(without.at("deadline_satisfaction").at("all").is_null());
}

TEST_CASE("apps: options out of range, and inputs that do not fit", "[apps]") {
    app_options o;
    const auto fault = [&o](std::string_view name, std::string_view text) {
        return std::string(sluice::message_of(set_app_option(o, name, text)));
    };
    CHECK_THAT(fault("intensity", "0"), ContainsSubstring("intensity"));
    CHECK_THAT(fault("intensity", "nan"), ContainsSubstring("number"));
    CHECK_THAT(fault("splits", "0"), ContainsSubstring("1 to 1000"));
    CHECK_THAT(fault("tasks", "-1"), ContainsSubstring("tasks"));
    CHECK_THAT(fault("external", "best"), ContainsSubstring("rank, fifo"));
    CHECK_THAT(fault("policy", "gitins"), ContainsSubstring("gittins"));
    CHECK_THAT(fault("nothing", "1"), ContainsSubstring("split-seed"));
    CHECK(set_app_option(o, "split_seed", "5").ok());

    const sluice_test::small_runs small;
    app_options bad = small_options(small, "gittins");
    bad.engine = "a100-100g";
    CHECK_THAT(fault_of(bad), ContainsSubstring("'model'"));
    bad.engine = "none";
    CHECK_THAT(fault_of(bad), ContainsSubstring("a100-llama2-7b"));
    bad = small_options(small, "gittins");
    bad.runs += "/none";
    CHECK_THAT(fault_of(bad), ContainsSubstring("none"));
}

// ---- sweeps

namespace {

constexpr std::string_view sweep_text = R"({"title": "small", "settings": {"splits": 2},
"figures": [{"name": "two", "title": "Two orders", "caption": "c", "rows": [
 {"label": "fifo", "settings": {"policy": "fifo"}}, {"label": "gittins"}],
"columns": [
 {"label": "x1", "measure": "act_mean", "unit": "s"},
 {"label": "x3", "measure": "act_mean", "unit": "%", "against": "fifo", "settings": {"intensity": 3}},
 {"label": "chats", "measure": "act_mean", "application": "chat", "unit": "min"},
 {"label": "paper", "unit": "%", "against": "fifo", "paper": {"": {"fifo": 10, "gittins": 4}}}]}]})";

std::string with_mix(std::string text, const sluice_test::small_runs& small) {
    text.replace(text.find("\"splits\""), 0, "\"mix\": \"" + small.mix() + "\", ");
    return text;
}

std::string sweep_fault(const std::string& text) {
    const sluice_test::temp_dir folder;
    const auto sweep = load_app_sweep(folder.write("sweep.json", text));
    CHECK_FALSE(sweep.ok());
    return std::string(sluice::message_of(sweep.status()));
}

std::string replaced(std::string_view what, std::string_view by) {
    std::string out(sweep_text);
    out.replace(out.find(what), what.size(), by);
    return out;
}

}  // namespace

TEST_CASE("apps sweep: tables, and a table of runs that can be checked", "[apps]") {
    sluice_test::small_runs small;
    const auto sweep =
        load_app_sweep(small.write("sweep.json", with_mix(std::string(sweep_text), small)));
    INFO(sweep.status().ToString());
    REQUIRE(sweep.ok());
    const auto results = run_app_sweep(*sweep, small.folder(), 2);
    REQUIRE(results.ok());
    CHECK(results->size() == 4);  // two columns need the same runs
    const auto tables = app_sweep_markdown(*sweep, *results);
    INFO(tables.status().ToString());
    REQUIRE(tables.ok());
    CHECK_THAT(*tables, ContainsSubstring("<!-- table two 1 -->"));
    CHECK_THAT(*tables, ContainsSubstring("| order | x1, s | x3, % | chats, min | paper, % |"));
    CHECK_THAT(*tables, ContainsSubstring("| -60.0 |"));

    const std::string csv = app_sweep_csv(*results);
    const auto read = read_app_sweep_csv(csv);
    INFO(read.status().ToString());
    REQUIRE(read.ok());
    CHECK(app_sweep_csv(*read) == csv);
    CHECK(*app_sweep_markdown(*sweep, *read) == *tables);
    CHECK(check_app_sweep(*sweep, small.folder(), *read, 100, 2).ok());
    auto changed = *read;
    changed.begin()->second[0].values[0] *= 1.001;
    CHECK_THAT(
        std::string(sluice::message_of(check_app_sweep(*sweep, small.folder(), changed, 100, 2))),
        ContainsSubstring("act_mean was"));
    changed.erase(changed.begin());
    CHECK_FALSE(check_app_sweep(*sweep, small.folder(), changed, 100, 2).ok());
    CHECK_FALSE(app_sweep_markdown(*sweep, changed).ok());
    CHECK_THAT(
        std::string(sluice::message_of(read_app_sweep_csv(csv.substr(0, csv.rfind(','))).status())),
        ContainsSubstring("line "));
    CHECK_FALSE(read_app_sweep_csv("a,b\n").ok());
}

TEST_CASE("apps sweep: what is wrong with a file is named", "[apps]") {
    CHECK_THAT(sweep_fault(replaced("\"policy\": \"fifo\"", "\"policy\": \"fif\"")),
               ContainsSubstring("policy"));
    CHECK_THAT(sweep_fault(replaced("\"intensity\": 3", "\"intensity\": -3")),
               ContainsSubstring("intensity"));
    CHECK_THAT(sweep_fault(replaced("\"splits\": 2", "\"split\": 2")),
               ContainsSubstring("there is no option"));
    CHECK_THAT(sweep_fault(replaced("act_mean", "act")), ContainsSubstring("act_p95"));
    CHECK_THAT(sweep_fault(replaced("\"against\": \"fifo\"", "\"against\": \"lifo\"")),
               ContainsSubstring("lifo"));
    CHECK_THAT(sweep_fault(replaced("\"fifo\": 10", "\"lifo\": 10")), ContainsSubstring("lifo"));
    CHECK_THAT(sweep_fault(replaced("\"label\": \"gittins\"", "\"label\": \"fifo\"")),
               ContainsSubstring("two are called"));
    CHECK_THAT(sweep_fault(replaced("\"unit\": \"s\"", "\"unit\": \"h\"")),
               ContainsSubstring("unit"));
}

TEST_CASE("apps sweep: the committed figures are what the committed sweep gives", "[apps]") {
    SLUICE_REAL_RUNS_OR_SKIP(runs)
    const std::string folder = SLUICE_SWEEPS;
    const auto sweep = load_app_sweep(folder + "/applications.json");
    INFO(sweep.status().ToString());
    REQUIRE(sweep.ok());
    const auto text = [](const std::string& path) {
        std::ifstream in(path, std::ios::binary);
        return std::string{std::istreambuf_iterator<char>(in), {}};
    };
    const auto results = read_app_sweep_csv(text(folder + "/applications.csv"));
    INFO(results.status().ToString());
    REQUIRE(results.ok());
    const auto tables = app_sweep_markdown(*sweep, *results);
    REQUIRE(tables.ok());
    CHECK(*tables == text(folder + "/applications.md"));
    const absl::Status same = check_app_sweep(*sweep, runs, *results, 8, 2);
    INFO(same.ToString());
    CHECK(same.ok());
}
