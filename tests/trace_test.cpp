// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/base/status.hpp>

#include "../src/workload/synthetic.hpp"
#include "../src/workload/trace.hpp"
#include "support/real_trace.hpp"
#include "support/temp_dir.hpp"

using namespace sluice::workload;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::WithinRel;

namespace {

constexpr const char* good_line =
    R"({"timestamp": 3000, "input_length": 1025, "output_length": 7, "hash_ids": [0, 5, 9]})";

std::string error_of(const std::string& text, trace_limits limits = {}) {
    const sluice_test::temp_dir dir;
    const auto read = read_trace(dir.write("t.jsonl", text), 0, limits);
    REQUIRE_FALSE(read.ok());
    CHECK(read.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(sluice::message_of(read.status())), ContainsSubstring("t.jsonl"));
    return std::string(sluice::message_of(read.status()));
}

}  // namespace

TEST_CASE("trace: reads what it writes", "[trace]") {
    const sluice_test::temp_dir dir;
    const trace_request request{3000, 1025, 7, {0, 5, 9}};
    CHECK(to_json_line(request) == good_line);

    const std::string line = GENERATE(std::string(good_line), std::string(good_line) + "\n",
                                      std::string(good_line) + "\r\n\n  \n");
    const auto read = read_trace(dir.write("t.jsonl", line));
    REQUIRE(read.ok());
    REQUIRE(read->size() == 1);
    CHECK(read->front().timestamp_ms == 3000);
    CHECK(read->front().input_length == 1025);
    CHECK(read->front().output_length == 7);
    CHECK(read->front().hash_ids == std::vector<std::uint64_t>{0, 5, 9});
}

TEST_CASE("trace: says what is wrong with a line, and where", "[trace]") {
    const auto& [line, what] = GENERATE(table<std::string, std::string>({
        {"{", "not JSON: syntax error"},
        {"nonsense", "not JSON: syntax error"},
        {std::string(100'000, '['), "nested deeper than 32 levels"},
        {"[1]", "an array where an object should be"},
        {R"({"input_length": 1, "output_length": 1, "hash_ids": [0]})", "'timestamp' is missing"},
        {R"({"timestamp": 0, "output_length": 1, "hash_ids": [0]})", "'input_length' is missing"},
        {R"({"timestamp": 0, "input_length": 1, "hash_ids": [0]})", "'output_length' is missing"},
        {R"({"timestamp": 0, "input_length": 1, "output_length": 1})", "'hash_ids' is missing"},
        {R"({"timestamp": "0", "input_length": 1, "output_length": 1, "hash_ids": [0]})",
         "key 'timestamp' is a string, not a number"},
        {R"({"timestamp": 0.5, "input_length": 1, "output_length": 1, "hash_ids": [0]})",
         "key 'timestamp' is 0.5, not a whole number"},
        {R"({"timestamp": -1, "input_length": 1, "output_length": 1, "hash_ids": [0]})",
         "key 'timestamp' is -1, below 0"},
        {R"({"timestamp": 1e300, "input_length": 1, "output_length": 1, "hash_ids": [0]})",
         "key 'timestamp' is 1e+300, not a whole number"},
        {R"({"timestamp": 0, "input_length": 0, "output_length": 1, "hash_ids": []})",
         "'input_length' is 0, below 1"},
        {R"({"timestamp": 0, "input_length": 4294967297, "output_length": 1, "hash_ids": [0]})",
         "'input_length' is 4294967297, above"},
        {R"({"timestamp": 0, "input_length": 1, "output_length": -3, "hash_ids": [0]})",
         "key 'output_length' is -3, below 0"},
        {R"({"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": 0})",
         "key 'hash_ids' is a number, not an array"},
        {R"({"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [null]})",
         "key 'hash_ids'[0] is null, not a number"},
        {R"({"timestamp": 0, "input_length": 513, "output_length": 1, "hash_ids": [1]})",
         "key 'hash_ids' has 1 ids, but an 'input_length' of 513 has 2 blocks"},
        {R"({"timestamp": 0, "input_length": 512, "output_length": 1, "hash_ids": [1, 2]})",
         "key 'hash_ids' has 2 ids, but an 'input_length' of 512 has 1 blocks"},
        {R"({"timestamp": 2999, "input_length": 1, "output_length": 1, "hash_ids": [0]})",
         "key 'timestamp' is 2999, before 3000"},
        {R"({"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [-1]})",
         "key 'hash_ids'[0] is -1, below 0"},
        {R"({"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [0.5]})",
         "key 'hash_ids'[0] is 0.5, not a whole number"},
        {R"({"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [9223372036854775808]})",
         "key 'hash_ids'[0] is 9223372036854775808, above 9223372036854775807"},
        {R"({"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [0], "tokens": 3})",
         "unknown key 'tokens'; known: timestamp, input_length, output_length, hash_ids"},
        {R"({"timestamp": 0, "timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": [0]})",
         "key 'timestamp' stands twice"},
    }));
    const std::string error = error_of(std::string(good_line) + '\n' + line + '\n');
    CHECK_THAT(error, ContainsSubstring("t.jsonl:2: "));
    CHECK_THAT(error, ContainsSubstring(what));
}

