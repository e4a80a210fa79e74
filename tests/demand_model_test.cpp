// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>

#include <sluice/base/status.hpp>
#include <sluice/demand/demand_model.hpp>
#include <sluice/demand/model_set.hpp>

#include "../src/workload/random.hpp"
#include "support/allocation_counter.hpp"

using Catch::Approx;
namespace demand = sluice::demand;
using demand::demand_basis;

namespace {

demand::unit_record llm(std::string unit, std::uint32_t calls, std::uint32_t prompt,
                        std::uint32_t completion) {
    return {std::move(unit), "llm",
            std::vector<demand::call_record>(calls, {prompt, completion, 0, 0})};
}
demand::unit_record tool(std::string unit, double seconds) {
    return {std::move(unit), "docker", {{0, 0, 0, seconds}}};
}
demand::run_record run_of(std::vector<demand::unit_record> units) {
    return {"a", 0, std::move(units)};
}

std::unique_ptr<demand::demand_model> learned(const std::vector<demand::run_record>& runs,
                                              const demand::demand_options& options = {}) {
    auto model = demand::demand_model::learn("a", runs, options);
    REQUIRE(model.ok());
    return *std::move(model);
}

/// Visits of a run, as the model sees them.
std::vector<demand::unit_visit> visits_of(const demand::demand_model& model,
                                          const demand::run_record& run) {
    std::vector<demand::unit_visit> out;
    for (const demand::unit_record& unit : run.units) {
        out.push_back(demand::visit_of(unit));
        out.back().unit = model.find_unit(unit.unit);
    }
    return out;
}

/// What is left when the unit `at` of a run begins; or, ended, when the one before it ends.
demand::remaining_demand left_of(const demand::demand_model& model, const demand::run_record& run,
                                 std::size_t at, bool begun = true) {
    const std::vector<demand::unit_visit> visits = visits_of(model, run);
    demand::observation seen;
    seen.ended = std::span(visits).first(at);
    if (begun) {
        seen.current = visits[at];
    }
    demand::remaining_demand out;
    model.condition(seen, out);
    return out;
}

/// A plan whose length tells how many calls follow.
demand::run_record fan_out(sluice::workload::random_source& random) {
    const auto calls = static_cast<std::uint32_t>(random.below(10) + 1);
    return run_of({llm("plan", 1, 500, 20 * calls + static_cast<std::uint32_t>(random.below(9))),
                   llm("work", calls, 300, 100), tool("check", 2)});
}

std::vector<demand::run_record> fan_outs(std::size_t count, std::uint64_t seed) {
    sluice::workload::random_source random(seed);
    std::vector<demand::run_record> runs;
    for (std::size_t i = 0; i < count; ++i) {
        runs.push_back(fan_out(random));
    }
    return runs;
}

}  // namespace

TEST_CASE("a model holds what whole runs took") {
    const auto model = learned({run_of({llm("u", 2, 1000, 10), tool("t", 3)}),
                                run_of({llm("u", 1, 1000, 100), tool("t", 1)})});
    CHECK(model->application() == "a");
    CHECK(model->size() == 2);
    REQUIRE(model->service().size() == 2);
    CHECK(model->service().values()[0] == Approx(2 * (0.1 + 0.6) + 3));
    CHECK(model->service().values()[1] == Approx(0.1 + 6 + 1));
    CHECK(model->path().values()[0] == Approx(0.1 + 0.6 + 3));
    CHECK(model->duration(model->find_unit("t")).mean() == Approx(2));

    model->set_rates({0, 1, 0});
    CHECK(model->service().values()[0] == Approx(2 * 10 + 3));
    CHECK(model->service().values()[1] == Approx(100 + 1));
    CHECK(left_of(*model, run_of({llm("u", 1, 1, 1), tool("t", 1)}), 1).service.mean() ==
          Approx(2));
}

TEST_CASE("local waits are no part of a model") {
    demand::unit_record wait{"step", "env", {{0, 0, 0, 5}}};
    const auto model = learned({run_of({llm("u", 1, 0, 10), wait, llm("u", 1, 0, 10)})});
    CHECK(model->units().size() == 1);
    CHECK(model->find_unit("step") == demand::no_unit);
    CHECK(model->add_unit("step", "env") == demand::no_unit);
    CHECK(model->run(0).size() == 2);
    CHECK(model->service().mean() == Approx(1.2));
    CHECK_FALSE(model->add(run_of({wait})).ok());
}

