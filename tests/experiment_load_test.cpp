// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <unordered_set>
#include <vector>

#include <absl/status/status.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/base/status.hpp>

#include "../src/experiment/load.hpp"
#include "../src/experiment/named_input.hpp"
#include "../src/workload/arrivals.hpp"
#include "../src/workload/synthetic.hpp"
#include "support/mutate_json.hpp"
#include "support/real_trace.hpp"
#include "support/temp_dir.hpp"

using namespace sluice::experiment;
namespace workload = sluice::workload;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

std::string message_of(const absl::Status& status) {
    return std::string(sluice::message_of(status));
}

std::string trace_text(const std::vector<workload::trace_request>& requests) {
    std::string text;
    for (const workload::trace_request& r : requests) {
        text += workload::to_json_line(r) + '\n';
    }
    return text;
}

/// What holds of every load.
void check_load(const load& made) {
    REQUIRE(made.block_tokens >= 1);
    REQUIRE_FALSE(made.requests.empty());
    double last = 0;
    bool distinct = true;
    std::unordered_set<std::uint64_t> ids;
    for (const load_request& r : made.requests) {
        REQUIRE(std::isfinite(r.arrival_s));
        REQUIRE(r.arrival_s >= last);
        last = r.arrival_s;
        REQUIRE(r.prompt_tokens >= 1);
        REQUIRE(r.output_tokens >= 1);
        REQUIRE(r.block_ids.size() == r.prompt_tokens / made.block_tokens);
        REQUIRE(r.cached_blocks <= r.block_ids.size());
        // Something is left to compute.
        REQUIRE(std::uint64_t{r.cached_blocks} * made.block_tokens < r.prompt_tokens);
        for (const std::uint64_t id : r.block_ids) {
            distinct = ids.insert(id).second && distinct;
        }
    }
    CHECK(made.distinct == distinct);
}

}  // namespace

