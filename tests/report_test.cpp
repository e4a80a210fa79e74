// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include <sluice/observe/html_report.hpp>
#include <sluice/observe/json_report.hpp>
#include <sluice/observe/perfetto.hpp>
#include <sluice/observe/table.hpp>

using Catch::Matchers::ContainsSubstring;
using nlohmann::json;

namespace {

/// Text that would break out of HTML, of a script element, of JSON or of a terminal.
constexpr const char* hostile = "</script><b>&amp;\"'\\\x1b[31m\xff";

sluice::run_result make_run(std::string config, std::string policy, double ttft, std::size_t n) {
    sluice::run_result run;
    run.config = std::move(config);
    run.policy = std::move(policy);
    run.duration_s = 10;
    for (std::size_t i = 0; i < n; ++i) {
        sluice::request_result r;
        r.id = i;
        r.arrival_s = static_cast<double>(i);
        r.ttft_s = ttft * static_cast<double>(i + 1);
        r.deadline_multiple = i % 2 == 0 ? 2 : 4;
        r.t0_s = 0.5;
        r.prompt_tokens = 512;
        r.loaded_blocks = 10;
        r.total_blocks = 11;
        r.outcome = sluice::request_outcome::computed;
        run.requests.push_back(r);
        const double start = r.arrival_s;
        for (int b = 0; b < 4; ++b) {
            const double at = start + 0.1 * b;
            run.add_span({"fetch", i, at, at + 0.15, 1000});  // two at a time
            run.add_span({"copy", i, at + 0.15, at + 0.2, 1000});
        }
        run.add_span({"compute", i, start + 0.6, start + 0.7, 0});
    }
    run.stages = {{"fetch", 0.9}, {"copy", 0.25}, {"compute", 0.125}};
    run.bytes_loaded = 1'500'000;
    run.tokens_computed = 4800;
    run.bytes_deduplicated = 10;
    run.blocks_verified = 40;
    run.logits_compared = n;
    return run;
}

sluice::experiment_result make_experiment() {
    sluice::experiment_result e;
    e.title = "A title";
    e.facts = {{"link", "40 MB/s"}};
    e.coupled_offered_load = 0.9;
    e.rows = {make_run("recompute", "fifo", 0.1, 2), make_run("coupled", "fifo", 0.4, 4),
              make_run("pipelined", "sjf", 0.2, 4)};
    e.notes = {"recompute stopped at its time limit after 2 requests"};
    return e;
}

std::size_t count_of(const std::string& text, std::string_view part) {
    std::size_t n = 0;
    for (std::size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) {
        ++n;
    }
    return n;
}

}  // namespace

TEST_CASE("report: the JSON contract", "[report]") {
    const json j = json::parse(sluice::json_report(make_experiment()));
    CHECK(j["coupled_offered_load"] == 0.9);
    CHECK(j["facts"]["link"] == "40 MB/s");
    REQUIRE(j["rows"].size() == 3);
    const json& row = j["rows"][2];
    CHECK(row["config"] == "pipelined");
    CHECK(row["policy"] == "sjf");
    CHECK(row["split"] == false);
    CHECK(row["requests"] == 4);
    CHECK(row["ttft_s"]["mean"] == 0.5);
    CHECK(row["ttft_s"]["p50"] == 0.5);
    CHECK(row["ttft_s"].contains("p95"));
    CHECK(row["ttft_s"].contains("p99"));
    CHECK(row["slo_attainment"]["2x"] == 1.0);
    CHECK(row["slo_attainment"]["8x"].is_null());
    CHECK(row["slo_attainment"]["all"] == 1.0);
    CHECK(row["busy"] == json({{"fetch", 0.9}, {"copy", 0.25}, {"compute", 0.125}}));
    CHECK(row["bytes_loaded"] == 1'500'000);
    CHECK(row["tokens_computed"] == 4800);
    CHECK(row["bytes_deduplicated"] == 10);
    CHECK(row["blocks_verified"] == 40);
    CHECK(row["logits_compared"] == 4);
    CHECK(row["logits_mismatched"] == 0);
    CHECK_FALSE(row.contains("request_results"));

    const json with = json::parse(sluice::json_report(make_experiment(), {.requests = true}));
    CHECK(with["rows"][2]["request_results"].size() == 4);
}