TEST_CASE("the newest runs count") {
    demand::demand_options options;
    options.window = 3;
    std::vector<demand::run_record> runs;
    for (const std::uint32_t tokens : {100u, 200u, 300u, 400u, 500u}) {
        runs.push_back(run_of({llm("u", 1, 0, tokens)}));
    }
    const auto model = learned(runs, options);
    CHECK(model->size() == 3);
    CHECK(model->service().values()[0] == Approx(18));
    CHECK(model->run(0)[0].completion_tokens == 300);
    REQUIRE(model->add(run_of({llm("v", 1, 0, 600)})).ok());
    CHECK(model->size() == 3);
    CHECK(model->service().values()[0] == Approx(24));
    CHECK(model->service().max() == Approx(36));
    CHECK(model->path().max() == Approx(36));
    // What began with u has become two of three; what begins with v one.
    CHECK(model->next(demand::no_unit)[0].unit == model->find_unit("u"));
    CHECK(model->next(demand::no_unit)[0].probability == Approx(2.0 / 3));
    CHECK(left_of(*model, run_of({llm("v", 1, 0, 1)}), 0).service.mean() == Approx(36));
}

TEST_CASE("what was observed narrows what is left") {
    const std::vector<demand::run_record> runs = fan_outs(200, 1);
    const auto model = learned(runs);
    sluice::workload::random_source random(2);
    double error = 0;
    double spread = 0;
    const double mean = [&] {
        double sum = 0;
        for (const auto& run : runs) {
            sum += demand::service_seconds(run, {}) -
                   demand::service_seconds(demand::visit_of(run.units[0]), {});
        }
        return sum / static_cast<double>(runs.size());
    }();
    for (int i = 0; i < 100; ++i) {
        const demand::run_record run = fan_out(random);
        const double actual = demand::service_seconds(run, {}) -
                              demand::service_seconds(demand::visit_of(run.units[0]), {});
        const demand::remaining_demand after_plan = left_of(*model, run, 1, false);
        CHECK(after_plan.basis == demand_basis::similar);
        CHECK(after_plan.conditioned);
        error += std::pow(after_plan.service.mean() - actual, 2);
        spread += std::pow(mean - actual, 2);
        // Once the calls have begun there is nothing left to guess.
        CHECK(left_of(*model, run, 1).service.mean() == Approx(actual).margin(1.5));
    }
    CHECK(error < 0.05 * spread);

    // More calls than any run had: the trend goes on.
    demand::run_record larger = fan_out(random);
    larger.units[0] = llm("plan", 1, 500, 20 * 40);
    larger.units[1] = llm("work", 40, 300, 100);
    CHECK(left_of(*model, larger, 1).service.mean() == Approx(40 * 6.03 + 2).epsilon(0.1));
}

TEST_CASE("what says nothing leaves the prior as it is") {
    sluice::workload::random_source random(3);
    std::vector<demand::run_record> runs;
    for (int i = 0; i < 100; ++i) {
        runs.push_back(run_of({llm("u", 1, static_cast<std::uint32_t>(random.below(1000)), 50),
                               llm("v", 1, 100, static_cast<std::uint32_t>(random.below(1000)))}));
    }
    const auto model = learned(runs);
    const demand::remaining_demand left = left_of(*model, runs[0], 1);
    CHECK(left.basis == demand_basis::path);
    CHECK(left.conditioned);
    CHECK(left.service.size() == 100);
}

TEST_CASE("where records end the model falls back step by step") {
    std::vector<demand::run_record> runs;
    for (int i = 0; i < 20; ++i) {
        runs.push_back(run_of({llm("a", 1, 0, 100), llm("b", 1, 0, 200), llm("c", 1, 0, 300)}));
        runs.push_back(run_of({llm("b", 1, 0, 200), llm("c", 1, 0, 300)}));
    }
    const auto model = learned(runs);
    // This way.
    CHECK(left_of(*model, runs[0], 1).service.mean() == Approx(30));
    // No run came to c like this, but runs were in c.
    const demand::run_record other = run_of({llm("a", 1, 0, 100), llm("c", 1, 0, 300)});
    demand::remaining_demand left = left_of(*model, other, 1);
    CHECK(left.basis == demand_basis::unit);
    CHECK_FALSE(left.conditioned);
    CHECK(left.service.mean() == Approx(18));
    // More often in b than any run: as the last time.
    const demand::run_record loop = run_of(
        {llm("b", 1, 0, 200), llm("b", 1, 0, 200), llm("b", 1, 0, 200), llm("b", 1, 0, 200)});
    left = left_of(*model, loop, 3);
    CHECK(left.basis == demand_basis::unit);
    CHECK(left.service.mean() == Approx(30));
    // A unit that nobody knows: whole runs, cut by what this one has had.
    const demand::run_record strange = run_of({llm("a", 1, 0, 500), llm("nobody", 1, 0, 1)});
    left = left_of(*model, strange, 1);
    CHECK(left.basis == demand_basis::whole);
    CHECK(left.service.size() == 20);
    CHECK(left.service.mean() == Approx(36 - 30));
    // Larger than all of them: it grows.
    const demand::run_record huge = run_of({llm("a", 1, 0, 5000), llm("nobody", 1, 0, 1)});
    CHECK(left_of(*model, huge, 1).service.mean() == Approx(300));
    // Nothing observed at all.
    demand::remaining_demand out;
    model->condition({}, out);
    CHECK(out.service.mean() == Approx(model->service().mean()));
}

