// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <unordered_set>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <sluice/kv/block_key.hpp>

#include "../src/workload/random.hpp"
#include "../src/workload/synthetic.hpp"
#include "../src/workload/workload.hpp"
#include "support/real_trace.hpp"

using namespace sluice::workload;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;

namespace {

/// Two requests that share two blocks of the trace, and one that shares the first only.
std::vector<trace_request> small_trace() {
    return {{0, 1200, 1, {1, 2, 3}}, {0, 1537, 1, {1, 2, 4, 5}}, {3000, 600, 1, {1, 6}}};
}

const workload_request& by_trace_index(const workload& w, std::size_t index) {
    return *std::find_if(w.requests.begin(), w.requests.end(),
                         [index](const workload_request& r) { return r.trace_index == index; });
}

}  // namespace

TEST_CASE("workload: equal ids give equal tokens and keys", "[workload]") {
    const auto w = make_workload(small_trace(), {.block_tokens = 16});
    REQUIRE(w.ok());
    CHECK(w->block_tokens == 16);
    const workload_request& a = by_trace_index(*w, 0);
    const workload_request& b = by_trace_index(*w, 1);
    const workload_request& c = by_trace_index(*w, 2);

    // 1200 tokens are two blocks and 176 of 512, which is 5.5 of 16.
    CHECK(a.total_blocks == 3);
    CHECK(a.tokens.size() == 2 * 16 + 6);
    CHECK(a.keys.size() == 2);
    CHECK(b.total_blocks == 4);
    CHECK(b.tokens.size() == 3 * 16 + 1);

    CHECK(std::equal(a.tokens.begin(), a.tokens.begin() + 32, b.tokens.begin()));
    CHECK(std::equal(a.tokens.begin(), a.tokens.begin() + 16, c.tokens.begin()));
    CHECK(a.keys[0] == b.keys[0]);
    CHECK(a.keys[1] == b.keys[1]);
    CHECK(a.keys[0] == c.keys[0]);
    CHECK(a.keys[0] == sluice::chain_key({}, std::span(a.tokens).first(16)));
    CHECK(a.keys[1] == sluice::chain_key(a.keys[0], std::span(a.tokens).subspan(16, 16)));
    // Id 3 and id 4 differ.
    CHECK_FALSE(std::equal(a.tokens.begin() + 32, a.tokens.end(), b.tokens.begin() + 32));
}

TEST_CASE("workload: the last block is a request's own", "[workload]") {
    // The same whole blocks twice: the second could otherwise be answered from the cache alone.
    const std::vector<trace_request> trace{{0, 1024, 1, {1, 2}}, {0, 1024, 1, {1, 2}}};
    const auto w = make_workload(trace, {.block_tokens = 16});
    REQUIRE(w.ok());
    CHECK(w->requests[0].keys[0] == w->requests[1].keys[0]);
    CHECK(w->requests[0].keys[1] != w->requests[1].keys[1]);
    CHECK(w->requests[0].cached_blocks(warm_mode::full) == 1);
    CHECK(w->requests[0].cached_blocks(warm_mode::trace) == 0);
    CHECK(w->requests[1].cached_blocks(warm_mode::trace) == 1);
}

TEST_CASE("workload: clipping", "[workload]") {
    const auto w = make_workload(small_trace(), {.clip_tokens = 1024, .block_tokens = 16});
    REQUIRE(w.ok());
    CHECK(by_trace_index(*w, 1).tokens.size() == 32);
    CHECK(by_trace_index(*w, 1).total_blocks == 2);
    CHECK(by_trace_index(*w, 2).tokens.size() == 16 + 3);
}

TEST_CASE("workload: the seed decides, and only it", "[workload]") {
    const std::vector<trace_request> trace = make_trace({}, 3);
    const auto once = make_workload(trace, {.seed = 5}).value();
    const auto again = make_workload(trace, {.seed = 5}).value();
    const auto other = make_workload(trace, {.seed = 6}).value();
    for (std::size_t i = 0; i < once.requests.size(); ++i) {
        CHECK(once.requests[i].tokens == again.requests[i].tokens);
        CHECK(once.requests[i].arrival_s == again.requests[i].arrival_s);
        CHECK(once.requests[i].deadline_multiple == again.requests[i].deadline_multiple);
    }
    CHECK(once.requests[0].tokens != other.requests[0].tokens);
    CHECK(once.requests[9].arrival_s != other.requests[9].arrival_s);

    // What a request draws does not depend on how many follow it.
    const auto fewer = make_workload(std::span(trace).first(50), {.seed = 5, .block_tokens = 24});
    const auto more = make_workload(trace, {.seed = 5, .block_tokens = 24});
    CHECK(by_trace_index(*fewer, 20).tokens == by_trace_index(*more, 20).tokens);
    CHECK(by_trace_index(*fewer, 20).deadline_multiple ==
          by_trace_index(*more, 20).deadline_multiple);
}