TEST_CASE("report: JSON of odd values stays JSON", "[report]") {
    sluice::experiment_result e = make_experiment();
    e.title = hostile;
    e.rows[0].policy = hostile;
    e.coupled_offered_load = std::numeric_limits<double>::infinity();
    e.rows[0].requests.clear();
    const json j = json::parse(sluice::json_report(e));
    CHECK(j["coupled_offered_load"].is_null());
    CHECK(j["rows"][0]["requests"] == 0);
    CHECK(json::parse(sluice::json_report({}))["rows"].empty());
}

TEST_CASE("report: the terminal table", "[report]") {
    const std::string plain = sluice::render_table(make_experiment());
    CHECK_THAT(plain, ContainsSubstring("pipelined sjf"));
    CHECK_THAT(plain, ContainsSubstring("note: recompute stopped"));
    CHECK_THAT(plain, ContainsSubstring("1.50 MB"));
    CHECK_THAT(plain, !ContainsSubstring("\x1b"));
    std::istringstream lines(plain);
    for (std::string line; std::getline(lines, line);) {
        CHECK(line.size() <= 120);
        CHECK((line.empty() || line.back() != ' '));
    }
    // The best mean is that of the full rows: recompute, which stopped early, does not count.
    const std::string bold = sluice::render_table(make_experiment(), {.bold = true});
    CHECK_THAT(bold, ContainsSubstring("\x1b[1m 500\x1b[0m"));
    CHECK_THAT(bold, !ContainsSubstring("\x1b[1m 150\x1b[0m"));
}

TEST_CASE("report: names cannot steer the terminal", "[report]") {
    sluice::experiment_result e = make_experiment();
    e.title = e.notes[0] = e.facts[0].value = e.rows[1].policy = hostile;
    CHECK_THAT(sluice::render_table(e), !ContainsSubstring("\x1b"));
}

TEST_CASE("report: a row without a first token has no figures to be best with", "[report]") {
    sluice::experiment_result e = make_experiment();
    for (sluice::request_result& r : e.rows[2].requests) {
        r.outcome = sluice::request_outcome::failed;
    }
    const sluice::page_table table = sluice::comparison_table(e);
    CHECK(table.rows[2][2].text == "-");
    CHECK_FALSE(table.rows[2][2].best);
    CHECK(table.rows[1][2].best);
    CHECK(sluice::comparison_table({}).rows.empty());
}