TEST_CASE("loops are counted by visits, not thrown with a coin") {
    std::vector<demand::run_record> runs;
    for (int i = 0; i < 30; ++i) {
        std::vector<demand::unit_record> units;
        for (int visit = 0; visit < (i % 3 == 0 ? 3 : 2); ++visit) {
            units.push_back(llm("think", 1, 100, 10));
            units.push_back(tool("act", 1));
        }
        units.push_back(llm("think", 1, 100, 10));
        runs.push_back(run_of(std::move(units)));
    }
    const auto model = learned(runs);
    const demand::unit_id think = model->find_unit("think");
    const demand::unit_id act = model->find_unit("act");
    for (const std::uint32_t visit : {1u, 2u}) {
        REQUIRE(model->next(think, visit).size() == 1);
        CHECK(model->next(think, visit)[0].unit == act);
    }
    REQUIRE(model->next(think, 3).size() == 2);
    CHECK(model->next(think, 3)[0].unit == demand::no_unit);
    CHECK(model->next(think, 3)[0].probability == Approx(2.0 / 3));
    for (const std::uint32_t visit : {4u, 5u, 1000000u}) {
        CHECK(model->next(think, visit)[0].unit == demand::no_unit);
    }
    CHECK(model->next(act, 0)[0].unit == think);
    CHECK(model->next(12345).empty());
    CHECK(model->duration(12345).empty());
}

TEST_CASE("the runs ahead are those that the remainder is made of") {
    const auto model = learned(fan_outs(100, 5));
    const demand::run_record run =
        run_of({llm("plan", 1, 500, 160), llm("work", 8, 300, 100), tool("check", 2)});
    const std::vector<demand::unit_visit> visits = visits_of(*model, run);
    demand::observation seen;
    seen.ended = std::span(visits).first(1);
    std::vector<demand::run_ahead> ahead;
    model->runs_ahead(seen, ahead);
    REQUIRE(ahead.size() >= 20);
    double weight = 0;
    double calls = 0;
    for (const demand::run_ahead& a : ahead) {
        REQUIRE(a.visits.size() == 2);
        CHECK(a.visits[0].unit == model->find_unit("work"));
        weight += a.weight;
        calls += a.weight * a.visits[0].calls;
    }
    CHECK(weight == Approx(1));
    CHECK(calls == Approx(7.5).margin(1.5));  // not 5.5, which is what all runs have
    seen.current = demand::unit_visit{};      // of a unit that is unknown
    model->runs_ahead(seen, ahead);
    CHECK(ahead.empty());
}

TEST_CASE("a live run's visits can be learned") {
    const auto model = learned(fan_outs(20, 6));
    std::vector<demand::unit_visit> visits = visits_of(*model, fan_outs(1, 7)[0]);
    visits.push_back(demand::visit_of(llm("extra", 1, 10, 10)));
    CHECK_FALSE(model->add(visits).ok());
    visits.back().unit = model->add_unit("extra", "llm");
    REQUIRE(model->add(visits).ok());
    CHECK(model->size() == 21);
    CHECK(model->next(model->find_unit("check"))[1].unit == model->find_unit("extra"));

    const auto refused = [&](auto change) {
        std::vector<demand::unit_visit> other = visits;
        change(other[0]);
        CHECK(model->add(other).code() == absl::StatusCode::kInvalidArgument);
    };
    refused([](demand::unit_visit& v) { v.unit = demand::no_unit; });
    refused([](demand::unit_visit& v) { v.calls = 0; });
    refused([](demand::unit_visit& v) { v.prompt_tokens = std::uint64_t{1} << 60; });
    refused([](demand::unit_visit& v) { v.cached_tokens = v.prompt_tokens + 1; });
    refused([](demand::unit_visit& v) { v.seconds = -1; });
    refused([](demand::unit_visit& v) { v.seconds = std::nan(""); });
    CHECK(model->add(std::span<const demand::unit_visit>()).code() ==
          absl::StatusCode::kInvalidArgument);
    CHECK(model->size() == 21);
}