TEST_CASE("trace: a line that is too long is not read to its end", "[trace]") {
    const std::string error =
        error_of(std::string(good_line) + '\n' + std::string(5000, ' '), {.max_line_bytes = 4000});
    CHECK_THAT(error, ContainsSubstring("t.jsonl:2: longer than 4000 bytes"));
}

TEST_CASE("trace: files that are none", "[trace]") {
    const sluice_test::temp_dir dir;
    CHECK_THAT(error_of(""), ContainsSubstring("holds no requests"));
    CHECK_THAT(error_of("\n\n"), ContainsSubstring("holds no requests"));
    CHECK(read_trace(dir.file("absent")).status().code() == absl::StatusCode::kNotFound);
    CHECK(read_trace(dir.path()).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("trace: the limit ends the reading", "[trace]") {
    const sluice_test::temp_dir dir;
    const std::string path =
        dir.write("t.jsonl", std::string(good_line) + '\n' + good_line + "\nnonsense\n");
    CHECK(read_trace(path, 2).value().size() == 2);
    CHECK_FALSE(read_trace(path, 3).ok());
}

TEST_CASE("trace: nothing follows an error or the end", "[trace]") {
    const sluice_test::temp_dir dir;
    auto reader =
        trace_reader::open(dir.write("t.jsonl", std::string("nonsense\n") + good_line + '\n'));
    REQUIRE(reader.ok());
    CHECK_FALSE(reader->next().ok());
    const auto after = reader->next();
    REQUIRE(after.ok());
    CHECK_FALSE(after->has_value());
}

TEST_CASE("trace: the real one", "[trace][real]") {
    SLUICE_REAL_TRACE_OR_SKIP(path);
    const auto read = read_trace(path);
    REQUIRE(read.ok());
    CHECK(read->size() == 12'031);
    double tokens = 0;
    std::uint32_t longest = 0;
    for (const trace_request& r : *read) {
        tokens += r.input_length;
        longest = std::max(longest, r.input_length);
    }
    CHECK_THAT(tokens / static_cast<double>(read->size()), WithinRel(12'035.0, 0.001));
    CHECK(longest == 126'195);
}

TEST_CASE("trace: a made-up one is like its statistics", "[trace]") {
    const std::uint64_t seed = GENERATE(1u, 2u, 3u);
    trace_statistics statistics;
    statistics.requests = 4000;
    const std::vector<trace_request> trace = make_trace(statistics, seed);
    REQUIRE(trace.size() == 4000);
    double tokens = 0;
    std::size_t blocks = 0;
    std::size_t reused = 0;
    std::set<std::uint64_t> seen;
    std::uint64_t last = 0;
    for (const trace_request& r : trace) {
        tokens += r.input_length;
        CHECK(r.hash_ids.size() == (r.input_length + 511) / 512);
        CHECK(r.timestamp_ms >= last);
        last = r.timestamp_ms;
        for (const std::uint64_t id : r.hash_ids) {
            if (!seen.contains(id)) {
                break;
            }
            ++reused;
        }
        blocks += r.hash_ids.size();
        seen.insert(r.hash_ids.begin(), r.hash_ids.end());
    }
    CHECK_THAT(tokens / 4000, WithinRel(statistics.mean_input_tokens, 0.1));
    CHECK_THAT(static_cast<double>(reused) / static_cast<double>(blocks),
               WithinRel(statistics.reuse, 0.15));
    CHECK_THAT(3999.0 / (static_cast<double>(last) * 1e-3),
               WithinRel(statistics.requests_per_second, 0.1));
}

TEST_CASE("trace: a made-up one can be read", "[trace]") {
    const sluice_test::temp_dir dir;
    std::string text;
    const std::vector<trace_request> made = make_trace({}, 7);
    for (const trace_request& r : made) {
        text += to_json_line(r) + '\n';
    }
    const auto read = read_trace(dir.write("t.jsonl", text));
    REQUIRE(read.ok());
    CHECK(read->size() == made.size());
    CHECK(make_trace({}, 7).back().hash_ids == made.back().hash_ids);
    CHECK(make_trace({}, 8).back().hash_ids != made.back().hash_ids);
}