TEST_CASE("load: the built-in workloads have the published means", "[experiment]") {
    const auto& [name, context, query, cv] = GENERATE(table<std::string, double, double, double>(
        {{"loogle", 28'100, 28, 0.5}, {"icl", 28'300, 61, 0.3}, {"code", 38'300, 209, 0.8}}));
    constexpr std::uint32_t n = 40'000;
    const auto made = make_load({.workload = name, .seed = 3, .requests = n, .qps = 1.2}).value();
    check_load(made);
    CHECK(made.name == name);
    double contexts = 0;
    double queries = 0;
    double squares = 0;
    double most = 0;
    for (const load_request& r : made.requests) {
        // With a hit ratio of 1 the context is what is cached, and exactly the query is computed.
        const double cached = r.cached_blocks * 256.0;
        contexts += cached;
        squares += cached * cached;
        most = std::max(most, cached);
        queries += static_cast<double>(r.prompt_tokens) - cached;
        CHECK(r.cached_blocks >= 1);
        CHECK(r.output_tokens == 1);
    }
    contexts /= n;
    CHECK_THAT(contexts, WithinRel(context, 0.012));
    CHECK(most <= 4 * context + 256);
    CHECK_THAT(queries / n, WithinRel(query, 0.01));
    // Clipping takes a little of the spread.
    CHECK_THAT(std::sqrt(squares / n - contexts * contexts) / contexts, WithinRel(cv, 0.12));
    CHECK_THAT((n - 1) / made.requests.back().arrival_s, WithinRel(1.2, 0.02));
    CHECK(made.requests.front().arrival_s == 0);
}

TEST_CASE("load: builtin workloads are described", "[experiment]") {
    CHECK(builtin_workloads() == std::vector<std::string>{"code", "icl", "loogle"});
    CHECK_THAT(describe_builtin_workloads(),
               ContainsSubstring("icl: ") &&
                   ContainsSubstring("context tokens: log-normal, mean 28300, cv 0.3, from 256 to "
                                     "113200; query tokens: log-normal, mean 61, cv 0.5"));
}

TEST_CASE("load: rate and number change nothing else that is drawn", "[experiment]") {
    const load_options options{.workload = "code", .seed = 7, .requests = 300, .qps = 1};
    const load one = make_load(options).value();
    load_options faster = options;
    faster.qps = 2;
    faster.requests = 200;
    const load two = make_load(faster).value();
    for (std::size_t i = 0; i < two.requests.size(); ++i) {
        CHECK(one.requests[i].prompt_tokens == two.requests[i].prompt_tokens);
        CHECK(one.requests[i].deadline_multiple == two.requests[i].deadline_multiple);
        CHECK(one.requests[i].block_ids == two.requests[i].block_ids);
        CHECK_THAT(one.requests[i].arrival_s, WithinRel(2 * two.requests[i].arrival_s, 1e-9));
    }
    load_options other = options;
    other.seed = 8;
    const load three = make_load(other).value();
    CHECK(one.requests[0].prompt_tokens != three.requests[0].prompt_tokens);
    CHECK(one.requests[9].arrival_s != three.requests[9].arrival_s);
}

TEST_CASE("load: the hit ratio is the share of leading context blocks", "[experiment]") {
    load_options options{.workload = "icl", .requests = 500, .qps = 1};
    const load all = make_load(options).value();
    for (const double ratio : {0.0, 0.25, 0.5}) {
        options.hit_ratio = ratio;
        const load some = make_load(options).value();
        for (std::size_t i = 0; i < all.requests.size(); ++i) {
            CHECK(some.requests[i].prompt_tokens == all.requests[i].prompt_tokens);
            CHECK_THAT(some.requests[i].cached_blocks,
                       WithinAbs(ratio * all.requests[i].cached_blocks, 0.5));
        }
    }
}

TEST_CASE("load: deadlines are 2, 4 and 8 times T0, a third each", "[experiment]") {
    const load made = make_load({.workload = "icl", .requests = 6000, .qps = 1}).value();
    for (const double m : {2.0, 4.0, 8.0}) {
        const auto n =
            std::count_if(made.requests.begin(), made.requests.end(),
                          [m](const load_request& r) { return r.deadline_multiple == m; });
        CHECK_THAT(static_cast<double>(n), WithinAbs(2000, 150));
    }
}

TEST_CASE("load: options out of range", "[experiment]") {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const auto& [options, what] = GENERATE_COPY(table<load_options, std::string>({
        {{.workload = "icl", .requests = 10, .qps = 0}, "qps is 0, but workload icl has no pace"},
        {{.workload = "icl", .requests = 10, .qps = -1}, "qps is -1, not between"},
        {{.workload = "icl", .requests = 10, .qps = nan}, "qps is nan, not between"},
        {{.workload = "icl", .requests = 0, .qps = 1}, "requests is 0, but workload icl is drawn"},
        {{.workload = "icl", .requests = 4'000'001, .qps = 1}, "requests is 4000001, above"},
        {{.workload = "icl", .qps = 1, .hit_ratio = 1.01}, "hit_ratio is 1.01, not between"},
        {{.workload = "icl", .qps = 1, .hit_ratio = nan}, "hit_ratio is nan, not between"},
        {{.workload = "icl", .qps = 1, .block_tokens = 0}, "block_tokens is 0, not between"},
        {{.workload = "mooncake"}, "workload mooncake needs the file of a trace"},
        {{.workload = "mooncake", .trace = "x", .hit_ratio = 0.5}, "hit_ratio is 0.5, but L3"},
        {{.workload = "icl", .requests = 4'000'000, .qps = 1, .block_tokens = 1},
         "the requests have more than 33554432 blocks of 1 tokens"},
    }));
    const auto made = make_load(options);
    CHECK(made.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(message_of(made.status()), StartsWith(what));
    CHECK(message_of(make_load({.workload = "chat"}).status()) ==
          "workload 'chat' is not known; there are code, icl, loogle, mooncake, and files "
          "FILE.json");
    CHECK(make_load({.workload = "mooncake", .trace = "/absent"}).status().code() ==
          absl::StatusCode::kNotFound);
}

TEST_CASE("load: every distribution", "[experiment]") {
    const sluice_test::temp_dir dir;
    const auto& [context, mean, least, most] = GENERATE(table<std::string, double, double, double>({
        {R"({"distribution": "constant", "value": 1000})", 1000, 512, 1024},
        {R"({"distribution": "uniform", "min": 0, "max": 4096})", 2048, 0, 4096},
        {R"({"distribution": "list", "values": [512, 512, 2048]})", 1024, 512, 2048},
        {R"({"distribution": "lognormal", "mean": 3000, "cv": 2, "min": 1024, "max": 4096})", 3000,
         1024, 4096},
        {R"({"distribution": "lognormal", "mean": 3000, "cv": 0.001})", 3000, 2560, 3328},
    }));
    CAPTURE(context);
    const std::string path =
        dir.write("w.json", R"({"name": "w", "description": "d", "context_tokens": )" + context +
                                R"(, "query_tokens": {"distribution": "constant", "value": 1.5},
        "output_tokens": {"distribution": "uniform", "min": 1, "max": 9}})");
    const auto made = make_load({.workload = path, .requests = 20'000, .qps = 1}).value();
    check_load(made);
    double contexts = 0;
    double queries = 0;
    double outputs = 0;
    for (const load_request& r : made.requests) {
        const double tokens = r.cached_blocks * 256.0;
        CHECK(tokens >= least);
        CHECK(tokens <= most);
        contexts += tokens;
        queries += static_cast<double>(r.prompt_tokens) - tokens;
        outputs += r.output_tokens;
    }
    CHECK_THAT(contexts / 20'000, WithinRel(mean, 0.02));
    CHECK_THAT(queries / 20'000, WithinRel(1.5, 0.02));
    CHECK_THAT(outputs / 20'000, WithinRel(5.0, 0.02));
}

TEST_CASE("load: listed requests", "[experiment]") {
    const sluice_test::temp_dir dir;
    const std::string path = dir.write("w.json", R"({"name": "w", "block_tokens": 16, "requests": [
        {"arrival_s": 0.5, "context_tokens": 40, "query_tokens": 20, "blocks": [7, 9]},
        {"arrival_s": 1.5, "context_tokens": 32, "query_tokens": 1, "output_tokens": 3,
         "blocks": [7, 8]},
        {"arrival_s": 2.5, "context_tokens": 15, "query_tokens": 1}]})");
    const auto made = make_load({.workload = path, .requests = 0}).value();
    check_load(made);
    CHECK(made.block_tokens == 16);
    CHECK_FALSE(made.distinct);
    REQUIRE(made.requests.size() == 3);
    CHECK(made.requests[0].arrival_s == 0.5);
    CHECK(made.requests[0].prompt_tokens == 60);
    CHECK(made.requests[0].cached_blocks == 2);
    CHECK(made.requests[0].block_ids.size() == 3);
    CHECK(made.requests[0].block_ids[1] == 9);
    CHECK(made.requests[0].block_ids[2] >= std::uint64_t{1} << 63);
    CHECK(made.requests[1].output_tokens == 3);
    CHECK(made.requests[2].cached_blocks == 0);

    const auto two = make_load({.workload = path, .requests = 2, .qps = 4, .hit_ratio = 0.5});
    REQUIRE(two.ok());
    REQUIRE(two->requests.size() == 2);
    CHECK_THAT(two->requests[1].arrival_s - two->requests[0].arrival_s, WithinRel(0.25, 1e-9));
    CHECK(two->requests[0].cached_blocks == 1);
    // Seeds draw the deadlines only.
    CHECK(make_load({.workload = path, .seed = 9, .requests = 0})->requests[2].arrival_s == 2.5);
}

TEST_CASE("load: the list that the documentation shows", "[experiment]") {
    std::ifstream file(SLUICE_SOURCE_DIR "/docs/simulation_inputs.md");
    const std::string text(std::istreambuf_iterator<char>(file), {});
    const std::size_t begin = text.find("{\n  \"name\": \"chat\"");
    REQUIRE(begin != std::string::npos);
    const sluice_test::temp_dir dir;
    const std::string path =
        dir.write("chat.json", text.substr(begin, text.find("```", begin) - begin));
    const auto made = make_load({.workload = path, .requests = 0});
    REQUIRE(made.ok());
    check_load(*made);
    CHECK(made->requests.size() == 3);
    CHECK_FALSE(made->distinct);
}

TEST_CASE("load: what is wrong with a file, and where", "[experiment]") {
    constexpr const char* drawn =
        "{\"name\": \"w\",\n\"query_tokens\": {\"distribution\": "
        "\"constant\", \"value\": 1},\n\"context_tokens\": ";
    constexpr const char* listed =
        "{\"name\": \"w\", \"block_tokens\": 4, \"requests\": [\n"
        "{\"arrival_s\": 1, \"context_tokens\": 8, \"query_tokens\": 1, "
        "\"blocks\": [1, 2]},\n";
    const auto& [text, what] = GENERATE_COPY(table<std::string, std::string>({
        {"", "1: not JSON"},
        {"[]", "1: an array where an object should be"},
        {"{}", "1: key 'name' is missing"},
        {R"({"name": "w"})", "1: key 'context_tokens' is missing"},
        {R"({"name": "w", "context_tokens": 5})", "1: key 'context_tokens' is a number, not an"},
        {drawn + std::string("{}}"), "3: key 'distribution' is missing"},
        {drawn + std::string(R"({"distribution": "zipf"}})"),
         "3: key 'distribution' is 'zipf'; known: lognormal, uniform, constant, list"},
        {drawn + std::string(R"({"distribution": "lognormal", "mean": 5000}})"),
         "3: key 'cv' is missing"},
        {drawn + std::string("{\"distribution\": \"lognormal\", \"cv\": 1,\n\"mean\": -5}}"),
         "4: key 'mean' is -5, below 0"},
        {drawn + std::string(R"({"distribution": "lognormal", "mean": NaN, "cv": 1}})"),
         "3: not JSON"},
        {drawn + std::string(R"({"distribution": "lognormal", "mean": 1e99, "cv": 1}})"),
         "3: key 'mean' is 1e+99, above"},
        {drawn + std::string(R"({"distribution": "lognormal", "mean": 5000, "cv": 0}})"),
         "3: key 'cv' is 0, below"},
        {drawn + std::string(R"({"distribution": "lognormal", "mean": 100, "cv": 1}})"),
         "3: key 'mean' is 100, not between a 'min' of 256 and a 'max' of 400"},
        {drawn + std::string(R"({"distribution": "lognormal", "mean": 900, "cv": 1, "max": 800}})"),
         "3: key 'mean' is 900, not between a 'min' of 256 and a 'max' of 800"},
        {drawn + std::string(R"({"distribution": "uniform", "min": 5, "max": 4}})"),
         "3: key 'max' is 4, below 5"},
        {drawn + std::string(R"({"distribution": "uniform", "min": 5, "max": 9, "mean": 7}})"),
         "3: unknown key 'mean'; known: distribution, min, max"},
        {drawn + std::string(R"({"distribution": "list", "values": []}})"),
         "3: key 'values' is empty"},
        {drawn + std::string("{\"distribution\": \"list\", \"values\": [1,\n-1]}}"),
         "4: key 'values'[1] is -1, below 0"},
        {drawn + std::string("{\"distribution\": \"constant\", \"value\": 1},\n\"seed\": 1}"),
         "4: unknown key 'seed'; known: name, description, context_tokens"},
        {drawn + std::string("{\"distribution\": \"constant\", \"value\": 1},\n\"output_tokens\": "
                             "{\"distribution\": \"constant\", \"value\": 0}}"),
         "4: key 'value' is 0, below 1"},
        {"{\"name\": \"w\",\n\"requests\": {}}", "2: key 'requests' is an object, not an array"},
        {"{\"name\": \"w\",\n\"requests\": []}", "2: key 'requests' is empty"},
        {"{\"name\": \"w\", \"requests\": [],\n\"context_tokens\": {}}",
         "2: unknown key 'context_tokens'; known: name, description, block_tokens, requests"},
        {"{\"name\": \"w\", \"block_tokens\": 0,\n\"requests\": [1]}",
         "1: key 'block_tokens' is 0, below 1"},
        {listed + std::string("1]}"), "3: a number where an object should be"},
        {listed + std::string("{}]}"), "3: key 'arrival_s' is missing"},
        {listed + std::string(R"({"arrival_s": 0.9, "context_tokens": 1, "query_tokens": 1}]})"),
         "3: key 'arrival_s' is 0.9, before 1, that of the request above"},
        {listed + std::string(R"({"arrival_s": 1e10, "context_tokens": 1, "query_tokens": 1}]})"),
         "3: key 'arrival_s' is 10000000000, above"},
        {listed + std::string(R"({"arrival_s": 1, "context_tokens": -1, "query_tokens": 1}]})"),
         "3: key 'context_tokens' is -1, below 0"},
        {listed + std::string(R"({"arrival_s": 1, "context_tokens": 1, "query_tokens": 0}]})"),
         "3: key 'query_tokens' is 0, below 1"},
        {listed + std::string(R"({"arrival_s": 1, "context_tokens": 1, "query_tokens": 1e9}]})"),
         "3: key 'query_tokens' is 1000000000, above 100000000"},
        {listed + std::string(R"({"arrival_s": 1, "context_tokens": 1, "query_tokens": 1,
            "priority": 3}]})"),
         "4: unknown key 'priority'; known: arrival_s, context_tokens"},
        {listed + std::string(R"({"arrival_s": 1, "context_tokens": 8, "query_tokens": 1,
            "blocks": [1]}]})"),
         "4: key 'blocks' has 1 ids, but the context has 2 whole blocks of 4 tokens"},
        {listed + std::string(R"({"arrival_s": 1, "context_tokens": 8, "query_tokens": 1,
            "blocks": [1, -2]}]})"),
         "4: key 'blocks'[1] is -2, below 0"},
        {listed + std::string(R"({"arrival_s": 1, "context_tokens": 8, "query_tokens": 1,
            "blocks": [1, 9223372036854775808]}]})"),
         "4: key 'blocks'[1] is 9223372036854775808, above 9223372036854775807"},
        {listed + std::string(R"({"arrival_s": 1, "context_tokens": 8, "query_tokens": 1,
            "blocks": [1, 0.5]}]})"),
         "4: key 'blocks'[1] is 0.5, not a whole number"},
        {listed + std::string(R"({"arrival_s": 1, "context_tokens": 8, "query_tokens": 1,
            "blocks": [2, 3]}]})"),
         "4: key 'blocks': id 2 has another prefix than in line 2: nothing before it, not 1"},
        {listed + std::string(R"({"arrival_s": 1, "context_tokens": 8, "query_tokens": 1,
            "blocks": [3, 2]}]})"),
         "4: key 'blocks': id 2 has another prefix than in line 2: 3 before it, not 1"},
        {listed + std::string(R"({"arrival_s": 1, "context_tokens": 8, "query_tokens": 1,
            "blocks": [3, 3]}]})"),
         "4: key 'blocks': id 3 stands twice"},
        {listed + std::string(R"({"arrival_s": 1, "context_tokens": 8, "query_tokens": 1}]})"),
         "1: key 'requests': all arrive at once, so a qps of 1 cannot be made"},
        {"{\"name\": \"w\", \"requests\": [\n{\"arrival_s\": 1, \"context_tokens\": 8, "
         "\"query_tokens\": 1, \"blocks\": []}]}",
         "2: key 'blocks' needs a 'block_tokens' beside 'requests'"},
    }));
    CAPTURE(text);
    const sluice_test::temp_dir dir;
    const std::string path = dir.write("w.json", text);
    const auto made = make_load({.workload = path, .requests = 10, .qps = 1});
    REQUIRE_FALSE(made.ok());
    CHECK(made.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(message_of(made.status()), StartsWith(path + ':' + what));
}