TEST_CASE("a clone learns for itself") {
    const auto model = learned(fan_outs(20, 8));
    const auto other = model->clone();
    REQUIRE(other->add(fan_outs(1, 9)[0]).ok());
    CHECK(model->size() == 20);
    CHECK(other->size() == 21);
    CHECK(left_of(*other, fan_outs(1, 9)[0], 1).basis == demand_basis::similar);
}

TEST_CASE("options and runs that cannot be are refused") {
    const std::vector<demand::run_record> runs = fan_outs(3, 1);
    const auto code = [&](std::string name, const auto& some, demand::demand_options options) {
        return demand::demand_model::learn(std::move(name), some, options).status().code();
    };
    constexpr auto invalid = absl::StatusCode::kInvalidArgument;
    demand::demand_options options;
    CHECK(code("b", runs, options) == invalid);
    CHECK(code("", runs, options) == invalid);
    CHECK(code("a", std::vector<demand::run_record>(), options) == invalid);
    options.window = 0;
    CHECK(code("a", runs, options) == invalid);
    options.window = 10;
    options.rates.decode_s_per_token = std::nan("");
    CHECK(code("a", runs, options) == invalid);
    options.rates.decode_s_per_token = -1;
    CHECK(code("a", runs, options) == invalid);
}

TEST_CASE("answers are numbers for every observation") {
    const auto model = learned(fan_outs(50, 11));
    for (std::uint64_t seed = 0; seed < 2000; ++seed) {
        sluice::workload::random_source random(seed);
        std::vector<demand::unit_visit> visits(random.below(8));
        const auto wild = [&random]() -> std::uint64_t {
            return random.below(3) == 0 ? random.word() >> random.below(64) : random.below(1000);
        };
        const auto fill = [&](demand::unit_visit& v) {
            v.unit = static_cast<demand::unit_id>(random.below(5));
            v.unit = v.unit == 4 ? demand::no_unit : v.unit;
            v.calls = static_cast<std::uint32_t>(wild());
            v.prompt_tokens = wild();
            v.completion_tokens = wild();
            v.max_completion_tokens = wild();
        };
        for (demand::unit_visit& v : visits) {
            fill(v);
        }
        demand::observation seen;
        seen.ended = visits;
        if (random.below(2) == 0) {
            fill(seen.current.emplace());
        }
        demand::remaining_demand out;
        model->condition(seen, out);
        CAPTURE(seed);
        CHECK_FALSE(out.service.empty());
        CHECK_FALSE(out.path.empty());
        CHECK(std::isfinite(out.service.gittins(0)));
        CHECK(out.service.gittins(0) > 0);
        CHECK(out.path.values()[0] >= 0);
    }
}

TEST_CASE("conditioning allocates nothing once it has been asked before") {
    const auto model = learned(fan_outs(200, 12));
    std::vector<demand::unit_visit> visits = visits_of(*model, fan_outs(1, 13)[0]);
    demand::observation seen;
    seen.ended = std::span(visits).first(1);
    demand::remaining_demand out;
    model->condition(seen, out);
    double sum = 0;
    const sluice::test::allocation_counter count;
    for (int i = 0; i < 100; ++i) {
        visits[0].completion_tokens = static_cast<std::uint64_t>(20 + i);
        model->condition(seen, out);
        sum += out.service.gittins(1);
    }
    CHECK(count.allocations() == 0);
    CHECK(sum > 0);
}

TEST_CASE("a set of models knows its classes, and what to expect of others") {
    demand::model_set models;
    CHECK(models.find("a") == nullptr);
    CHECK(models.pooled_service().empty());
    // Many short runs of one class, and few long ones of another: each class counts alike.
    models.add(learned(std::vector<demand::run_record>(100, run_of({llm("u", 1, 0, 100)}))));
    demand::run_record b{"b", 0, {llm("u", 1, 0, 1000)}};
    models.add(*demand::demand_model::learn("b", std::vector{b}));
    CHECK(models.size() == 2);
    CHECK(models.find("a")->size() == 100);
    CHECK(models.pooled_service().mean() == Approx((6.0 + 60) / 2));
    CHECK(models.pooled_path().cdf(6.5) == Approx(0.5));

    demand::model_set other = models.clone();
    REQUIRE(other.find("b")->add(b).ok());
    CHECK(models.find("b")->size() == 1);
    models.add(*demand::demand_model::learn("b", std::vector{b, b}));
    CHECK(models.size() == 2);
    CHECK(models.find("b")->size() == 2);
}
