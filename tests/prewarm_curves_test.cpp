// SPDX-License-Identifier: Apache-2.0
#include "../src/experiment/apps/prewarm_curves.hpp"

#include <cmath>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/base/status.hpp>

#include "../src/command/prewarm_curves_command.hpp"
#include "../src/json/located.hpp"
#include "support/real_runs.hpp"
#include "support/temp_dir.hpp"

using namespace sluice::experiment;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

const curve_point& at(const std::vector<curve_point>& points, std::string_view rule, int tenth) {
    for (const curve_point& p : points) {
        if (p.rule == rule && std::abs(10 * p.k - tenth) < 0.01) {
            return p;
        }
    }
    FAIL("no point of " << rule);
    return points[0];
}

warm_case two_groups() {
    warm_case of;
    of.backend = "made-up";
    for (int i = 0; i < 40; ++i) {
        of.needed_after.push_back((i % 2 == 0 ? 5 : 50) + 0.01 * i);
    }
    of.seconds = {4};
    return of;
}

}  // namespace

TEST_CASE("quantiles of the normal distribution") {
    CHECK_THAT(normal_quantile(0.5), WithinAbs(0, 1e-9));
    CHECK_THAT(normal_quantile(0.1), WithinAbs(-1.2815516, 1e-6));
    CHECK_THAT(normal_quantile(0.975), WithinAbs(1.9599640, 1e-6));
}

TEST_CASE("credit saves more than hits at the same waste, and windows save what lies apart") {
    const std::vector<curve_point> points = prewarm_curves(two_groups());
    for (int tenth = 1; tenth <= 9; ++tenth) {
        CAPTURE(tenth);
        const curve_point& hits = at(points, "hits_only", tenth);
        CHECK(at(points, "credit", tenth).waste_s == hits.waste_s);
        CHECK(at(points, "credit", tenth).latency_saved_s >= hits.latency_saved_s);
        CHECK(at(points, "sluice_equal_waste", tenth).waste_s == hits.waste_s);
    }
    // Two groups, each met when it is due, at next to no waste.
    const curve_point& some = at(points, "sluice", 3);
    CHECK(some.latency_saved_s > 3.8);
    CHECK(some.waste_s < 5);
}

TEST_CASE("curves are written as JSON and as tables") {
    const std::vector<curve_point> points{{"docker", "paper", 0.1, 2.145, 3.756},
                                          {"docker", "credit", 0.2, 1, 0.5}};
    const auto read = sluice::json::parse(curves_json(points), "curves");
    REQUIRE(read.ok());
    REQUIRE(read->members().size() == 1);
    CHECK(read->members()[0].key == "curves");
    const auto items = read->members()[0].what.items();
    REQUIRE(items.size() == 2);
    REQUIRE(items[0].members().size() == 5);
    CHECK(items[0].members()[3].key == "latency_saved_s");
    CHECK(items[0].members()[3].what.number() == 2.145);
    CHECK(curves_table(points) ==
          "docker: seconds saved / wasted per application\n\n"
          "<!-- table docker 1 -->\n"
          "| K | paper | credit |\n|---|---|---|\n"
          "| 0.1 | 2.15 / 3.76 | - |\n| 0.2 | - | 1.00 / 0.50 |\n");
    CHECK(sluice::json::parse(curves_json({}), "none").ok());
}

TEST_CASE("records that cannot be used are named") {
    const sluice_test::temp_dir dir;
    const auto message = [&] {
        const auto read = read_warm_records(dir.path());
        return std::string(sluice::message_of(read.status()));
    };
    CHECK(read_warm_records(dir.path()).status().code() == absl::StatusCode::kNotFound);
    (void)dir.write("cost_model.json", "{}");
    CHECK_THAT(message(), ContainsSubstring("cost_model.json:1: 'llama70b_tp4_prefill'"));
    (void)dir.write("cost_model.json", R"({"llama70b_tp4_prefill":{"16":500,"1024":1000}})");
    CHECK_THAT(message(), ContainsSubstring("code_feedback.jsonl"));
    (void)dir.write("code_feedback.jsonl",
                    "\n{\"multiturn\":true,\"units\":[{\"backend\":\"llm\",\"calls\":["
                    "{\"latency_ms\":-1,\"prompt_tokens\":3}]}]}\n");
    CHECK_THAT(message(), ContainsSubstring("code_feedback.jsonl:2: 'latency_ms'"));
    (void)dir.write("code_feedback.jsonl", "{\"multiturn\":false}\n");
    (void)dir.write("hugginggpt.jsonl", "{}\n");
    CHECK_THAT(message(), ContainsSubstring("too few records for the curve of docker"));
}

TEST_CASE("curves of some backends are written to a file") {
    SLUICE_REAL_RUNS_OR_SKIP(folder);
    const sluice_test::temp_dir dir;
    const std::string file = dir.file("curves.json");
    REQUIRE(sluice::command::write_prewarm_curves(folder, "dnn", file, true).ok());
    const auto read = sluice::json::parse_file(file);
    REQUIRE(read.ok());
    std::map<std::string, int> count;
    for (const sluice::json::value& point : read->members()[0].what.items()) {
        ++count[std::string(*point.members()[0].what.text())];
    }
    CHECK(count == std::map<std::string, int>{{"dnn_diffusion", 54}, {"dnn_vit", 54}});
    const sluice_test::temp_dir empty;
    CHECK(!sluice::command::write_prewarm_curves(empty.path(), "all", "", true).ok());
    CHECK(!sluice::command::write_prewarm_curves(folder, "kv", "/nowhere/at/all", true).ok());
}

TEST_CASE("the paper's curves are found again in the records, and beaten") {
    SLUICE_REAL_RUNS_OR_SKIP(folder);
    const absl::StatusOr<warm_records> records = read_warm_records(folder);
    REQUIRE(records.ok());
    REQUIRE(records->paper.size() == 36);
    REQUIRE(records->cases.size() == 4);
    for (const warm_case& of : records->cases) {
        CAPTURE(of.backend);
        const std::vector<curve_point> points = prewarm_curves(of, records->paper);
        std::vector<curve_point> paper;
        for (const curve_point& p : records->paper) {
            if (p.backend == of.backend) {
                paper.push_back(p);
            }
        }
        for (int tenth = 1; tenth <= 9; ++tenth) {
            CAPTURE(tenth);
            // The paper's own form: hits only for KV; the other figures have credit in them.
            const curve_point& theirs = at(paper, "paper", tenth);
            const curve_point& ours =
                at(points, of.backend == "kv" ? "hits_only" : "credit", tenth);
            CHECK(std::abs(ours.latency_saved_s - theirs.latency_saved_s) <
                  0.15 * paper[0].latency_saved_s);
            CHECK(std::abs(ours.waste_s - theirs.waste_s) < 0.25 * paper[0].waste_s);
            if (tenth > 7) {
                continue;
            }
            const curve_point& hits = at(points, "hits_only", tenth);
            const curve_point& credit = at(points, "credit", tenth);
            const curve_point& equal = at(points, "sluice_equal_waste", tenth);
            CHECK(credit.waste_s == hits.waste_s);
            CHECK(credit.latency_saved_s >= hits.latency_saved_s);
            CHECK(equal.latency_saved_s > 0.999 * hits.latency_saved_s);
            if (tenth > 1) {
                // At the paper's own waste, too; at K = 0.1 all save nearly all that there is.
                CHECK(at(points, "sluice_paper_waste", tenth).latency_saved_s >
                      0.99 * theirs.latency_saved_s);
            }
        }
    }
}
