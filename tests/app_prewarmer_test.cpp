// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/app_prewarmer.hpp>

#include <chrono>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <sluice/coro/virtual_loop.hpp>
#include <sluice/demand/application_view.hpp>
#include <sluice/demand/model_set.hpp>

#include "support/fake_warmable.hpp"

namespace {

using namespace std::chrono_literals;
using namespace sluice::demand;
using Catch::Matchers::WithinAbs;
using Catch::Matchers::WithinRel;
using sluice::app_handle;
using sluice::duration;
using sluice::never;
using sluice::time_point;
using sluice::virtual_loop;
using sluice::test::fake_warmable;
using calls = std::vector<std::string>;

unit_record llm(std::string unit, std::uint32_t completion) {
    call_record call;
    call.prompt_tokens = 100;
    call.completion_tokens = completion;
    return {std::move(unit), "llm", {call}};
}

unit_record tool(std::string unit, double seconds) {
    call_record call;
    call.seconds = seconds;
    return {std::move(unit), "tool", {call}};
}

// Three of four runs: plan (6 s) -> tool (4 s) -> answer (3 s); the others end after the plan.
std::vector<run_record> recorded(std::size_t runs = 40) {
    std::vector<run_record> out(runs);
    for (std::size_t i = 0; i < runs; ++i) {
        out[i].application = "agent";
        out[i].run = i;
        out[i].units.push_back(llm("plan", 100));
        if (i % 4 != 0) {
            out[i].units.push_back(tool("tool", 4));
            out[i].units.push_back(llm("answer", 50));
        }
    }
    return out;
}

// A tracker without a pipeline, refreshed after each event.
class rig {
 public:
    explicit rig(app_prewarmer_options options = {},
                 const std::vector<run_record>& runs = recorded()) {
        options.gap = 0.01;
        models_.add(demand_model::learn("agent", runs).value());
        app_tracker_options o;
        o.models = &models_;
        o.learn = false;
        tracker_ = std::make_unique<app_tracker>(o);
        watcher_ = std::make_unique<app_prewarmer>(
            warmer,
            [this](const app_state& a, const unit_facts& unit) -> warm_target {
                asked.push_back(unit.name);
                if (unit.name == "tool") {
                    return {&box, a.view.id.index};
                }
                return unit.name == "answer" ? warm_target{&model, 7} : warm_target{};
            },
            options);
        tracker_->set_observer(watcher_.get());
    }
    ~rig() { tracker_->set_observer(nullptr); }

    app_handle begin(std::string_view name = "agent") {
        app_spec spec;
        spec.application = name;
        spec.arrival = loop.now();
        const app_handle a = tracker_->begin(spec).value();
        refresh();
        return a;
    }
    void begin_unit(app_handle a, std::string_view unit, std::string_view backend = "llm") {
        unit_begin b;
        b.unit = unit;
        b.backend = backend;
        b.prompt_tokens = backend == "llm" ? 100 : 0;
        b.time = loop.now();
        REQUIRE(tracker_->begin_unit(a, b).ok());
        refresh();
    }
    void end_unit(app_handle a, std::uint64_t completion = 0, bool then_refresh = true) {
        unit_end e;
        e.completion_tokens = completion;
        e.time = loop.now();
        REQUIRE(tracker_->end_unit(a, e).ok());
        if (then_refresh) {
            refresh();
        }
    }
    void end(app_handle a) {
        REQUIRE(tracker_->end(a).ok());
        refresh();
    }
    void refresh() {
        while (tracker_->refresh(loop.now()) <= loop.now()) {
        }
    }
    void until(duration d) { loop.run_until(time_point{} + d); }

    virtual_loop loop;
    fake_warmable box{{2, 2, 1}, false};
    fake_warmable model{{1, 1, 1}};
    prewarmer warmer{loop};
    std::vector<std::string> asked;

    app_tracker& tracker() { return *tracker_; }
    app_prewarmer& watcher() { return *watcher_; }

 private:
    model_set models_;
    std::unique_ptr<app_tracker> tracker_;
    std::unique_ptr<app_prewarmer> watcher_;
};

}  // namespace

TEST_CASE("what units to come use is warm when they begin, one and two units ahead") {
    rig r;
    const app_handle a = r.begin();
    r.begin_unit(a, "plan");  // 6.01 s: 100 prompt tokens and 100 of completion
    CHECK(r.warmer.needs() == 2);
    r.until(4s);
    CHECK(r.box.log.empty());
    r.until(4100ms);
    CHECK(r.box.take_log() == calls{"warm 0"});
    r.box.finish(0);
    r.until(6010ms);
    r.end_unit(a, 100);
    r.begin_unit(a, "tool", "tool");
    CHECK(r.box.take_log() == calls{"used 0"});
    CHECK(r.warmer.stats().found_warm == 1);
    r.until(9s);
    CHECK(r.model.log.empty());
    r.until(9100ms);
    CHECK(r.model.take_log() == calls{"warm 7"});
    r.model.finish(7);
    r.until(10s);
    r.end_unit(a);
    r.begin_unit(a, "answer");
    CHECK(r.model.take_log() == calls{"used 7"});
    CHECK(r.warmer.needs() == 0);
    r.end(a);
    CHECK(r.watcher().applications() == 0);
    CHECK(r.warmer.stats().found_warm == 2);
    CHECK(r.warmer.stats().found_cold == 0);
}

