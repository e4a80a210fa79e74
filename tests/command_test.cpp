// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/base/status.hpp>

#include "../src/command/load_trace.hpp"
#include "../src/command/output.hpp"
#include "../src/command/profile.hpp"
#include "../src/command/progress.hpp"
#include "../src/command/replay_options.hpp"
#include "support/temp_dir.hpp"

using namespace sluice::command;
using Catch::Matchers::ContainsSubstring;

TEST_CASE("command: lists of policies", "[command]") {
    using choices = std::vector<policy_choice>;
    CHECK(parse_policies("sjf").value() == choices{{"sjf", false}});
    CHECK(parse_policies("fifo, sjf+split ,edf").value() ==
          choices{{"fifo", false}, {"sjf", true}, {"edf", false}});
    // A comma before `key=` and inside parentheses belongs to the spec.
    CHECK(parse_policies("lstf:late_last=off,x=2,sjf").value() ==
          choices{{"lstf:late_last=off,x=2", false}, {"sjf", false}});
    CHECK(parse_policies("aging:after=5(fair:a=1,b=2(sjf))+split,edf:late_last=off").value() ==
          choices{{"aging:after=5(fair:a=1,b=2(sjf))", true}, {"edf:late_last=off", false}});
    const std::string bad = GENERATE("", ",", "sjf,", "sjf,,edf", "+split", "a(b", "a)b", "a)(b");
    CAPTURE(bad);
    CHECK(parse_policies(bad).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("command: the defaults are the quickstart's", "[command]") {
    const replay_options options;
    CHECK(options.policies == parse_policies("fifo,sjf,srpt,edf,lstf,sjf+split").value());
    CHECK(options.has_config("coupled"));
    CHECK_FALSE(options.has_config("other"));
    CHECK(options.nodes == 2);
    CHECK(options.provider == "tcp");
}

TEST_CASE("command: where a trace is found", "[command]") {
    const sluice_test::temp_dir dir;
    const std::string file = dir.write("conversation_trace.jsonl", "x");
    CHECK(find_trace({file, "/absent", {}}).value() == file);
    CHECK(find_trace({"", dir.path(), {}}).value() == file);
    CHECK(find_trace({"", "", {dir.path()}}).value().empty());

    CHECK(find_trace({"/absent", dir.path(), {}}).status().code() == absl::StatusCode::kNotFound);
    // A variable that leads nowhere is a mistake, not a wish for a made-up trace.
    CHECK(find_trace({"", "/absent", {}}).status().code() == absl::StatusCode::kNotFound);

    std::filesystem::create_directories(dir.file("shared/data"));
    const std::string shared = dir.write("shared/data/conversation_trace.jsonl", "x");
    CHECK(find_trace({"", "", {"/absent/x", dir.file("repository")}}).value() == shared);
}

TEST_CASE("command: a profile is read as it was written", "[command]") {
    profile_result profile;
    profile.fetch = {1e-4, 2.5e-9, 3e-6, 0.99};
    profile.copy = {1e-5, 1e-10, 0, 1};
    profile.compute = {1e-3, 1e-4, 1e-8, 0.95};
    profile.facts = {{"link", "40 MB/s"}};
    const auto read = parse_profile(profile_json(profile));
    REQUIRE(read.ok());
    CHECK(read->fetch.per_byte_s == 2.5e-9);
    CHECK(read->copy.r2 == 1);
    CHECK(read->compute.c2_s == 1e-8);
    CHECK(read->facts.at(0).value == "40 MB/s");

    CHECK_FALSE(parse_profile("").ok());
    CHECK_FALSE(parse_profile("[]").ok());
    CHECK_FALSE(parse_profile("{}").ok());
    const auto bad = parse_profile(R"({"fetch": {"fixed_s": "1"}})");
    CHECK_THAT(std::string(sluice::message_of(bad.status())),
               ContainsSubstring("'fetch.fixed_s' is missing or not a number"));
}

TEST_CASE("command: what can be written", "[command]") {
    const sluice_test::temp_dir dir;
    CHECK(check_writable("-").ok());
    CHECK(check_writable(dir.file("new")).ok());
    CHECK_FALSE(std::filesystem::exists(dir.file("new")));
    CHECK(check_writable(dir.path()).code() == absl::StatusCode::kInvalidArgument);
    CHECK(check_writable(dir.file("absent/new")).code() == absl::StatusCode::kNotFound);
    CHECK(write_text(dir.file("new"), "text").ok());
    CHECK(std::filesystem::file_size(dir.file("new")) == 4);
    CHECK_FALSE(write_text(dir.file("absent/new"), "text").ok());
    if (std::filesystem::exists("/dev/full")) {
        CHECK_FALSE(write_text("/dev/full", "text").ok());
    }
}

TEST_CASE("command: exit codes", "[command]") {
    CHECK(exit_code_of(absl::OkStatus()) == 0);
    CHECK(exit_code_of(absl::InvalidArgumentError("")) == 2);
    CHECK(exit_code_of(absl::NotFoundError("")) == 2);
    CHECK(exit_code_of(absl::InternalError("")) == 1);
}

TEST_CASE("command: the progress line fits its terminal", "[command]") {
    for (const unsigned width : {0u, 1u, 20u, 40u, 80u, 300u}) {
        CAPTURE(width);
        CHECK(progress_text("pipelined sjf", 50, 200, 12, width).size() <= width);
        CHECK(progress_text(std::string(500, 'x'), 1, 0, 1, width).size() <= width);
    }
    CHECK_THAT(progress_text("label", 100, 200, 12, 80), ContainsSubstring("100/200"));
    CHECK_THAT(progress_text("label", 300, 200, 12, 80), !ContainsSubstring("."));
}