TEST_CASE("report: numbers for people", "[report]") {
    CHECK(sluice::format_bytes(0) == "0 B");
    CHECK(sluice::format_bytes(999) == "999 B");
    CHECK(sluice::format_bytes(1000) == "1.00 kB");
    CHECK(sluice::format_bytes(999'999) == "1.00 MB");
    CHECK(sluice::format_bytes(12'345'678) == "12.3 MB");
    CHECK(sluice::format_bytes(UINT64_MAX) == "18447 PB");
    CHECK(sluice::format_count(812) == "812");
    CHECK(sluice::format_count(12'345) == "12.3K");
    CHECK(sluice::format_seconds(0) == "0 s");
    CHECK(sluice::format_seconds(1.234) == "1.23 s");
    CHECK(sluice::format_seconds(0.99999) == "1.00 s");
    CHECK(sluice::format_seconds(0.0456) == "45.6 ms");
    CHECK(sluice::format_seconds(7.89e-4) == "789 us");
    CHECK(sluice::format_seconds(-0.0456) == "-45.6 ms");
    CHECK(sluice::format_seconds(1.5e-9) == "1.50 ns");
    CHECK(sluice::format_seconds(std::nan("")) == "-");
}

TEST_CASE("report: the page refers to nothing outside itself", "[report]") {
    const std::string page = sluice::html_report(make_experiment());
    for (const char* word : {"src=", "href=", "url(", "@import", "fetch(", "import "}) {
        CAPTURE(word);
        CHECK_THAT(page, !ContainsSubstring(word));
    }
    // The name of a namespace, which nothing loads.
    CHECK(count_of(page, "http") == count_of(page, "http://www.w3.org/2000/svg"));
    CHECK_THAT(page, ContainsSubstring("<!doctype html>"));
    CHECK_THAT(page, ContainsSubstring("prefers-color-scheme: dark"));
    CHECK_THAT(page, ContainsSubstring("<td>pipelined sjf</td>"));
}

TEST_CASE("report: text on the page is escaped", "[report]") {
    sluice::experiment_result e = make_experiment();
    e.title = e.notes[0] = e.facts[0].name = e.facts[0].value = hostile;
    e.rows[1].policy = hostile;
    e.rows[1].spans[0].stage = hostile;
    const std::string page = sluice::html_report(e);
    const std::string clean = sluice::html_report(make_experiment());
    CHECK(count_of(page, "</script>") == count_of(clean, "</script>"));
    CHECK(count_of(page, "<b>") == count_of(clean, "<b>"));

    const std::string open = "id=\"data\">";
    const std::size_t begin = page.find(open) + open.size();
    const json data = json::parse(page.substr(begin, page.find("</script>", begin) - begin));
    REQUIRE(data["plots"].size() == 5);
    CHECK(data["plots"][4]["kind"] == "gantt");
}

TEST_CASE("report: touching operations of a request are one bar", "[report]") {
    const sluice::report_page page = sluice::page_of(make_experiment());
    const sluice::page_plot& chart = page.plots.back();
    REQUIRE(chart.kind == sluice::plot_kind::gantt);
    REQUIRE(chart.gantts.size() == 3);
    CHECK(chart.first_gantt == 2);
    const sluice::gantt_series& row = chart.gantts[1];
    CHECK(row.lanes == std::vector<std::string>{"fetch", "copy", "compute"});
    // Four overlapping fetches become one bar, four copies stay, and so does one compute.
    CHECK(row.bars.size() == 4 * (1 + 4 + 1));
}

TEST_CASE("report: the chart is bounded however many operations there were", "[report]") {
    sluice::experiment_result e = make_experiment();
    e.rows.resize(1);
    e.rows[0].spans.clear();
    for (std::uint64_t i = 0; i < 50'000; ++i) {
        const double at = static_cast<double>(i) * 1e-3;
        e.rows[0].add_span({"fetch", i % 2, at, at + 0.5e-3, 1});
    }
    CHECK(sluice::page_of(e).plots.back().gantts[0].bars.size() <= 6000);
}

TEST_CASE("report: an experiment without rows is still a page", "[report]") {
    CHECK_THAT(sluice::html_report({}), ContainsSubstring("</html>"));
}

TEST_CASE("report: the Perfetto trace", "[report]") {
    sluice::experiment_result e = make_experiment();
    e.rows[0].policy = e.rows[1].policy = hostile;
    e.rows[1].spans[0].start_s = std::numeric_limits<double>::quiet_NaN();
    const json j = json::parse(sluice::perfetto_trace(e));
    std::size_t slices = 0;
    std::set<std::string> threads;
    std::map<std::pair<int, int>, double> ends;
    std::map<std::string, std::string> flows;
    int open_requests = 0;
    for (const json& event : j["traceEvents"]) {
        const std::string phase = event["ph"];
        if (phase == "X") {
            ++slices;
            CHECK(event["dur"].get<double>() >= 0);
            CHECK(event["args"].contains("request"));
            CHECK(event["args"].contains("bytes"));
        } else if (phase == "M" && event["name"] == "thread_name" && event["pid"] == 3) {
            threads.insert(event["args"]["name"].get<std::string>());
        } else if (phase == "s" || phase == "t" || phase == "f") {
            flows[event["id"].get<std::string>()] += phase;
        } else if (phase == "b") {
            ++open_requests;
        } else if (phase == "e") {
            --open_requests;
        }
    }
    CHECK(slices == e.rows[0].spans.size() + e.rows[1].spans.size() + e.rows[2].spans.size());
    CHECK(threads == std::set<std::string>{"compute", "copy", "fetch", "fetch 2"});
    CHECK(flows.size() == 10);
    CHECK(std::all_of(flows.begin(), flows.end(), [](const auto& f) { return f.second == "stf"; }));
    CHECK(open_requests == 0);
    CHECK(json::parse(sluice::perfetto_trace({}))["traceEvents"].empty());
}
