// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <nlohmann/json.hpp>

#include <sluice/base/status.hpp>
#include <sluice/observe/json_report.hpp>

#include "../src/command/profile.hpp"
#include "../src/command/replay.hpp"
#include "../src/workload/synthetic.hpp"
#include "support/temp_dir.hpp"

// Real bytes, real compute, real time; nothing here depends on how long anything takes.

namespace sluice::command {
namespace {

using Catch::Matchers::ContainsSubstring;

/// Eight short requests, some of which begin as others do.
std::string small_trace(const sluice_test::temp_dir& dir) {
    workload::trace_statistics statistics;
    statistics.requests = 8;
    statistics.mean_input_tokens = 3000;
    statistics.max_input_tokens = 6000;
    statistics.reuse = 0.4;
    std::string lines;
    for (const workload::trace_request& r : workload::make_trace(statistics, 1)) {
        lines += workload::to_json_line(r) + '\n';
    }
    return dir.write("trace.jsonl", lines);
}

replay_options small_options(const sluice_test::temp_dir& dir) {
    replay_options o;
    o.trace = small_trace(dir);
    o.mean_tokens = 48;
    o.link_mbps = 1000;
    o.nodes = 0;
    o.quiet = true;
    return o;
}

TEST_CASE("replay: every request is computed, and right, in every row", "[replay]") {
    const sluice_test::temp_dir dir;
    replay_options o = small_options(dir);
    o.warm = GENERATE(workload::warm_mode::full, workload::warm_mode::trace);
    o.policies = {{"sjf", false}, {"lstf", false}, {"sjf", true}};
    progress_bar progress(false);
    const auto result = run_replay(o, progress);
    REQUIRE(result.ok());
    REQUIRE(result->rows.size() == 6);
    CHECK(result->rows[0].config == "recompute");
    CHECK(result->rows[5].label() == "pipelined sjf split");
    for (const run_result& row : result->rows) {
        CAPTURE(row.label());
        REQUIRE(row.requests.size() == 8);
        for (const request_result& r : row.requests) {
            CHECK(r.outcome == request_outcome::computed);
            CHECK(r.ttft_s > 0);
            CHECK(r.t0_s > 0);
            CHECK(r.loaded_blocks < r.total_blocks);
        }
        CHECK(row.logits_compared == 8);
        CHECK(row.logits_mismatched == 0);
        CHECK(row.tokens_computed > 0);
        REQUIRE(row.stage("compute") != nullptr);
        CHECK(row.stage("compute")->operations == 8);
        const bool loads = row.bytes_loaded > 0;
        CHECK(loads == (row.blocks_verified > 0));
        if (row.config == "recompute") {
            CHECK_FALSE(loads);
        } else if (o.warm == workload::warm_mode::full) {
            CHECK(loads);
        }
        CHECK_FALSE(row.spans.empty());
    }
    // The same deadlines for all.
    for (std::size_t i = 0; i < 8; ++i) {
        CHECK(result->rows[0].requests[i].allowed_s() == result->rows[4].requests[i].allowed_s());
    }

    const auto json = nlohmann::json::parse(json_report(*result));
    CHECK(json.at("coupled_offered_load").get<double>() > 0);
    for (const auto& row : json.at("rows")) {
        for (const char* key : {"config", "policy", "split", "requests", "ttft_s", "slo_attainment",
                                "busy", "bytes_loaded", "tokens_computed", "bytes_deduplicated",
                                "blocks_verified", "logits_compared", "logits_mismatched"}) {
            CHECK(row.contains(key));
        }
        for (const char* key : {"2x", "4x", "8x", "all"}) {
            CHECK(row.at("slo_attainment").contains(key));
        }
        CHECK(row.at("busy").contains("fetch"));
    }
}

std::string fact(const experiment_result& result, std::string_view name) {
    for (const result_fact& f : result.facts) {
        if (f.name == name) {
            return f.value;
        }
    }
    return {};
}

TEST_CASE("replay: L3 in memory nodes gives the same answers", "[replay]") {
#ifndef SLUICE_COMMAND
    SKIP("this build has no command whose memory nodes could be started");
#else
    const sluice_test::temp_dir dir;
    replay_options o = small_options(dir);
    o.nodes = 2;
    o.program = SLUICE_COMMAND;
    o.warm = GENERATE(workload::warm_mode::full, workload::warm_mode::trace);
    o.configs = {"coupled", "async", "pipelined"};
    o.policies = {{"sjf", false}};
    progress_bar progress(false);
    const auto result = run_replay(o, progress);
    INFO(message_of(result.status()));
    REQUIRE(result.ok());
    REQUIRE(result->rows.size() == 3);
    for (const run_result& row : result->rows) {
        CAPTURE(row.label());
        CHECK(row.logits_compared == 8);
        CHECK(row.logits_mismatched == 0);
        // Not that all of it was loaded: on a busy machine a node may miss its time.
        CHECK((row.bytes_loaded > 0) == (row.blocks_verified > 0));
    }
    CHECK(fact(*result, "nodes") == "2");
    CHECK(fact(*result, "provider") == "tcp");
    CHECK_THAT(fact(*result, "link"), ContainsSubstring("a cap that the client keeps"));
    CHECK_THAT(result->title, ContainsSubstring("real sockets"));
#endif
}

TEST_CASE("replay: a node that cannot be started is no L3", "[replay]") {
    const sluice_test::temp_dir dir;
    replay_options o = small_options(dir);
    o.nodes = 2;
    o.program = "/bin/false";
    progress_bar progress(false);
    CHECK_FALSE(run_replay(o, progress).ok());
}

TEST_CASE("replay: a row can be stopped, and says so", "[replay]") {
    const sluice_test::temp_dir dir;
    replay_options o = small_options(dir);
    o.configs = {"recompute"};
    o.recompute_limit_s = 1e-9;
    progress_bar progress(false);
    const auto result = run_replay(o, progress);
    REQUIRE(result.ok());
    REQUIRE(result->rows.size() == 1);
    CHECK(result->rows[0].requests[7].outcome == request_outcome::unfinished);
    REQUIRE_FALSE(result->notes.empty());
    CHECK_THAT(result->notes[0], ContainsSubstring("stopped"));
}

TEST_CASE("replay: a profile is measured, saved and used", "[replay]") {
    const sluice_test::temp_dir dir;
    progress_bar progress(false);
    profile_options p;
    p.link_mbps = 500;
    p.repeats = 1;
    p.nodes = 0;
    const auto profile = run_profile(p, progress);
    REQUIRE(profile.ok());
    CHECK(profile->fetch.fixed_s + profile->fetch.per_byte_s + profile->fetch.per_descriptor_s > 0);
    CHECK(profile->compute.c0_s + profile->compute.c1_s + profile->compute.c2_s > 0);

    replay_options o = small_options(dir);
    o.configs = {"pipelined"};
    o.policies = {{"srpt", false}};
    o.profile = dir.write("profile.json", profile_json(*profile));
    const auto result = run_replay(o, progress);
    REQUIRE(result.ok());
    CHECK(result->rows.at(0).logits_mismatched == 0);

    o.profile = dir.write("bad.json", "{}");
    CHECK(run_replay(o, progress).status().code() == absl::StatusCode::kInvalidArgument);
}

}  // namespace
}  // namespace sluice::command
