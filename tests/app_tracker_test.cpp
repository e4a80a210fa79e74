// SPDX-License-Identifier: Apache-2.0
// The tracker alone: what it makes of events, and the ranks of all policies against plain formulas.
#include <sluice/demand/app_tracker.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/demand/application_view.hpp>
#include <sluice/sched/policy_registry.hpp>

namespace sluice::demand {
namespace {

using namespace std::chrono_literals;

/// Ranks by a policy of the registry, and remembers what it is told.
struct ranker final : app_ranker {
    explicit ranker(const char* spec) : order(*make_policy(spec)) {}

    rank_value rank(const application_view& a, time_point at) noexcept override {
        ++asked;
        return order->rank_application(a, at);
    }
    time_point next_change(const application_view& a, time_point at) noexcept override {
        return order->next_application_change(a, at);
    }
    void begun(const application_view& a, time_point at) noexcept override {
        order->application_begun(a, at);
    }
    void ranked(app_handle a, rank_value r) noexcept override { ranks[a] = r; }
    void ended(app_handle a, time_point at) noexcept override {
        order->application_ended(a, at);
        ++ends;
    }
    void due() noexcept override { ++dues; }
    [[nodiscard]] time_point now() const noexcept override { return time; }

    std::unique_ptr<policy> order;
    std::unordered_map<app_handle, rank_value> ranks;
    int asked = 0;
    int ends = 0;
    int dues = 0;
    time_point time{1s};
};

struct rig {
    explicit rig(const char* policy, app_tracker_options o = {}) : order(policy), tracker(o) {
        REQUIRE(tracker.attach(order).ok());
    }
    ~rig() { tracker.detach(); }

    app_handle begin(const char* application = "chain", time_point deadline = never) {
        app_spec spec;
        spec.application = application;
        spec.deadline = deadline;
        return *tracker.begin(spec);
    }
    void unit(app_handle a, const char* name, std::uint64_t prompt, std::uint64_t completion) {
        REQUIRE(tracker.begin_unit(a, {.unit = name, .prompt_tokens = prompt}).ok());
        REQUIRE(tracker.end_unit(a, {.completion_tokens = completion}).ok());
    }
    /// Until nothing is due now.
    time_point settle() {
        time_point next = order.time;
        while ((next = tracker.refresh(order.time)) <= order.time) {
        }
        return next;
    }
    double rank(app_handle a) { return tracker.rank(a)->value; }

