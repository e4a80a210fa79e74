// SPDX-License-Identifier: Apache-2.0
#include <sluice/sched/policy_registry.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/base/status.hpp>

namespace {

using namespace std::chrono_literals;
using sluice::make_policy;
using sluice::message_of;
using sluice::policy;
using sluice::policy_options;
using sluice::request_view;
using sluice::stage_id;
using sluice::time_point;

class plain final : public policy {
    sluice::rank_value do_rank(const request_view&, stage_id, time_point) noexcept override {
        return 1;
    }
};

class with_options final : public policy {
 public:
    explicit with_options(const policy_options& options)
        : number_(options.number("number", 0.5, 0, 1)),
          integer_(options.integer("integer", 3, -5, 5)),
          flag_(options.flag("flag", false)),
          span_(options.seconds("span", 2s)),
          text_(options.text("text", "none")) {
        if (text_ == "odd") {
            options.reject("text is odd");
        }
    }

    double number_;
    std::int64_t integer_;
    bool flag_;
    sluice::duration span_;
    std::string text_;

 private:
    sluice::rank_value do_rank(const request_view&, stage_id, time_point) noexcept override {
        return 2;
    }
};

SLUICE_REGISTER_POLICY("test_plain", plain);
SLUICE_REGISTER_POLICY("test_options", with_options);
SLUICE_REGISTER_POLICY("test_plain", with_options);  // taken

absl::StatusCode code(std::string_view spec) { return make_policy(spec).status().code(); }

bool says(std::string_view spec, std::string_view part) {
    const auto made = make_policy(spec);
    return message_of(made.status()).find(part) != std::string_view::npos;
}

std::unique_ptr<with_options> options_of(std::string_view spec) {
    auto made = make_policy(spec);
    REQUIRE(made.ok());
    return std::unique_ptr<with_options>(static_cast<with_options*>(made->release()));
}

}  // namespace

TEST_CASE("a registered class is made by name, the first of two") {
    request_view r;
    r.admitted = true;
    const auto made = make_policy("test_plain");
    REQUIRE(made.ok());
    CHECK((*made)->rank(r, stage_id::fetch, {}).value == 1);
}

TEST_CASE("the built-in policies are there") {
    const auto names = sluice::policy_names();
    CHECK(std::is_sorted(names.begin(), names.end()));
    for (const char* name : {"external", "fifo", "sjf_pt", "sjf", "srpt", "edf", "lstf", "on_time",
                             "aging", "fair", "test_plain", "test_options"}) {
        CAPTURE(name);
        CHECK(std::find(names.begin(), names.end(), name) != names.end());
    }
    for (const char* spec :
         {"fifo", "lstf:late_last=off", "aging:after=30(sjf)", "fair(aging:after=5(srpt))",
          " fair ( aging : after = 5 ( edf : late_last = off ) ) ", "aging(fifo)"}) {
        CAPTURE(spec);
        CHECK(make_policy(spec).ok());
    }
}

TEST_CASE("options reach the constructor") {
    const auto none = options_of("test_options");
    CHECK(none->number_ == 0.5);
    CHECK(none->integer_ == 3);
    CHECK_FALSE(none->flag_);
    CHECK(none->span_ == 2s);
    CHECK(none->text_ == "none");
    const auto all = options_of("test_options:number=0.25,integer=-5,flag=yes,span=0.5,text=a b=c");
    CHECK(all->number_ == 0.25);
    CHECK(all->integer_ == -5);
    CHECK(all->flag_);
    CHECK(all->span_ == 500ms);
    CHECK(all->text_ == "a b=c");
    for (const char* value : {"on", "true", "1"}) {
        CHECK(options_of(std::string("test_options:flag=") + value)->flag_);
    }
    for (const char* value : {"off", "false", "no", "0"}) {
        CHECK_FALSE(options_of(std::string("test_options:flag=") + value)->flag_);
    }
}