TEST_CASE("an application that ends cools what was warmed for it") {
    rig r;
    const app_handle a = r.begin();
    r.begin_unit(a, "plan");
    r.until(5s);
    CHECK(r.box.take_log() == calls{"warm 0"});
    r.end(a);
    CHECK(r.box.take_log() == calls{"cool 0"});
    CHECK(r.warmer.needs() == 0);
    r.loop.run_until_idle();
    CHECK(r.model.log.empty());
    CHECK(r.warmer.held() == 0);
}

TEST_CASE("an application that goes another way cools what lies on this one") {
    // After the plan comes a tool, or a person, who never needs one.
    std::vector<run_record> runs = recorded();
    for (run_record& run : runs) {
        if (run.run % 4 == 0) {
            run.units.push_back(tool("person", 60));
        }
    }
    rig r({}, runs);
    const app_handle a = r.begin();
    r.begin_unit(a, "plan");
    r.until(6s);
    r.end_unit(a, 100);
    CHECK(r.box.take_log() == calls{"warm 0"});
    r.begin_unit(a, "person", "tool");
    CHECK(r.box.take_log() == calls{"cool 0"});
    CHECK(r.warmer.needs() == 0);
    r.end(a);
}

TEST_CASE("units that come and go between two refreshes count as met") {
    rig r;
    const app_handle a = r.begin();
    r.begin_unit(a, "plan");
    r.until(5s);
    r.box.finish(0);
    r.until(6s);
    r.end_unit(a, 100, false);
    unit_begin b;
    b.unit = "tool";
    b.backend = "tool";
    b.time = r.loop.now();
    REQUIRE(r.tracker().begin_unit(a, b).ok());
    r.end_unit(a);
    CHECK(r.warmer.stats().found_warm == 1);
    CHECK(r.box.take_log() == calls{"warm 0", "used 0"});
    CHECK(r.warmer.needs() == 1);  // the answer
}

TEST_CASE("progress is no news") {
    rig r;
    const app_handle a = r.begin();
    r.begin_unit(a, "plan");
    const std::size_t before = r.asked.size();
    unit_progress p;
    p.prompt_tokens = 100;
    p.completion_tokens = 10;
    REQUIRE(r.tracker().progress(a, p).ok());
    r.until(1s);
    r.refresh();
    CHECK(r.asked.size() == before);
}

TEST_CASE("a slower engine is seen even if the next unit begins at once") {
    rig r;
    const app_handle a = r.begin();
    r.begin_unit(a, "plan");
    r.until(12020ms);  // twice as long as by the rates
    r.end_unit(a, 100, false);
    r.begin_unit(a, "tool", "tool");
    CHECK_THAT(r.watcher().pace("llm"), WithinRel(2.0, 1e-3));
    CHECK(r.watcher().pace("tool") == 1);
}

TEST_CASE("a slower engine is seen") {
    rig r;
    const app_handle first = r.begin();
    r.begin_unit(first, "plan");
    CHECK(r.watcher().pace("llm") == 1);
    r.until(12020ms);  // twice as long as by the rates
    r.end_unit(first, 100);
    CHECK_THAT(r.watcher().pace("llm"), WithinRel(2.0, 1e-3));
    CHECK(r.watcher().pace("tool") == 1);
    r.end(first);
    r.box.take_log();

    const app_handle second = r.begin();
    r.begin_unit(second, "plan");
    r.until(22s);
    CHECK(r.box.log.empty());
    r.until(22100ms);
    CHECK(r.box.take_log() == calls{"warm " + std::to_string(second.index)});
}

TEST_CASE("only so far ahead, and only what is likely enough") {
    app_prewarmer_options options;
    SECTION("one unit") { options.hops = 1; }
    SECTION("more likely than this is") { options.min_probability = 0.8; }
    rig r(options);
    const app_handle a = r.begin();
    r.begin_unit(a, "plan");
    CHECK(r.warmer.needs() == (options.hops == 1 ? 1 : 0));
}

TEST_CASE("of a class that nothing is known of, nothing is warmed") {
    rig r;
    const app_handle a = r.begin("stranger");
    r.begin_unit(a, "plan");
    r.until(100s);
    CHECK(r.warmer.needs() == 0);
    CHECK(r.asked.empty());
    r.end(a);
}

TEST_CASE("loops: the next visit of a unit is expected when one has begun") {
    std::vector<run_record> runs(20);
    for (std::size_t i = 0; i < runs.size(); ++i) {
        runs[i].application = "agent";
        runs[i].run = i;
        for (int turn = 0; turn < 3; ++turn) {
            runs[i].units.push_back(llm("answer", 50));
            runs[i].units.push_back(tool("tool", 4));
        }
    }
    rig r({}, runs);
    const app_handle a = r.begin();
    for (int turn = 0; turn < 3; ++turn) {
        r.begin_unit(a, "answer");
        r.loop.advance(3010ms);
        r.end_unit(a, 50);
        r.begin_unit(a, "tool", "tool");
        r.loop.advance(4s);
        r.end_unit(a);
    }
    CHECK(r.warmer.needs() == 0);
    CHECK(r.warmer.stats().found_cold == 0);
    CHECK(r.warmer.stats().found_warming + r.warmer.stats().found_warm == 6);
    r.end(a);
}