TEST_CASE("workload: arrivals are spread within their bucket and sorted", "[workload]") {
    std::vector<trace_request> trace;
    for (std::uint64_t i = 0; i < 300; ++i) {
        // As in the real trace: ten at a time, a millisecond off at some.
        const std::uint64_t bucket = (i / 10) * 3000;
        trace.push_back({bucket == 0 || i % 7 != 0 ? bucket : bucket - 1, 600, 1, {0, i + 1}});
    }
    std::sort(trace.begin(), trace.end(), [](const trace_request& a, const trace_request& b) {
        return a.timestamp_ms < b.timestamp_ms;
    });
    const auto w = make_workload(trace, {}).value();
    CHECK(w.requests.front().arrival_s == 0);
    double first_of_all = 3;
    for (std::size_t i = 0; i + 1 < w.requests.size(); ++i) {
        CHECK(w.requests[i].id == i);
        CHECK(w.requests[i].arrival_s <= w.requests[i + 1].arrival_s);
    }
    for (const workload_request& r : w.requests) {
        const double bucket =
            std::round(static_cast<double>(trace[r.trace_index].timestamp_ms) / 3000) * 3;
        first_of_all = std::min(first_of_all, bucket + 3 - r.arrival_s);
        CHECK(r.arrival_s <= bucket + 3);
        CHECK(r.arrival_s >= bucket - 3);
    }
    // No clump is left: in an even spread, 30 s hold 100 of 300.
    const auto early = std::count_if(w.requests.begin(), w.requests.end(),
                                     [](const workload_request& r) { return r.arrival_s < 30; });
    CHECK(early > 85);
    CHECK(early < 115);
}

TEST_CASE("workload: scaling to a rate", "[workload]") {
    auto w = make_workload(make_trace({}, 1), {}).value();
    const double spread = w.requests[50].arrival_s / w.requests[199].arrival_s;
    scale_to_rate(w, 25);
    CHECK_THAT(arrival_rate(w), WithinRel(25.0, 1e-9));
    CHECK_THAT(w.requests.back().arrival_s, WithinRel(199 / 25.0, 1e-9));
    CHECK_THAT(w.requests[50].arrival_s / w.requests[199].arrival_s, WithinRel(spread, 1e-9));

    auto one = make_workload(std::vector<trace_request>{{0, 5, 1, {1}}}, {}).value();
    scale_to_rate(one, 10);
    CHECK(one.requests[0].arrival_s == 0);
    CHECK(arrival_rate(one) == 0);
}

TEST_CASE("workload: deadlines and tokens cover their range", "[workload]") {
    const auto w = make_workload(make_trace({.requests = 600}, 1), {.vocabulary = 50}).value();
    std::map<double, int> multiples;
    std::unordered_set<std::uint32_t> tokens;
    for (const workload_request& r : w.requests) {
        ++multiples[r.deadline_multiple];
        tokens.insert(r.tokens.begin(), r.tokens.end());
        REQUIRE_FALSE(r.tokens.empty());
        CHECK(r.reused_blocks < r.total_blocks);
        CHECK(r.keys.size() >= r.total_blocks - 1);
    }
    REQUIRE(multiples.size() == 3);
    for (const auto& [multiple, count] : multiples) {
        CHECK((multiple == 2 || multiple == 4 || multiple == 8));
        CHECK(count > 150);
    }
    CHECK(tokens.size() == 50);
    CHECK(std::all_of(tokens.begin(), tokens.end(), [](std::uint32_t t) { return t < 50; }));
}

TEST_CASE("workload: refuses what it cannot use", "[workload]") {
    CHECK_FALSE(make_workload({}, {}).ok());
    CHECK_FALSE(make_workload(small_trace(), {.vocabulary = 1}).ok());
    CHECK_FALSE(make_workload(small_trace(), {.bucket_s = 0}).ok());
    CHECK_FALSE(make_workload(std::vector<trace_request>{{0, 1025, 1, {1, 2}}}, {}).ok());
    CHECK_FALSE(make_workload(std::vector<trace_request>{{0, 0, 1, {}}}, {}).ok());
}

TEST_CASE("workload: block size for a mean", "[workload]") {
    const std::vector<trace_request> trace{{0, 5120, 1, {}}, {0, 15'360, 1, {}}};
    CHECK(choose_block_tokens(trace, 0, 512) == 24);     // 25.6
    CHECK(choose_block_tokens(trace, 0, 128) == 6);      // 6.4
    CHECK(choose_block_tokens(trace, 5120, 512) == 48);  // 51.2
    CHECK(choose_block_tokens(trace, 0, 0) == 512);
    CHECK(choose_block_tokens(trace, 0, 1'000'000) == 512);
    CHECK(choose_block_tokens(trace, 0, 1) == 1);
}

TEST_CASE("workload: the quickstart's setting of the real trace", "[workload][real]") {
    SLUICE_REAL_TRACE_OR_SKIP(path);
    const auto trace = read_trace(path, 200);
    REQUIRE(trace.ok());
    const auto w = make_workload(*trace, {});
    REQUIRE(w.ok());
    CHECK(w->block_tokens >= 16);
    CHECK(w->block_tokens <= 32);
    const workload_summary s = summarize(*w);
    CHECK(s.requests == 200);
    CHECK_THAT(s.mean_tokens, WithinRel(512.0, 0.1));
    CHECK_THAT(s.reuse, WithinAbs(0.07, 0.02));
    CHECK(s.max_tokens <= 64 * w->block_tokens);
    CHECK(s.unique_blocks < s.blocks);
}