    ranker order;
    app_tracker tracker;
};

constexpr double prefill = 1e-4;
constexpr double decode = 0.06;

/// A class of runs: `plan`, then as many `step`s as it has, of these completion tokens.
run_record chain(const std::vector<std::uint32_t>& completions) {
    run_record run;
    run.application = "chain";
    for (std::size_t i = 0; i < completions.size(); ++i) {
        unit_record u;
        u.unit = i == 0 ? "plan" : "step";
        u.backend = "llm";
        u.calls.push_back({100, completions[i], 0, 0});
        run.units.push_back(u);
    }
    return run;
}

std::vector<double> totals(const std::vector<run_record>& runs) {
    std::vector<double> out;
    for (const run_record& r : runs) {
        out.push_back(service_seconds(r, {}));
    }
    return out;
}

// ---- plain formulas

std::vector<double> left_of(const std::vector<double>& samples, double had) {
    std::vector<double> out;
    for (const double s : samples) {
        if (s > had) {
            out.push_back(s - had);
        }
    }
    return out;
}
double mean_of(const std::vector<double>& x) {
    double sum = 0;
    for (const double v : x) {
        sum += v;
    }
    return sum / static_cast<double>(x.size());
}
double gittins_of(const std::vector<double>& x) {
    double best = std::numeric_limits<double>::infinity();
    for (const double d : x) {
        double invested = 0;
        double ends = 0;
        for (const double v : x) {
            invested += std::min(v, d);
            ends += v <= d ? 1 : 0;
        }
        best = std::min(best, invested / ends);
    }
    return best;
}
bool near(double a, double b) { return std::abs(a - b) <= 1e-9 * std::max(1.0, std::abs(b)); }

TEST_CASE("tracker: policies rank by the formulas that they name") {
    std::vector<run_record> runs;
    for (std::uint32_t i = 0; i < 40; ++i) {
        runs.push_back(chain({10 + i % 7, 20 + i * i % 31, 5 + i}));
    }
    model_set models;
    models.add(*demand_model::learn("chain", runs));
    const std::vector<double> all = totals(runs);
    app_tracker_options o;
    o.models = &models;
    const double had = 0.01 + 12 * decode;
    const auto rank_with = [&](const char* policy) {
        rig r(policy, o);
        const app_handle a = r.begin();
        r.unit(a, "plan", 100, 12);
        r.settle();
        return r.rank(a);
    };
    CHECK(near(rank_with("las"), had));
    CHECK(near(rank_with("mean_srpt:online=off"), mean_of(all) - had));
    CHECK(near(rank_with("gittins:online=off"), gittins_of(left_of(all, had))));
    CHECK(
        near(rank_with("gittins_artifact"), models.find("chain")->service().gittins_artifact(had)));
    CHECK(rank_with("app_fifo") == 1e9);

    // With refinement: what the model says of a run that was seen so far.
    std::vector<unit_visit> seen(1);
    seen[0].unit = models.find("chain")->find_unit("plan");
    seen[0].prompt_tokens = seen[0].max_prompt_tokens = 100;
    seen[0].completion_tokens = seen[0].max_completion_tokens = 12;
    remaining_demand left;
    models.find("chain")->condition({seen, std::nullopt}, left);
    const std::vector<double> service(left.service.values().begin(), left.service.values().end());
    CHECK(near(rank_with("gittins"), gittins_of(service)));
    CHECK(near(rank_with("mean_srpt"), mean_of(service)));
    CHECK(near(rank_with("oracle"), mean_of(service)));  // nobody knows better

    // Within a unit what it has had is cut off.
    rig r("gittins", o);
    const app_handle a = r.begin();
    r.unit(a, "plan", 100, 12);
    REQUIRE(r.tracker.begin_unit(a, {.unit = "step", .prompt_tokens = 100}).ok());
    REQUIRE(r.tracker.progress(a, {.prompt_tokens = 100, .completion_tokens = 15}).ok());
    r.settle();
    unit_visit current;
    current.unit = models.find("chain")->find_unit("step");
    current.prompt_tokens = 100;
    models.find("chain")->condition({seen, current}, left);
    const std::vector<double> of_step(left.service.values().begin(), left.service.values().end());
    CHECK(near(r.rank(a), gittins_of(left_of(of_step, 0.01 + 15 * decode))));
}

TEST_CASE("tracker: deadlines of applications, and those that will hardly be made") {
    std::vector<run_record> runs;
    for (std::uint32_t i = 0; i < 20; ++i) {
        runs.push_back(chain({10, 90 + i}));  // 6.02 s and more
    }
    model_set models;
    models.add(*demand_model::learn("chain", runs));
    const std::vector<double> all = totals(runs);
    app_tracker_options o;
    o.models = &models;

    rig plain("app_lstf:late_last=off,quantile=1", o);
    const app_handle a = plain.begin("chain", time_point{100s});
    const app_handle none = plain.begin("chain");
    plain.settle();
    CHECK(near(plain.rank(a), 100 - *std::ranges::max_element(all)));
    CHECK(plain.rank(none) > 1e9 - 1);
    CHECK(plain.tracker.rank(a)->tier == rank_tier::normal);

    plain.tracker.detach();
    rig r("app_lstf:pace=1", o);
    const app_handle b = r.begin("chain", time_point{20s});
    const time_point next = r.settle();
    CHECK(near(r.rank(b), 20 + mean_of(all)));
    CHECK(r.tracker.rank(b)->tier == rank_tier::normal);
    // The very instant at which even a short one is too late.
    std::vector<double> sorted = all;
    std::ranges::sort(sorted);
    const double quick = models.find("chain")->path().quantile_remaining(0.1, 0);
    CHECK(std::abs(to_seconds(next.time_since_epoch()) - (20 - quick)) < 1e-6);
    r.order.time = next - 1ns;
    r.settle();
    CHECK(r.tracker.rank(b)->tier == rank_tier::normal);
    r.order.time = next;
    CHECK(r.settle() == never);
    CHECK(r.tracker.rank(b)->tier == rank_tier::hopeless);
    CHECK(near(r.rank(b), mean_of(all)));
    // It is faster than expected: there is hope again.
    r.unit(b, "plan", 100, 10);
    REQUIRE(r.tracker.begin_unit(b, {.unit = "step", .prompt_tokens = 100}).ok());
    REQUIRE(r.tracker.progress(b, {.prompt_tokens = 100, .completion_tokens = 89}).ok());
    r.settle();
    CHECK(r.tracker.rank(b)->tier == rank_tier::normal);
}

TEST_CASE("tracker: time counts as service where a unit takes time") {
    rig r("las");
    const app_handle a = r.begin();
    REQUIRE(r.tracker.begin_unit(a, {.unit = "run", .backend = "docker", .calls = 3}).ok());
    r.settle();
    CHECK(r.rank(a) == 0);
    r.order.time += 2s;
    REQUIRE(r.tracker.end_unit(a, {}).ok());
    r.settle();
    CHECK(r.rank(a) == 6);
    REQUIRE(r.tracker.begin_unit(a, {.unit = "run", .backend = "docker"}).ok());
    REQUIRE(r.tracker.end_unit(a, {.seconds = 1.5}).ok());
    r.settle();
    CHECK(r.rank(a) == 7.5);
    // A wait that nobody schedules is no service.
    REQUIRE(r.tracker.begin_unit(a, {.unit = "think", .backend = "env"}).ok());
    r.settle();
    r.order.time += 100s;
    CHECK(r.tracker.progress(a, {}).code() == absl::StatusCode::kFailedPrecondition);
    REQUIRE(r.tracker.end_unit(a, {}).ok());
    r.settle();
    CHECK(r.rank(a) == 7.5);
}

TEST_CASE("tracker: runs that end become samples, and a class is known from its first") {
    rig r("gittins");
    const app_handle first = r.begin("new");
    r.unit(first, "a", 0, 100);
    r.unit(first, "b", 0, 50);
    r.settle();
    CHECK(r.tracker.stats().unknown_class == 1);
    REQUIRE(r.tracker.end(first).ok());
    r.settle();
    CHECK(r.tracker.stats().learned == 1);
    const app_handle second = r.begin("new");
    r.settle();
    CHECK(near(r.rank(second), 150 * decode));
    r.unit(second, "a", 0, 100);
    r.settle();
    CHECK(near(r.rank(second), 50 * decode));
    CHECK(r.tracker.stats().unknown_class == 1);
    CHECK(r.tracker.stats().unconditioned == 0);

    // Not from one that was cut off, was reported out of order, or did nothing.
    REQUIRE(r.tracker.end(second, false).ok());
    const app_handle third = r.begin("new");
    CHECK(!r.tracker.end_unit(third, {}).ok());
    r.unit(third, "a", 0, 100);
    REQUIRE(r.tracker.end(third).ok());
    REQUIRE(r.tracker.end(r.begin("new")).ok());
    const app_handle open = r.begin("new");
    REQUIRE(r.tracker.begin_unit(open, {.unit = "a"}).ok());
    REQUIRE(r.tracker.end(open).ok());
    r.settle();
    CHECK(r.tracker.stats().learned == 1);
    CHECK(r.order.ends == 2);  // the others came and went between two turns
    CHECK(r.tracker.stats().live == 0);
}

TEST_CASE("tracker: a class that nobody knows is expected to be as all others together") {
    std::vector<run_record> runs{chain({100}), chain({100})};
    model_set models;
    models.add(*demand_model::learn("chain", runs));
    app_tracker_options o;
    o.models = &models;
    o.learn = false;
    rig r("gittins", o);
    const app_handle a = r.begin("unheard of");
    r.settle();
    CHECK(near(r.rank(a), 0.01 + 100 * decode));
    r.unit(a, "x", 0, 50);
    r.settle();
    CHECK(near(r.rank(a), 0.01 + 50 * decode));
    // Beyond all of them what is left grows with what it has had.
    r.unit(a, "x", 0, 100);
    r.settle();
    CHECK(r.rank(a) >= 150 * decode);
    REQUIRE(r.tracker.end(a).ok());
    r.settle();
    CHECK(r.tracker.stats().learned == 0);
}

TEST_CASE("tracker: a unit that no run had is counted, and a way that is unknown falls back") {
    std::vector<run_record> runs{chain({10, 20}), chain({10, 30})};
    model_set models;
    models.add(*demand_model::learn("chain", runs));
    app_tracker_options o;
    o.models = &models;
    rig r("gittins", o);
    const app_handle a = r.begin();
    r.unit(a, "plan", 100, 10);
    r.settle();
    CHECK(r.tracker.stats().unconditioned == 0);
    REQUIRE(r.tracker.begin_unit(a, {.unit = "elsewhere", .prompt_tokens = 5}).ok());
    r.settle();
    CHECK(r.tracker.stats().unconditioned == 1);
    CHECK(std::isfinite(r.rank(a)));
    REQUIRE(r.tracker.progress(a, {.prompt_tokens = 5}).ok());
    r.order.time += 1s;
    r.settle();
    CHECK(r.tracker.stats().unconditioned == 1);
}

TEST_CASE("tracker: an application that was reported wrongly goes by its prior, and is ranked") {
    std::vector<run_record> runs;
    for (std::uint32_t i = 1; i <= 10; ++i) {
        runs.push_back(chain({10 * i, 5}));
    }
    model_set models;
    models.add(*demand_model::learn("chain", runs));
    const std::vector<double> all = totals(runs);
    app_tracker_options o;
    o.models = &models;
    rig r("gittins", o);
    const app_handle a = r.begin();
    r.unit(a, "plan", 100, 30);
    REQUIRE(r.tracker.begin_unit(a, {.unit = "step", .prompt_tokens = 100}).ok());
    CHECK(r.tracker.begin_unit(a, {.unit = "step"}).code() ==
          absl::StatusCode::kFailedPrecondition);
    r.settle();
    CHECK(near(r.rank(a), gittins_of(left_of(all, 0.01 + 30 * decode))));
    CHECK(r.tracker.stats().irregular == 1);
    CHECK(r.tracker.stats().refused_order == 1);
    REQUIRE(r.tracker.progress(a, {.prompt_tokens = 100, .completion_tokens = 2}).ok());
    CHECK(r.tracker.progress(a, {.prompt_tokens = 99, .completion_tokens = 2}).code() ==
          absl::StatusCode::kInvalidArgument);
    CHECK(r.tracker.stats().irregular == 1);
    CHECK(r.tracker.stats().refused_value == 1);
    r.settle();
    CHECK(near(r.rank(a), gittins_of(left_of(all, 0.02 + 32 * decode))));
}

TEST_CASE("tracker: handles of those that have ended, and of none, are refused") {
    rig r("las");
    const app_handle a = r.begin();
    REQUIRE(r.tracker.end(a).ok());
    for (const app_handle bad : {a, app_handle{}, app_handle{5, 1}, app_handle{a.index, 0}}) {
        CHECK(r.tracker.begin_unit(bad, {.unit = "u"}).code() == absl::StatusCode::kNotFound);
        CHECK(r.tracker.progress(bad, {}).code() == absl::StatusCode::kNotFound);
        CHECK(r.tracker.end_unit(bad, {}).code() == absl::StatusCode::kNotFound);
        CHECK(r.tracker.end(bad).code() == absl::StatusCode::kNotFound);
        CHECK(r.tracker.rank(bad).status().code() == absl::StatusCode::kNotFound);
        CHECK(!r.tracker.rank_now(bad, r.order.time));
    }
    CHECK(r.tracker.stats().refused_unknown == 16);
    r.settle();
    const app_handle next = r.begin();
    CHECK(next.index == a.index);
    CHECK(next != a);
    CHECK(r.tracker.end(a).code() == absl::StatusCode::kNotFound);
}

TEST_CASE("tracker: the number of applications is bounded, and refused ones are counted") {
    app_tracker_options o;
    o.max_applications = 3;
    rig r("las", o);
    std::vector<app_handle> all;
    for (int i = 0; i < 3; ++i) {
        all.push_back(r.begin());
    }
    app_spec spec;
    spec.application = "chain";
    CHECK(r.tracker.begin(spec).status().code() == absl::StatusCode::kResourceExhausted);
    REQUIRE(r.tracker.end(all[1]).ok());
    CHECK(r.tracker.begin(spec).ok());
    CHECK(r.tracker.stats().refused_full == 1);
    spec.application = "";
    CHECK(r.tracker.begin(spec).status().code() == absl::StatusCode::kInvalidArgument);
}

TEST_CASE("tracker: it says once that something is due, and works in bounded parts") {
    rig r("las");
    for (int i = 0; i < 200; ++i) {
        r.begin();
    }
    CHECK(r.order.dues == 1);
    CHECK(r.tracker.refresh(r.order.time) == r.order.time);
    CHECK(r.order.asked < 200);
    r.settle();
    CHECK(r.order.asked == 200);
    CHECK(r.tracker.refresh(r.order.time) == never);
    CHECK(r.order.asked == 200);
    r.begin();
    CHECK(r.order.dues == 2);
}

/// Counts what it hears.
struct listener final : app_observer {
    void changed(const app_state& a, time_point) noexcept override {
        units.emplace_back(a.unit);
        ended_before = a.seen.ended.size();
        current = a.seen.current.has_value();
    }
    void ended(app_handle, time_point) noexcept override { ++ends; }
    std::vector<std::string> units;
    std::size_t ended_before = 0;
    bool current = false;
    int ends = 0;
};

TEST_CASE("tracker: an observer hears where every application is") {
    listener ear;
    rig r("las");
    r.tracker.set_observer(&ear);
    const app_handle a = r.begin();
    r.settle();
    CHECK(ear.units == std::vector<std::string>{""});
    REQUIRE(r.tracker.begin_unit(a, {.unit = "first"}).ok());
    r.settle();
    CHECK(ear.units.back() == "first");
    CHECK(ear.current);
    CHECK(ear.ended_before == 0);
    REQUIRE(r.tracker.end_unit(a, {}).ok());
    r.settle();
    CHECK(ear.units.back().empty());
    CHECK(ear.ended_before == 1);
    REQUIRE(r.tracker.end(a).ok());
    r.settle();
    CHECK(ear.ends == 1);
    r.tracker.set_observer(nullptr);
}

TEST_CASE("tracker: a model that comes later is used from then on") {
    rig r("mean_srpt");
    const app_handle a = r.begin();
    r.settle();
    const double before = r.rank(a);
    r.tracker.add_model(*demand_model::learn("chain", std::vector{chain({100})}));
    CHECK(r.order.dues == 2);
    r.settle();
    CHECK(r.rank(a) != before);
    CHECK(near(r.rank(a), 0.01 + 100 * decode));
}

TEST_CASE("tracker: random events never break it, and each application is where its events say") {
    std::uint64_t random = 0;
    const auto below = [&](std::uint64_t n) {
        random = random * 6364136223846793005 + 1442695040888963407;
        return (random >> 33) % n;
    };
    struct mirror {
        app_handle h;
        bool open = false;
        bool irregular = false;
        double service = 0;
        std::uint64_t prompt = 0, so_far = 0;
    };
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
        INFO("seed " << seed);
        random = seed;
        rig r("las");
        std::vector<mirror> live;
        std::uint64_t irregular = 0;
        for (int step = 0; step < 2000; ++step) {
            r.order.time += duration{static_cast<std::int64_t>(below(50'000'000))};
            if (live.empty() || below(20) == 0) {
                live.push_back({r.begin(below(2) == 0 ? "chain" : "other")});
                continue;
            }
            mirror& m = live[below(live.size())];
            const auto bad = [&](const absl::Status& s, bool expected) {
                REQUIRE(s.ok() != expected);
                irregular += expected && !std::exchange(m.irregular, m.irregular || expected);
            };
            switch (below(5)) {
            case 0: {
                const std::uint64_t prompt = below(100);
                bad(r.tracker.begin_unit(m.h, {.unit = "u", .prompt_tokens = prompt}), m.open);
                if (!std::exchange(m.open, true)) {
                    m.prompt = prompt;
                    m.so_far = 0;
                }
                break;
            }
            case 1: {
                const std::uint64_t done = below(100);
                const bool refused = !m.open || done < m.so_far;
                bad(r.tracker.progress(m.h, {.completion_tokens = done}), refused);
                m.so_far = refused ? m.so_far : done;
                break;
            }
            case 2:
            case 3: {
                const std::uint64_t done = below(100);
                bad(r.tracker.end_unit(m.h, {.completion_tokens = done}), !m.open);
                if (std::exchange(m.open, false)) {
                    m.service += prefill * static_cast<double>(m.prompt) +
                                 decode * static_cast<double>(done);
                    m.so_far = 0;
                }
                break;
            }
            default:
                if (below(4) == 0) {
                    REQUIRE(r.tracker.end(m.h).ok());
                    m = live.back();
                    live.pop_back();
                }
            }
            if (below(10) == 0) {
                r.settle();
            }
        }
        r.order.time += 1s;
        r.settle();
        for (const mirror& m : live) {
            const double expected = m.service + decode * static_cast<double>(m.so_far);
            REQUIRE(std::abs(r.rank(m.h) - expected) < 1e-9 * std::max(1.0, expected));
            REQUIRE(r.order.ranks.at(m.h) == *r.tracker.rank(m.h));
        }
        CHECK(r.tracker.stats().live == live.size());
        CHECK(r.tracker.stats().irregular == irregular);
    }
}

}  // namespace
}  // namespace sluice::demand
