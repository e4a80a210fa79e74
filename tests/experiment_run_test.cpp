// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <nlohmann/json.hpp>

#include "../src/experiment/case_report.hpp"
#include "../src/experiment/serve.hpp"

namespace sluice::experiment {
namespace {

constexpr std::uint64_t block_bytes = 1'000'000;
constexpr std::uint32_t block_tokens = 100;
constexpr double block_s = 1e-3;
constexpr double token_s = 1e-3;

/// A block takes 1 ms on the link and no time to L1, a token 1 ms to compute.
hardware_profile plain_hardware() {
    hardware_profile out;
    out.name = "plain";
    out.block_tokens = block_tokens;
    out.l1_bytes = 2000 * block_bytes;
    out.l2_bytes = 2000 * block_bytes;
    out.link.rate = 1e9;
    out.nodes.resize(1);
    out.fetch_window = {1, block_bytes};
    out.copy_window = {4, 4 * block_bytes};
    out.prefill.c1_s = token_s;
    out.parameters = 1e9;
    return out;
}

/// 10 kB of KV per token.
kv_model plain_model() {
    kv_model out;
    out.name = "plain";
    out.layers = 5;
    out.kv_heads = 1;
    out.head_dim = 1000;
    out.bytes_per_value = 1;
    out.parameters = 1e9;
    return out;
}

struct ask {
    double arrival_s;
    std::uint32_t blocks;  // cached
    std::uint32_t query;   // tokens
    double multiple = 4;
    std::uint32_t output = 1;
};

load load_of(const std::vector<ask>& asks) {
    load out;
    out.name = "by hand";
    out.block_tokens = block_tokens;
    std::uint64_t id = 1;
    for (const ask& a : asks) {
        load_request r;
        r.arrival_s = a.arrival_s;
        r.prompt_tokens = std::uint64_t{a.blocks} * block_tokens + a.query;
        r.cached_blocks = a.blocks;
        r.deadline_multiple = a.multiple;
        r.output_tokens = a.output;
        for (std::uint64_t n = r.prompt_tokens / block_tokens; n > 0; --n) {
            r.block_ids.push_back(id++);
        }
        out.requests.push_back(r);
    }
    return out;
}

seed_result serve(const std::vector<ask>& asks, config_kind config, const std::string& policy,
                  const hardware_profile& hardware = plain_hardware(),
                  std::vector<sim::rate_change> drift = {}, cost_source cost = cost_source::refit) {
    const load requests = load_of(asks);
    const kv_model model = plain_model();
    const auto each = serve_alone(hardware, model, requests, 1);
    CAPTURE(each.status().ToString());
    REQUIRE(each.ok());
    run_options options;
    options.config = config;
    options.policy = policy;
    options.cost = cost;
    const run_setting s{options, hardware, model, requests, *each, std::move(drift), 1};
    auto out = config == config_kind::pipelined ? serve_pipelined(s) : serve_baseline(s);
    CAPTURE(out.status().ToString());
    REQUIRE(out.ok());
    return *std::move(out);
}

std::vector<double> ttfts(const seed_result& r) {
    std::vector<double> out;
    for (const request_result& q : r.result.requests) {
        CHECK(q.outcome == request_outcome::computed);
        out.push_back(q.ttft_s);
    }
    return out;
}

double mean_ttft(const seed_result& r) { return mean(ttfts(r)); }

TEST_CASE("experiment_run: a request alone takes its load and its compute", "[experiment]") {
    for (const config_kind config : {config_kind::coupled, config_kind::pipelined}) {
        const seed_result r = serve({{0.5, 10, 20}}, config, "fifo");
        CHECK(ttfts(r).at(0) == Catch::Approx(10 * block_s + 20 * token_s).margin(1e-9));
        CHECK(r.result.requests[0].t0_s == Catch::Approx(0.030).margin(1e-9));
        CHECK(r.result.requests[0].loaded_blocks == 10);
        CHECK(r.fetch.operations == 10);
        CHECK(r.copy.operations == 10);
        CHECK(r.block_operations == 20);
        // Over the 0.53 s of the run.
        CHECK(r.fetch.busy == Catch::Approx(0.010 / 0.530));
        CHECK(r.compute.busy == Catch::Approx(0.020 / 0.530));
        CHECK(r.fetch.needed_s == Catch::Approx(0.010));
        CHECK(r.compute.needed_s == Catch::Approx(0.030));
        CHECK(r.reports[0].predicted.fetch == Catch::Approx(0.010).epsilon(0.01));
        CHECK(r.reports[0].attained.fetch == Catch::Approx(0.010));
    }
}

// CALVO (arXiv 2603.21257), section 2.3.2: R1 loads for 0.361 s and computes for 0.019 s, R2 for
// 0.199 s and 0.025 s. Fifo, or the compute alone, picks R1: mean TTFT 0.49 s; with the load in
// the cost R2 is picked: 0.41 s. Those are figures of a system that serves one after the other.
TEST_CASE("experiment_run: CALVO's example of two requests", "[experiment]") {
    const std::vector<ask> two{{0, 361, 19}, {0, 199, 25}};
    const auto coupled = [&](const char* policy) {
        return mean_ttft(serve(two, config_kind::coupled, policy));
    };
    CHECK(coupled("fifo") == Catch::Approx((0.380 + 0.604) / 2).margin(1e-6));
    CHECK(coupled("sjf_pt") == Catch::Approx((0.380 + 0.604) / 2).margin(1e-6));
    CHECK(coupled("sjf") == Catch::Approx((0.224 + 0.604) / 2).margin(1e-6));
    // The pipeline computes the one while it loads the other.
    const auto pipelined = [&](const char* policy) {
        return mean_ttft(serve(two, config_kind::pipelined, policy));
    };
    CHECK(pipelined("fifo") == Catch::Approx((0.380 + 0.585) / 2).margin(2e-3));
    CHECK(pipelined("sjf_pt") == Catch::Approx((0.380 + 0.585) / 2).margin(2e-3));
    CHECK(pipelined("sjf") == Catch::Approx((0.224 + 0.579) / 2).margin(2e-3));
}

TEST_CASE("experiment_run: attainment counts deadlines made, of those that have one",
          "[experiment]") {
    // T0 is 30 ms each. One after the other under coupled: 30, 60, 90 and 120 ms from 0.
    const seed_result r = serve({{0, 10, 20, 2}, {0, 10, 20, 2}, {0, 10, 20, 2}, {0, 10, 20, 4}},
                                config_kind::coupled, "fifo");
    CHECK(attainment(r.result, 2) == Catch::Approx(2.0 / 3));  // 60 ms make it, 90 ms do not
    CHECK(attainment(r.result, 4) == 1.0);
    CHECK_FALSE(attainment(r.result, 8).has_value());
    const case_result c = summarize({}, {r});
    CHECK(c.summary.slo_all.share == 0.75);
    CHECK(c.summary.slo_2x.share == Catch::Approx(2.0 / 3));
    CHECK_FALSE(c.summary.slo_8x.share.has_value());
    CHECK_FALSE(c.summary.slo_all.ci95.has_value());
    CHECK(c.summary.ttft.mean == Catch::Approx(0.075));
    CHECK(c.summary.p50 == Catch::Approx(0.075));
}

TEST_CASE("experiment_run: what can never fit is rejected, and has no deadline", "[experiment]") {
    for (const config_kind config :
         {config_kind::coupled, config_kind::async, config_kind::pipelined}) {
        hardware_profile small = plain_hardware();
        small.l1_bytes = 20 * block_bytes;
        const seed_result r = serve({{0, 40, 20}, {0, 10, 20}}, config, "fifo", small);
        CHECK(r.result.requests[0].outcome == request_outcome::rejected);
        CHECK(r.result.requests[0].deadline_multiple == 0);
        CHECK(r.result.requests[1].outcome == request_outcome::computed);
        CHECK(summarize({}, {r}).summary.rejected == 1);
        CHECK(summarize({}, {r}).summary.slo_all.share == 1.0);
    }
}

TEST_CASE("experiment_run: what the cost model knows of a drift", "[experiment]") {
    // A request of 100 blocks each half second; from the middle on a block takes 2 ms.
    std::vector<ask> asks;
    for (int i = 0; i < 80; ++i) {
        asks.push_back({i * 0.5, 100, 20});
    }
    const std::vector<sim::rate_change> drift{{time_point{from_seconds(19.9)}, 0.5}};
    for (const config_kind config : {config_kind::coupled, config_kind::pipelined}) {
        const auto last_prediction = [&](cost_source cost, std::size_t request) {
            const seed_result r = serve(asks, config, "sjf", plain_hardware(), drift, cost);
            CHECK(ttfts(r).at(39) == Catch::Approx(0.120).margin(2e-3));
            CHECK(ttfts(r).at(40) == Catch::Approx(0.220).margin(2e-3));
            CHECK(r.reports[request].attained.fetch ==
                  Catch::Approx(request < 40 ? 0.1 : 0.2).margin(2e-3));
            return r.reports[request].predicted.fetch;
        };
        CHECK(last_prediction(cost_source::fixed, 39) == Catch::Approx(0.1).epsilon(0.02));
        CHECK(last_prediction(cost_source::fixed, 79) == Catch::Approx(0.1).epsilon(0.02));
        CHECK(last_prediction(cost_source::refit, 79) == Catch::Approx(0.2).epsilon(0.05));
        CHECK(last_prediction(cost_source::knows, 39) == Catch::Approx(0.1).epsilon(0.02));
        CHECK(last_prediction(cost_source::knows, 40) == Catch::Approx(0.2).epsilon(0.02));
    }
}

TEST_CASE("experiment_run: pages are a request's until it is decoded", "[experiment]") {
    hardware_profile h = plain_hardware();
    h.l1_bytes = 20 * block_bytes;  // one of two requests of 11 pages
    h.compute = compute_kind::iteration;
    h.iteration = {};
    h.iteration.prefill_fixed_s = 0.010;
    h.iteration.prefill_per_token_s = 0;
    h.iteration.decode = {{1, 0.050}, {2, 0.050}};
    h.iteration.max_batch = 2;
    const auto second = [&](config_kind config, std::uint32_t output) {
        const seed_result r =
            serve({{0, 10, 20, 4, output}, {0, 10, 20, 4, output}}, config, "fifo", h);
        CHECK(ttfts(r).at(0) == Catch::Approx(0.020).margin(1e-3));
        return ttfts(r).at(1);
    };
    // The first token after 20 ms, then ten more; meanwhile the second comes to L2.
    CHECK(second(config_kind::pipelined, 11) == Catch::Approx(0.520 + 0.010).margin(2e-3));
    CHECK(second(config_kind::pipelined, 1) == Catch::Approx(0.020 + 0.010).margin(2e-3));
    // One after the other, but not before there are pages.
    CHECK(second(config_kind::coupled, 11) == Catch::Approx(0.520 + 0.020).margin(2e-3));
    CHECK(second(config_kind::coupled, 1) == Catch::Approx(0.020 + 0.020).margin(2e-3));
}

TEST_CASE("experiment_run: a mean over seeds has an interval by Student's t", "[experiment]") {
    CHECK(student_t(0) == 0);
    CHECK(student_t(1) == Catch::Approx(12.706));
    CHECK(student_t(4) == Catch::Approx(2.776));
    CHECK(student_t(31) == Catch::Approx(2.0395).margin(1e-3));
    CHECK(student_t(1000) == Catch::Approx(1.9623).margin(1e-3));
    const std::vector<double> five{1, 2, 3, 4, 5};
    const estimate e = estimate_of(five);
    CHECK(e.mean == 3);
    CHECK(e.ci95 == Catch::Approx(2.776 * std::sqrt(2.5 / 5)));
    CHECK_FALSE(estimate_of(std::vector<double>{7}).ci95.has_value());
}

std::string without_wall(std::string text) {
    nlohmann::ordered_json out = nlohmann::ordered_json::parse(text);
    CHECK(out["wall_s"].get<double>() > 0);
    out.erase("wall_s");
    return out.dump();
}

TEST_CASE("experiment_run: the same options give the same figures", "[experiment]") {
    for (const config_kind config :
         {config_kind::coupled, config_kind::async, config_kind::pipelined}) {
        run_options options;
        options.config = config;
        options.requests = 40;
        options.seeds = 3;
        std::vector<std::string> texts;
        for (const unsigned jobs : {1U, 1U, 4U}) {
            shared_facts shared;
            const auto result = run_case(options, shared, jobs);
            REQUIRE(result.ok());
            texts.push_back(without_wall(case_json(*result)));
        }
        CHECK(texts[0] == texts[1]);
        CHECK(texts[0] == texts[2]);
    }
}

TEST_CASE("experiment_run: the keys of the JSON", "[experiment]") {
    run_options options;
    options.requests = 20;
    options.seeds = 2;
    options.first_seed = 7;
    shared_facts shared;
    const auto result = run_case(options, shared, 2);
    REQUIRE(result.ok());
    const auto out = nlohmann::ordered_json::parse(case_json(*result));
    std::vector<std::string> keys;
    for (const auto& [key, value] : out.items()) {
        keys.push_back(key);
    }
    keys.resize(15);
    CHECK(keys == std::vector<std::string>{"workload", "model", "profile", "config", "policy",
                                           "qps", "requests", "seeds", "first_seed",
                                           "coupled_offered_load", "ttft_s", "slo_attainment",
                                           "busy", "wall_s", "block_operations"});
    CHECK(out["policy"] == "sjf");
    CHECK(out["requests"] == 20);
    CHECK(out["seeds"] == 2);
    CHECK(out["first_seed"] == 7);
    CHECK(out["ttft_s"]["mean_ci95"].is_number());
    for (const char* key : {"2x", "4x", "8x", "all"}) {
        CHECK(out["slo_attainment"].contains(key));
    }
    // Means are over seeds; the same by hand.
    CHECK(out["ttft_s"]["mean"].get<double>() ==
          Catch::Approx((mean_ttft(result->seeds[0]) + mean_ttft(result->seeds[1])) / 2));
    CHECK(case_text(*result).find("mean TTFT") != std::string::npos);
}

TEST_CASE("experiment_run: options by name", "[experiment]") {
    run_options o;
    CHECK(set_run_option(o, "config", "coupled").ok());
    CHECK(o.policy_spec() == "fifo");
    CHECK(set_run_option(o, "late_last", "off").ok());
    CHECK(set_run_option(o, "policy", "aging:after=30(edf)").ok());
    CHECK(o.policy_spec() == "aging:after=30(edf:late_last=off)");
    o.late_last.reset();
    o.policy = "aging:after=30(fair(edf:late_last=off))";  // longer than a string keeps in itself
    CHECK(o.policy_spec() == o.policy);
    CHECK(check_run_options(o).ok());
    CHECK(set_run_option(o, "drift", "50%:0.5,75%:1").ok());
    CHECK(to_string(o.drift) == "50%:0.5,75%:1");
    REQUIRE(o.drift.size() == 2);
    CHECK(o.drift[0].at == 0.5);
    for (const auto& [name, text] :
         std::vector<std::pair<const char*, const char*>>{{"config", "serial"},
                                                          {"qps", "nan"},
                                                          {"qps", "-1"},
                                                          {"seeds", "0"},
                                                          {"seeds", "2.5"},
                                                          {"hit-ratio", "1.5"},
                                                          {"drift", "600"},
                                                          {"drift", "600:0"},
                                                          {"drift", "600:1,60%:1"},
                                                          {"drift", "600:1,500:1"},
                                                          {"late-last", "perhaps"},
                                                          {"workload", ""},
                                                          {"speed", "1"}}) {
        CAPTURE(name, text);
        CHECK(set_run_option(o, name, text).code() == absl::StatusCode::kInvalidArgument);
    }
}

TEST_CASE("experiment_run: options that do not fit one another", "[experiment]") {
    const auto refused = [](auto change) {
        run_options o;
        change(o);
        const absl::Status s = check_run_options(o);
        CAPTURE(s.ToString());
        CHECK_FALSE(s.ok());
        return !s.ok();
    };
    CHECK(refused([](run_options& o) { o.policy = "best"; }));
    CHECK(refused([](run_options& o) { o.late_last = true; }));
    CHECK(refused([](run_options& o) {
        o.config = config_kind::async;
        o.policy = "sjf";
    }));
    CHECK(refused([](run_options& o) {
        o.config = config_kind::coupled;
        o.split = true;
    }));
    CHECK(refused([](run_options& o) {
        o.config = config_kind::async;
        o.reservation = reservation_mode::late;
    }));
    CHECK(refused([](run_options& o) { o.workload = "mooncake"; }));
    CHECK(refused([](run_options& o) { o.trace = "x.jsonl"; }));
}

TEST_CASE("experiment_run: a split load keeps up with the better of loading and computing",
          "[experiment][split]") {
    for (const double link : {1.0, 0.1, 0.05, 0.025}) {
        CAPTURE(link);
        shared_facts shared;
        const auto mean_ttft = [&](double hit_ratio, bool split) {
            run_options o;
            o.policy = "srpt";
            o.qps = 0.1;
            o.requests = 150;
            o.seeds = 1;
            o.hit_ratio = hit_ratio;
            o.split = split;
            o.drift = {{0, false, link}};
            const auto result = run_case(o, shared, 1);
            REQUIRE(result.ok());
            return result->summary.ttft.mean;
        };
        const double better = std::min(mean_ttft(1, false), mean_ttft(0, false));
        CHECK(mean_ttft(1, true) <= 1.02 * better);
    }
}

}  // namespace
}  // namespace sluice::experiment