TEST_CASE("what is wrong with a spec is said") {
    constexpr auto not_found = absl::StatusCode::kNotFound;
    constexpr auto invalid = absl::StatusCode::kInvalidArgument;

    CHECK(code("sjff") == not_found);
    CHECK(says("sjff", "no policy \"sjff\""));
    CHECK(says("sjff", "sjf_pt"));
    CHECK(code("fair(nobody)") == not_found);

    CHECK(code("lstf:late=off") == invalid);
    CHECK(says("lstf:late=off", "unknown key \"late\"; known: late_last"));
    CHECK(code("sjf:x=1") == invalid);
    CHECK(says("lstf:late_last=maybe", "late_last is \"maybe\"; it is on or off"));
    CHECK(code("aging:after=-1(sjf)") == invalid);
    CHECK(code("aging:after=nan(sjf)") == invalid);
    CHECK(code("aging:after=5s(sjf)") == invalid);
    CHECK(code("aging:after=(sjf)") == invalid);
    CHECK(code("test_options:number=2") == invalid);
    CHECK(code("test_options:number=inf") == invalid);
    CHECK(code("test_options:integer=1.5") == invalid);
    CHECK(code("test_options:integer=99999999999999999999") == invalid);
    CHECK(says("test_options:text=odd", "text is odd"));
    CHECK(says("test_options:flag=on,flag=off", "flag is given twice"));

    CHECK(says("aging:after=5", "needs an inner policy"));
    CHECK(code("fair") == invalid);
    CHECK(says("sjf(edf)", "takes no inner policy"));

    for (const char* spec :
         {"", " ", ":", "()", "(sjf)", "SJF", "sjf:", "sjf:x", "sjf:=1", "sjf,edf", "fair(sjf",
          "fair(sjf))", "fair(sjf)x", "fair()", "fair(sjf)(sjf)", "lstf:late_last=on,", "sjf sjf",
          "fair(sjf,edf)", "lstf(late_last=on)"}) {
        CAPTURE(spec);
        CHECK(code(spec) == invalid);
    }
}

TEST_CASE("nesting is bounded") {
    std::string spec = "sjf";
    for (int depth = 2; depth <= 8; ++depth) {
        spec = "fair(" + spec + ")";
    }
    CHECK(make_policy(spec).ok());
    CHECK(code("fair(" + spec + ")") == absl::StatusCode::kInvalidArgument);
    CHECK(code(std::string(100'000, '(')) == absl::StatusCode::kInvalidArgument);
    std::string deep;
    for (int i = 0; i < 10'000; ++i) {
        deep += "fair(";
    }
    CHECK(code(deep) == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("names that cannot be written in a spec are refused") {
    const auto factory = [](const policy_options&) { return std::make_unique<plain>(); };
    for (const std::string name : {"", "Upper", "a b", "a:b", "a(b)", "a-b"}) {
        CAPTURE(name);
        CHECK(sluice::register_policy(name, factory).code() == absl::StatusCode::kInvalidArgument);
    }
    CHECK(sluice::register_policy(std::string(65, 'a'), factory).code() ==
          absl::StatusCode::kInvalidArgument);
    CHECK(sluice::register_policy("test_null", nullptr).code() ==
          absl::StatusCode::kInvalidArgument);
    CHECK(sluice::register_policy("sjf", factory).code() == absl::StatusCode::kAlreadyExists);
}

TEST_CASE("a factory that makes nothing is reported") {
    (void)sluice::register_policy("test_nothing",
                                  [](const policy_options&) { return std::unique_ptr<policy>(); });
    CHECK(code("test_nothing") == absl::StatusCode::kInternal);
}

TEST_CASE("threads register and make policies at the same time") {
    std::vector<std::thread> threads;
    std::vector<int> made(4, 0);
    for (std::size_t t = 0; t < made.size(); ++t) {
        threads.emplace_back([t, &made] {
            for (int i = 0; i < 200; ++i) {
                const std::string name =
                    "test_thread_" + std::to_string(t) + "_" + std::to_string(i);
                (void)sluice::register_policy(
                    name, [](const policy_options&) { return std::make_unique<plain>(); });
                made[t] +=
                    make_policy("fair(" + name + ")").ok() && !sluice::policy_names().empty();
            }
        });
    }
    for (auto& thread : threads) {
        thread.join();
    }
    CHECK(made == std::vector<int>(4, 200));
}
