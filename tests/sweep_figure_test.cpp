// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/observe/table.hpp>

#include "experiment/sweep_figure.hpp"
#include "experiment/sweep_text.hpp"

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using namespace sluice::experiment;

namespace {

constexpr double none = std::numeric_limits<double>::quiet_NaN();

measured numbers(double ttft, double met, double load) {
    measured out;
    out.fill(none);
    out[static_cast<std::size_t>(measure_id::arrived)] = 100;
    out[static_cast<std::size_t>(measure_id::ttft_mean)] = ttft;
    out[static_cast<std::size_t>(measure_id::attainment)] = met;
    out[static_cast<std::size_t>(measure_id::offered_load)] = load;
    out[static_cast<std::size_t>(measure_id::bottleneck)] = load * 0.6;
    out[static_cast<std::size_t>(measure_id::qps)] = load * 1.3;
    return out;
}

sweep_axis axis(std::string key, std::vector<std::string> values, std::vector<double> places = {}) {
    sweep_axis out{std::move(key), values, values, std::move(places), {}};
    out.numbers.resize(values.size(), none);
    out.dashed.resize(values.size(), false);
    return out;
}

/// Two variants at three loads, two seeds each; the second variant takes half the time.
struct example {
    figure_spec figure;
    std::vector<run_figures> runs;

    example() {
        figure.name = "by_load";
        figure.title = "TTFT by load";
        figure.kind = figure_kind::lines;
        figure.axes = {axis("variant", {"coupled fifo", "pipelined sjf"}),
                       axis("offered_load", {"0.5", "0.7", "0.9"}, {0.5, 0.7, 0.9})};
        figure.axes[0].dashed[0] = true;
        figure.x = 1;
        figure.shown = {{measure_id::ttft_mean, "", ""}, {measure_id::attainment, "", ""}};
        for (std::size_t v = 0; v < 2; ++v) {
            for (std::size_t l = 0; l < 3; ++l) {
                const double load = 0.5 + 0.2 * static_cast<double>(l);
                const double ttft = load / (1.1 - load) / static_cast<double>(v + 1);
                run_figures run;
                run.seeds = {numbers(ttft, 1 - load / 2, load), numbers(ttft * 1.2, 0.5, load)};
                run.conditions = {v == 0 ? "icl" : "code", "one model"};
                for (int i = 0; i < 190; ++i) {
                    run.ttft.push_back(static_cast<float>(ttft * i / 100));
                    run.points.push_back(
                        {static_cast<float>(i), 0, static_cast<float>(2 * i + 1), 0, 0});
                }
                figure.runs.push_back(runs.size());
                runs.push_back(std::move(run));
            }
        }
    }
};

}  // namespace

TEST_CASE("sweep: numbers as text", "[sweep]") {
    CHECK(text_of({0.41234, 0.0131}, measure_unit::seconds, 3) == "0.412 \u00b10.013");
    CHECK(text_of({0.9312, {}}, measure_unit::share, 1) == "93.1");
    CHECK(text_of({-0.813, 0.012}, measure_unit::change, 1) == "-81.3 \u00b11.2");
    CHECK(text_of({0.6167, {}}, measure_unit::points, 1) == "+61.7");
    CHECK(text_of({-1e-9, {}}, measure_unit::points, 1) == "+0.0");
    CHECK(text_of({none, {}}, measure_unit::seconds, 3) == "-");
}

TEST_CASE("sweep: every measure is found by its name", "[sweep]") {
    for (const measure_info& m : measures()) {
        CHECK(find_measure(m.name) == &m);
        CHECK(&info_of(m.id) == &m);
    }
    CHECK(find_measure("ttft") == nullptr);
}

TEST_CASE("sweep: differences are taken seed by seed", "[sweep]") {
    const example e;
    const shown_measure change{measure_id::ttft_mean, "", "coupled fifo"};
    const estimate half = estimate_of(change, e.runs[3].seeds, &e.runs[0].seeds);
    CHECK(half.mean == Approx(-0.5));
    CHECK(half.ci95.value() ==
          Approx(0).margin(1e-12));  // what the seeds have in common cancels out
    CHECK(change.title() == "mean TTFT against coupled fifo, %");
    const shown_measure points{measure_id::attainment, "gain", "coupled fifo"};
    CHECK(points.unit() == measure_unit::points);
    CHECK(points.title() == "gain, points");
    CHECK(std::isnan(estimate_of(points, e.runs[0].seeds, nullptr).mean));
}

