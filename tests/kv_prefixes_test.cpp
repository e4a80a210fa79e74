// SPDX-License-Identifier: Apache-2.0
// Prefixes brought near by a real pipeline, before the requests that need them.
#include <sluice/demand/kv_prefixes.hpp>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/demand/app_prewarmer.hpp>
#include <sluice/demand/model_set.hpp>

#include "support/rig.hpp"

namespace sluice {
namespace {

using namespace std::chrono_literals;
using namespace demand;
using test::rig;
using code = absl::StatusCode;

// Polls as an engine does: what is not the prefixes' own is the engine's.
std::vector<request_event> poll(rig& r, kv_prefixes& prefixes) {
    std::vector<request_event> others;
    std::vector<request_event> some(16);
    for (;;) {
        const std::size_t n = r.pipe->poll_events(some);
        if (n == 0) {
            return others;
        }
        for (std::size_t i = 0; i < n; ++i) {
            if (!prefixes.take(some[i])) {
                others.push_back(some[i]);
            }
        }
    }
}

need_forecast in(double seconds) {
    const need_sample s{seconds, true, 1};
    return need_forecast::of({&s, 1});
}

TEST_CASE("prefixes: what is needed soon is near when it is needed") {
    rig r({});
    r.fill(0, 8);
    r.open(r.options());
    kv_prefixes prefixes(*r.pipe, r.loop, {.block_s = 0.05});
    REQUIRE(prefixes.define(1, rig::keys(0, 8)).ok());
    {
        prewarmer warmer(r.loop);
        const need_handle need = warmer.expect(prefixes, 1, in(10)).value();
        CHECK(warmer.next_at(need) == r.loop.now() + 9600ms);  // eight blocks
        r.loop.advance(9500ms);
        CHECK(r.pipe->stats().submitted == 0);
        r.loop.advance(400ms);
        CHECK(poll(r, prefixes).empty());
        r.loop.advance(100ms);
        CHECK(warmer.arrived(need) == warm_state::warm);
    }
    CHECK(prefixes.block_seconds() < 0.05);  // it took less
    CHECK(prefixes.loading() == 0);
    const std::uint64_t copies = r.pipe->stats().copy.operations;
    CHECK(copies > 0);
    (void)r.submit(0, 8);
    CHECK(!r.run().empty());
    CHECK(r.pipe->stats().copy.operations == copies);
    CHECK(r.pipe->stats().l1_hits == 8);
    r.close();
}

TEST_CASE("prefixes: a load that is not wanted any more is stopped, and may be begun anew") {
    rig r({.link_rate = 4e4});
    r.fill(0, 8);
    r.open(r.options());
    kv_prefixes prefixes(*r.pipe, r.loop, {.block_s = 0.1});
    REQUIRE(prefixes.define(1, rig::keys(0, 8)).ok());
    prewarmer warmer(r.loop);
    const need_handle first = warmer.expect(prefixes, 1, in(0.5)).value();
    r.loop.advance(100ms);
    CHECK(prefixes.loading() == 1);
    warmer.withdraw(first);
    const need_handle second = warmer.expect(prefixes, 1, in(0.8)).value();
    CHECK(prefixes.loading() == 2);  // the one that is being stopped, and the new one
    for (int i = 0; i < 100 && warmer.state(second) != warm_state::warm; ++i) {
        r.loop.advance(100ms);
        CHECK(poll(r, prefixes).empty());
    }
    CHECK(warmer.state(second) == warm_state::warm);
    CHECK(prefixes.loading() == 0);
    CHECK(warmer.stats().failed == 0);
    warmer.withdraw(second);
    r.close();
}

TEST_CASE("prefixes: what cannot be warmed is a status, tried again, and never wrong") {
    rig r({});
    r.open(r.options());
    kv_prefixes prefixes(*r.pipe, r.loop);
    CHECK(prefixes.define(1, {}).code() == code::kInvalidArgument);
    REQUIRE(prefixes.define(1, rig::keys(0, 8)).ok());  // of which nothing is cached
    prewarmer warmer(r.loop);
    const need_handle need = warmer.expect(prefixes, 1, in(0.001)).value();
    r.loop.advance(1ms);
    CHECK(poll(r, prefixes).empty());
    r.loop.run_until(r.loop.now());
    CHECK(warmer.stats().failed == 1);
    CHECK(warmer.state(need) == warm_state::cold);
    // Nothing is planned for what is not defined, or is defined no more.
    prefixes.remove(1);
    CHECK(warmer.next_at(warmer.expect(prefixes, 2, in(5)).value()) == never);
    warmer.refresh();
    CHECK(warmer.next_at(need) == never);
    request_event other;
    CHECK(!prefixes.take(other));
    r.close();
}

TEST_CASE("prefixes: an application's next call finds what it said before, while a tool runs") {
    // Turns of 100 tokens, with a tool of 4 s in between; the prompt of the second is far away.
    call_record call;
    call.prompt_tokens = 100;
    call.completion_tokens = 10;
    call_record pause;
    pause.seconds = 4;
    run_record run;
    run.application = "chat";
    run.units = {{"turn", "llm", {call}}, {"tool", "tool", {pause}}, {"turn", "llm", {call}}};
    const std::vector<run_record> runs(10, run);
    model_set models;
    models.add(demand_model::learn("chat", runs).value());
    app_tracker_options options;
    options.models = &models;
    options.learn = false;
    app_tracker tracker(options);

    rig r({});
    r.fill(0, 8);
    auto o = r.options();
    o.applications = &tracker;
    r.open(std::move(o));
    kv_prefixes prefixes(*r.pipe, r.loop, {.block_s = 0.05});
    prewarmer warmer(r.loop);
    std::optional<app_prewarmer> watcher;
    watcher.emplace(warmer, [&](const app_state& a, const unit_facts& unit) -> warm_target {
        return unit.name == "turn" ? warm_target{&prefixes, a.view.id.index} : warm_target{};
    });
    tracker.set_observer(&*watcher);

    const app_handle a = tracker.begin({.application = "chat"}).value();
    REQUIRE(tracker.begin_unit(a, {.unit = "turn", .prompt_tokens = 100}).ok());
    r.loop.advance(1s);
    // The engine knows by now what the next call will begin with.
    REQUIRE(prefixes.define(a.index, rig::keys(0, 8)).ok());
    REQUIRE(tracker.end_unit(a, {.completion_tokens = 10}).ok());
    REQUIRE(tracker.begin_unit(a, {.unit = "tool", .backend = "tool", .calls = 1}).ok());
    r.loop.advance(3500ms);
    CHECK(r.pipe->stats().prewarm_requests == 0);
    r.loop.advance(450ms);
    CHECK(r.pipe->stats().prewarmed_blocks == 8);
    CHECK(poll(r, prefixes).empty());
    r.loop.advance(50ms);
    REQUIRE(tracker.end_unit(a, {}).ok());
    REQUIRE(tracker.begin_unit(a, {.unit = "turn", .prompt_tokens = 100}).ok());
    (void)r.submit(0, 8);
    r.loop.advance(1s);
    CHECK(warmer.stats().found_warm == 1);
    CHECK(r.pipe->stats().l1_hits == 8);
    REQUIRE(tracker.end(a).ok());
    r.loop.advance(1s);
    CHECK(warmer.needs() == 0);
    tracker.set_observer(nullptr);
    r.close();
}

}  // namespace
}  // namespace sluice
