// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <absl/status/status.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/base/status.hpp>

#include "../src/json/located.hpp"
#include "../src/json/object_reader.hpp"
#include "../src/workload/random.hpp"
#include "support/temp_dir.hpp"

namespace json = sluice::json;
using Catch::Matchers::ContainsSubstring;
using Catch::Matchers::StartsWith;
using sluice::workload::random_source;

namespace {

std::string error_of(std::string_view text, const json::parse_limits& limits = {}) {
    const auto parsed = json::parse(text, "f.json", limits);
    REQUIRE_FALSE(parsed.ok());
    CHECK(parsed.status().code() == absl::StatusCode::kInvalidArgument);
    return std::string(sluice::message_of(parsed.status()));
}

/// Writes a random value and remembers in which lines its parts stand.
class writer {
 public:
    explicit writer(std::uint64_t seed) : random_(seed) {}

    void value(unsigned depth) {
        space();
        lines.push_back(line_);
        switch (random_.below(depth == 0 ? 7 : 9)) {
        case 0: text += "null"; break;
        case 1: text += "true"; break;
        case 2: text += std::to_string(random_.below(1000)); break;
        case 3: text += "-" + std::to_string(random_.below(1000)); break;
        case 4: text += "1.5e3"; break;
        case 5: text += "0"; break;
        case 6: text += R"("a\nb\u00e9 [{,")"; break;
        case 7: list('[', ']', depth, false); break;
        default: list('{', '}', depth, true); break;
        }
        space();
    }

    std::string text;
    std::vector<std::uint32_t> lines;  // of keys and values, in the order in which they begin

 private:
    void space() {
        constexpr std::string_view some[] = {"", "", " ", "\t", "\n", "\r\n", "\n\n "};
        const std::string_view chosen = some[random_.below(std::size(some))];
        text += chosen;
        line_ += static_cast<std::uint32_t>(std::count(chosen.begin(), chosen.end(), '\n'));
    }
    void list(char open, char close, unsigned depth, bool keys) {
        text += open;
        const std::uint64_t n = random_.below(5);
        for (std::uint64_t i = 0; i < n; ++i) {
            if (i != 0) {
                text += ',';
            }
            if (keys) {
                space();
                lines.push_back(line_);
                text += '"' + std::to_string(i) + '"';
                space();
                text += ':';
            }
            value(depth - 1);
        }
        if (n == 0) {
            space();
        }
        text += close;
    }

    random_source random_;
    std::uint32_t line_ = 1;
};

void collect_lines(const json::value& v, std::vector<std::uint32_t>& out) {
    out.push_back(v.line());
    for (const json::value& item : v.items()) {
        collect_lines(item, out);
    }
    for (const json::member& m : v.members()) {
        out.push_back(m.line);
        collect_lines(m.what, out);
    }
}

}  // namespace

TEST_CASE("located json: values", "[json]") {
    const auto parsed = json::parse(
        R"({"a": [true, -3, 52e9, 18446744073709551615, 2.5, "x", null], "b": {}})", "f.json");
    REQUIRE(parsed.ok());
    REQUIRE(parsed->members().size() == 2);
    const auto a = parsed->members()[0].what.items();
    REQUIRE(a.size() == 7);
    CHECK(a[0].flag() == true);
    CHECK(a[1].number() == -3.0);
    CHECK_FALSE(a[1].whole());
    CHECK(a[2].whole() == 52'000'000'000);
    CHECK(a[2].number() == 52e9);
    CHECK(a[3].whole() == UINT64_MAX);
    CHECK_FALSE(a[4].whole());
    CHECK(a[5].text() == "x");
    CHECK(a[6].is_null());
    CHECK(a[6].file() == "f.json");
    CHECK(parsed->members()[1].what.is_object());
    CHECK_FALSE(a[5].number());
    CHECK_FALSE(a[4].text());
    CHECK_FALSE(a[4].flag());
}

TEST_CASE("located json: lines, also of numbers before a line break", "[json]") {
    const auto parsed =
        json::parse("{\n\"a\": 1\n,\"b\":\n-2\r\n,\n\n\"c\": [3\n,4],\"d\": {}\n}\n", "f.json",
                    {.first_line = 10});
    REQUIRE(parsed.ok());
    std::vector<std::uint32_t> lines;
    collect_lines(*parsed, lines);
    CHECK(lines == std::vector<std::uint32_t>{10, 11, 11, 12, 13, 16, 16, 16, 17, 17, 17});
}

TEST_CASE("located json: lines of random texts", "[json][random]") {
    const std::uint64_t seed = GENERATE(range(0u, 300u));
    writer w(seed);
    w.value(4);
    CAPTURE(seed, w.text);
    const auto parsed = json::parse(w.text, "f.json");
    REQUIRE(parsed.ok());
    std::vector<std::uint32_t> lines;
    collect_lines(*parsed, lines);
    CHECK(lines == w.lines);
}

TEST_CASE("located json: what is none, and where", "[json]") {
    const auto& [text, what] = GENERATE(table<std::string, std::string>({
        {"", "f.json:1: not JSON"},
        {"\n\n", "f.json:2: not JSON"},
        {"nonsense", "f.json:1: not JSON"},
        {"{\n  \"a\": 1,\n}", "f.json:3: not JSON"},
        {"[1 2\n]", "f.json:1: not JSON"},
        {"[1\n2]", "f.json:2: not JSON"},
        {"[1]\n[2]", "f.json:2: not JSON"},
        {"[1] // no", "f.json:1: not JSON"},
        {"[\"a\n\"]", "f.json:1: not JSON"},
        {"[\n\"\xff\"]", "f.json:2: not JSON"},
        {"[\n\"\\ud800\"]", "f.json:2: not JSON"},
        {"[\nNaN]", "f.json:2: not JSON"},
        {"[\nInfinity]", "f.json:2: not JSON"},
        {"[\n01]", "f.json:2: not JSON"},
        {"[\n1e999\n]", "f.json:2: not JSON: number overflow"},
        {"[1,\n-1e999\n]", "f.json:2: not JSON: number overflow"},
        {"{\"a\": 1,\n\"b\": 2,\n\"a\": 3\n}", "f.json:3: key 'a' stands twice, first in line 1"},
        {std::string("[\n") + std::string(40, '['), "f.json:2: nested deeper than 32 levels"},
        {"[\n" + std::string(100'000, '['), "f.json:2: nested deeper than 32 levels"},
        {std::string("[\"\0\"]", 5), "f.json:1: not JSON"},
    }));
    CAPTURE(text.substr(0, 100));
    const std::string error = error_of(text);
    CHECK_THAT(error, StartsWith(what));
    CHECK(error.size() < 400);
}

TEST_CASE("located json: limits", "[json]") {
    CHECK_THAT(error_of("[1, 2, 3]", {.bytes = 8}), StartsWith("f.json:1: longer than 8 bytes"));
    CHECK(json::parse("[1, 2, 3]", "f", {.values = 4}).ok());
    CHECK_THAT(error_of("[1, 2,\n 3]", {.values = 2}), StartsWith("f.json:2: more than 2 values"));
    CHECK(json::parse("[[]]", "f", {.depth = 2}).ok());
    CHECK_THAT(error_of("[[[]]]", {.depth = 2}), ContainsSubstring("deeper than 2 levels"));
}

TEST_CASE("located json: messages upset no terminal", "[json]") {
    const std::string error =
        error_of("{\"\\u001b[31m\\u007f\xc3\xa9\": 1,\n\"\\u001b[31m\\u007f\xc3\xa9\": 2}");
    CHECK_THAT(error, StartsWith("f.json:2: key '?[31m?\xc3\xa9' stands twice"));
    CHECK(json::quote(std::string(59, 'x') + "\xe2\x82\xac" + "y") ==
          "'" + std::string(59, 'x') + "\xe2\x82\xac...'");
    CHECK(json::quote("a\xc3") == "'a?'");
    CHECK(json::quote("\xff\x80z") == "'??z'");
}

TEST_CASE("located json: files", "[json]") {
    const sluice_test::temp_dir dir;
    CHECK(json::parse_file(dir.file("absent.json")).status().code() == absl::StatusCode::kNotFound);
    CHECK(json::parse_file(dir.path()).status().code() == absl::StatusCode::kInvalidArgument);
    const std::string path = dir.write("f.json", "[1,\n2]\n");
    CHECK(json::parse_file(path).value().items()[1].line() == 2);
    CHECK(json::parse_file(path, {.bytes = 7}).ok());
    CHECK_FALSE(json::parse_file(path, {.bytes = 6}).ok());
    // Without an end.
    CHECK_FALSE(json::parse_file("/dev/zero", {.bytes = 1000}).ok());
}

TEST_CASE("located json: no bytes crash it, and it names a line of the text", "[json][random]") {
    const std::uint64_t seed = GENERATE(range(0u, 300u));
    CAPTURE(seed);
    random_source random(seed);
    writer w(seed);
    w.value(4);
    for (int i = 0; i < 20; ++i) {
        std::string text = w.text;
        for (std::uint64_t n = random.below(4) + 1; n > 0 && !text.empty(); --n) {
            const std::size_t at = random.below(text.size());
            constexpr std::string_view tokens = "[]{}:,\"\\0-e.\n";
            switch (random.below(4)) {
            case 0: text[at] = static_cast<char>(random.below(256)); break;
            case 1: text[at] = tokens[random.below(tokens.size())]; break;
            case 2: text.erase(at, random.below(8)); break;
            default: text.insert(at, text.substr(random.below(text.size()), random.below(16)));
            }
        }
        const auto parsed = json::parse(text, "f.json");
        if (!parsed.ok()) {
            const std::string error(sluice::message_of(parsed.status()));
            CAPTURE(text);
            REQUIRE_THAT(error, StartsWith("f.json:"));
            const auto line = std::stoul(error.substr(7));
            CHECK(line >= 1);
            CHECK(line <= static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) + 1);
        }
    }
}

namespace {

std::string reader_error(std::string_view text, void (*read)(json::object_reader&)) {
    const auto parsed = json::parse(text, "f.json");
    REQUIRE(parsed.ok());
    json::object_reader from(*parsed);
    read(from);
    const absl::Status status = from.finish();
    return status.ok() ? std::string() : std::string(sluice::message_of(status));
}

}  // namespace

TEST_CASE("object reader: what is right", "[json]") {
    const auto parsed = json::parse(R"({"n": 2.5, "w": 7, "f": true, "t": "x", "c": "b",
        "o": {}, "a": []})",
                                    "f.json");
    REQUIRE(parsed.ok());
    constexpr std::string_view names[] = {"a", "b"};
    json::object_reader from(*parsed);
    CHECK(from.number("n", 0, 3) == 2.5);
    CHECK(from.number_or("w", 1, 0, 10) == 7);
    CHECK(from.number_or("absent", 1, 0, 10) == 1);
    CHECK(from.whole("w", 7, 7) == 7);
    CHECK(from.whole_or("absent", 3, 0, 9) == 3);
    CHECK(from.flag_or("f", false));
    CHECK(from.flag_or("absent", true));
    CHECK(from.text("t") == "x");
    CHECK(from.text_or("absent", "y") == "y");
    CHECK(from.choice("c", names) == 1);
    CHECK(from.object("o") != nullptr);
    CHECK(from.array("a") != nullptr);
    CHECK(from.find("absent") == nullptr);
    CHECK(from.ok());
    CHECK(from.finish().ok());
}

TEST_CASE("object reader: what is wrong, and where", "[json]") {
    using reader = json::object_reader;
    struct example {
        const char* text;
        void (*read)(reader&);
        const char* what;
    };
    const example e = GENERATE(values<example>({
        {"[\n1]", [](reader&) {}, "f.json:1: an array where an object should be"},
        {"\n{}", [](reader& r) { (void)r.number("n", 0, 1); }, "f.json:2: key 'n' is missing"},
        {"{\n\"n\": \"x\"}", [](reader& r) { (void)r.number("n", 0, 1); },
         "f.json:2: key 'n' is a string, not a number"},
        {"{\n\"n\":\n-1}", [](reader& r) { (void)r.number_or("n", 0, 0, 1); },
         "f.json:3: key 'n' is -1, below 0"},
        {"{\"n\": 2}", [](reader& r) { (void)r.number("n", 0, 1); },
         "f.json:1: key 'n' is 2, above 1"},
        {"{\"n\": 0}", [](reader& r) { (void)r.number("n", json::above_zero, 1); },
         "f.json:1: key 'n' is 0, not above 0"},
        {"{\"n\": null}", [](reader& r) { (void)r.whole("n", 0, 1); },
         "f.json:1: key 'n' is null, not a number"},
        {"{\"n\": 0.5}", [](reader& r) { (void)r.whole("n", 0, 9); },
         "f.json:1: key 'n' is 0.5, not a whole number up to 9"},
        {"{\"n\": 1e300}", [](reader& r) { (void)r.whole("n", 0, 9); },
         "f.json:1: key 'n' is 1e+300, not a whole number up to 9"},
        {"{\"n\": 18446744073709551616}", [](reader& r) { (void)r.whole("n", 0, 9); },
         "f.json:1: key 'n' is 1.8446744073709552e+19, not a whole number up to 9"},
        {"{\"n\": -1}", [](reader& r) { (void)r.whole_or("n", 1, 1, 9); },
         "f.json:1: key 'n' is -1, below 1"},
        {"{\"n\": 10}", [](reader& r) { (void)r.whole("n", 0, 9); },
         "f.json:1: key 'n' is 10, above 9"},
        {"{\"n\": 0}", [](reader& r) { (void)r.whole("n", 1, 9); },
         "f.json:1: key 'n' is 0, below 1"},
        {"{\"f\": 1}", [](reader& r) { (void)r.flag_or("f", true); },
         "f.json:1: key 'f' is a number, not true or false"},
        {"{\"t\": 1}", [](reader& r) { (void)r.text("t"); },
         "f.json:1: key 't' is a number, not a string"},
        {"{\"t\": \"\"}", [](reader& r) { (void)r.text_or("t", "x"); },
         "f.json:1: key 't' is empty"},
        {"{\"c\": \"z\"}",
         [](reader& r) {
             constexpr std::string_view names[] = {"a", "b"};
             (void)r.choice("c", names);
         },
         "f.json:1: key 'c' is 'z'; known: a, b"},
        {"{\"o\": []}", [](reader& r) { (void)r.object("o"); },
         "f.json:1: key 'o' is an array, not an object"},
        {"{\"a\": {}}", [](reader& r) { (void)r.array("a"); },
         "f.json:1: key 'a' is an object, not an array"},
        {"{\"n\": 1,\n\"m\": 2}", [](reader& r) { (void)r.number("n", 0, 1); },
         "f.json:2: unknown key 'm'; known: n"},
        {"{\"n\": 1}", [](reader&) {}, "f.json:1: unknown key 'n'; there should be none"},
        // The first fault, not the last.
        {"{\"n\": 2,\n\"m\": 2}",
         [](reader& r) {
             (void)r.number("n", 0, 1);
             (void)r.text("m");
         },
         "f.json:1: key 'n' is 2, above 1"},
    }));
    CHECK(reader_error(e.text, e.read) == e.what);
}

TEST_CASE("object reader: what it returns beside a fault is in range", "[json]") {
    const auto parsed = json::parse(R"({"n": 99, "w": -1})", "f.json");
    json::object_reader from(*parsed);
    CHECK(from.number("n", 1, 5) == 1);
    CHECK(from.number_or("n", 3, 1, 5) == 3);
    CHECK(from.whole("w", 2, 5) == 2);
    CHECK(from.whole_or("w", 4, 2, 5) == 4);
    CHECK_FALSE(from.ok());
}