TEST_CASE("load: a trace", "[experiment]") {
    const sluice_test::temp_dir dir;
    const std::string path = dir.write("t.jsonl", trace_text({{0, 1200, 0, {1, 2, 3}},
                                                              {3000, 1537, 9, {1, 2, 4, 5}},
                                                              {30'000, 1024, 1, {1, 6}},
                                                              {60'000, 5, 1, {7}}}));
    const auto made = make_load({.workload = "mooncake", .trace = path, .requests = 0}).value();
    check_load(made);
    CHECK(made.name == "mooncake");
    CHECK(made.description == "t.jsonl, the first 4 requests, L3 empty at the start");
    CHECK(made.block_tokens == 512);
    CHECK_FALSE(made.distinct);
    REQUIRE(made.requests.size() == 4);
    CHECK(made.requests[0].prompt_tokens == 1200);
    CHECK(made.requests[0].block_ids == std::vector<std::uint64_t>{1, 2});
    CHECK(made.requests[0].cached_blocks == 0);
    CHECK(made.requests[0].output_tokens == 1);
    CHECK(made.requests[1].block_ids == std::vector<std::uint64_t>{1, 2, 4});
    // A last block that is full is the request's own all the same.
    CHECK(made.requests[2].block_ids.size() == 2);
    CHECK(made.requests[2].block_ids[1] >= std::uint64_t{1} << 63);
    CHECK(made.requests[3].block_ids.empty());
    CHECK_THAT(made.requests[3].arrival_s, WithinAbs(60, 3));

    load_options warm{.workload = "mooncake", .trace = path, .requests = 0};
    warm.warm = workload::warm_mode::full;
    warm.qps = 2;
    const auto full = make_load(warm).value();
    check_load(full);
    CHECK(full.requests[0].cached_blocks == 2);
    CHECK(full.requests[2].cached_blocks == 1);
    CHECK_THAT(workload::rate_of_arrivals(full.requests), WithinRel(2.0, 1e-9));
    warm.hit_ratio = 0.5;
    CHECK(make_load(warm)->requests[0].cached_blocks == 1);
    CHECK(make_load({.workload = "mooncake", .trace = path, .requests = 2})->requests.size() == 2);
}

TEST_CASE("load: ids of a trace that do not name their prefix", "[experiment]") {
    const sluice_test::temp_dir dir;
    const std::string path =
        dir.write("t.jsonl", '\n' + trace_text({{0, 1200, 0, {1, 2, 3}}, {0, 1200, 0, {4, 2, 3}}}));
    const auto made = make_load({.workload = "mooncake", .trace = path, .requests = 0});
    CHECK(message_of(made.status()) ==
          path + ":3: key 'hash_ids': id 2 has another prefix than in line 2: 4 before it, not 1");
}

TEST_CASE("load: the real trace", "[experiment][real]") {
    SLUICE_REAL_TRACE_OR_SKIP(path);
    const auto made = make_load({.workload = "mooncake", .trace = path, .requests = 0}).value();
    check_load(made);
    CHECK(made.requests.size() == 12'031);
    CHECK_FALSE(made.distinct);
}

TEST_CASE("load: mutated files are refused with a line, or make a load", "[experiment][random]") {
    const std::uint64_t seed = GENERATE(range(0u, 2000u));
    workload::random_source random(seed);
    const sluice_test::temp_dir dir;
    load_options options{.seed = seed, .requests = 5, .qps = 1, .block_tokens = 4096};
    const std::uint64_t form = random.below(3);
    std::string text;
    if (form == 0) {
        const auto builtin = embedded_workloads();
        text = builtin[random.below(builtin.size())].text;
    } else if (form == 1) {
        text = R"({"name": "w", "block_tokens": 16, "requests": [
            {"arrival_s": 0.5, "context_tokens": 40, "query_tokens": 20, "blocks": [7, 9]},
            {"arrival_s": 1.5, "context_tokens": 32, "query_tokens": 1, "blocks": [7, 8]},
            {"arrival_s": 2.5, "context_tokens": 15, "query_tokens": 1, "output_tokens": 2}]})";
    } else {
        text =
            trace_text({{0, 1200, 0, {1, 2, 3}}, {3000, 1537, 9, {1, 2, 4, 5}}, {3000, 5, 1, {7}}});
    }
    text = sluice_test::mutate_json(text, random);
    const std::string path = dir.write("w.json", text);
    (form == 2 ? options.trace : options.workload) = path;
    if (form == 2) {
        options.workload = "mooncake";
    }
    CAPTURE(seed, text);
    const auto made = make_load(options);
    if (made.ok()) {
        check_load(*made);
        return;
    }
    const std::string message = message_of(made.status());
    CHECK(made.status().code() == absl::StatusCode::kInvalidArgument);
    if (message.starts_with("the requests have more than") ||
        message == path + " holds no requests") {
        return;
    }
    REQUIRE_THAT(message, StartsWith(path + ':'));
    const long line = std::strtol(message.c_str() + path.size() + 1, nullptr, 10);
    CHECK(line >= 1);
    CHECK(line <= std::count(text.begin(), text.end(), '\n') + 1);
}