TEST_CASE("sweep: lines have intervals, and a table below", "[sweep]") {
    const example e;
    const drawn_figure drawn = draw(e.figure, e.runs);
    REQUIRE(drawn.plots.size() == 2);
    const sluice::page_plot& plot = drawn.plots[0];
    REQUIRE(plot.series.size() == 2);
    CHECK(plot.series[0].name == "coupled fifo");
    CHECK(plot.series[0].look == sluice::series_look::dashed);
    CHECK(plot.series[1].look == sluice::series_look::solid);
    REQUIRE(plot.series[1].points.size() == 3);
    CHECK(plot.series[1].points[2].x == 0.9);
    CHECK(plot.series[1].points[2].low < plot.series[1].points[2].y);
    CHECK(plot.series[1].points[2].high > plot.series[1].points[2].y);
    CHECK_THAT(plot.caption, ContainsSubstring("icl, code; one model. 100 requests, 2 seeds"));
    CHECK_THAT(plot.caption, ContainsSubstring("offered load of coupled 0.50 to 0.90"));
    CHECK(drawn.plots[1].y.percent);

    REQUIRE(drawn.tables.size() == 2);
    const sluice::page_table& table = drawn.tables[0];
    REQUIRE(table.rows.size() == 3);
    CHECK(table.rows[2][0].text == "0.9");
    CHECK(table.rows[2][1].text == "0.54");  // the bottleneck's load
    CHECK_FALSE(table.rows[2][3].best);
    CHECK(table.rows[2][4].best);
}

TEST_CASE("sweep: points of lines may stand at a measure", "[sweep]") {
    example e;
    e.figure.x_measure = "bottleneck";
    const drawn_figure drawn = draw(e.figure, e.runs);
    CHECK(drawn.plots[0].series[0].points[2].x == Approx(0.54));
}

TEST_CASE("sweep: bars, tables, distributions and fits of the same runs", "[sweep]") {
    example e;
    e.figure.kind = figure_kind::bars;
    e.figure.x = 0;
    e.figure.shown = {{measure_id::ttft_mean, "", ""}};
    drawn_figure drawn = draw(e.figure, e.runs);
    REQUIRE(drawn.plots.size() == 1);
    CHECK(drawn.plots[0].categories == e.figure.axes[0].values);
    CHECK(drawn.plots[0].series.size() == 3);

    e.figure.kind = figure_kind::table;
    e.figure.across = 1;
    drawn = draw(e.figure, e.runs);
    REQUIRE(drawn.tables.size() == 1);
    CHECK(drawn.plots.empty());
    CHECK(drawn.tables[0].rows.size() == 2);
    CHECK(drawn.tables[0].groups.size() == 4);
    CHECK(drawn.tables[0].rows[1][3].best);

    e.figure.across = figure_spec::no_axis;
    e.figure.panels = {1};
    drawn = draw(e.figure, e.runs);
    REQUIRE(drawn.tables.size() == 3);
    CHECK(drawn.tables[2].title == "TTFT by load: 0.9");

    e.figure.kind = figure_kind::distribution;
    drawn = draw(e.figure, e.runs);
    REQUIRE(drawn.plots.size() == 3);
    // 190 of 200 finished.
    CHECK(drawn.plots[0].series[0].points.back().y == Approx(0.95));
    CHECK(drawn.tables[0].rows[0].back().text == "95.0");

    e.figure.kind = figure_kind::scatter_fit;
    drawn = draw(e.figure, e.runs);
    REQUIRE(drawn.plots[0].series.size() == 4);
    CHECK(drawn.plots[0].series[1].joined);
    CHECK(drawn.tables[0].rows[0][2].text == "1.000000");
    CHECK(drawn.tables[0].rows[0][4].text == "1.00000");
}

TEST_CASE("sweep: a figure of runs without any number is still a figure", "[sweep]") {
    example e;
    for (run_figures& run : e.runs) {
        run = {};
    }
    for (const figure_kind kind : {figure_kind::lines, figure_kind::bars, figure_kind::table,
                                   figure_kind::distribution, figure_kind::scatter_fit}) {
        e.figure.kind = kind;
        CHECK_FALSE(draw(e.figure, e.runs).tables.empty());
    }
}

TEST_CASE("sweep: tables in Markdown", "[sweep]") {
    sluice::page_table table;
    table.groups = {{"", {"variant"}}, {"TTFT, s", {"a|b", "c_d"}}};
    table.rows = {{{"x"}, {"1", true}, {"2"}}};
    CHECK(markdown_table(table) ==
          "| variant (TTFT, s) | a\\|b | c\\_d |\n|---|---:|---:|\n| x | **1** | 2 |\n");
    table.groups.push_back({"met", {"2x"}});
    table.rows[0].push_back({"9\n9"});
    CHECK(markdown_table(table) ==
          "| variant | TTFT, s: a\\|b | TTFT, s: c\\_d | met: 2x |\n|---|---:|---:|---:|\n"
          "| x | **1** | 2 | 9 9 |\n");
}
