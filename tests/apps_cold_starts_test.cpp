// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/base/status.hpp>
#include <sluice/coro/virtual_loop.hpp>

#include "experiment/apps/adapter_gate.hpp"
#include "experiment/apps/mix.hpp"
#include "experiment/apps/summary.hpp"
#include "experiment/apps/sweep.hpp"
#include "experiment/apps/warm_pool.hpp"
#include "support/small_runs.hpp"

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
namespace demand = sluice::demand;
using namespace sluice::experiment;
using sluice::from_seconds;
using sluice::rank_value;

namespace {

constexpr double start_s = 2;

/// A pool for things that take two seconds to start. A task ranks by its number.
struct rig {
    explicit rig(std::uint32_t slots)
        : pool(
              {start_s, slots}, [](std::uint32_t task) { return rank_value(task); }, loop) {}
    // Somebody used it for a second, until now.
    void use_for_a_while(sluice::demand::warm_key key) {
        loop.advance(from_seconds(pool.use(key)));
        loop.advance(from_seconds(1));
        pool.leave(key);
    }
    sluice::virtual_loop loop;
    warm_pool pool;
};

app_case run(const app_options& options) {
    app_input_cache inputs;
    auto out = run_apps(options, inputs, 2);
    INFO(out.status().ToString());
    REQUIRE(out.ok());
    return *std::move(out);
}

std::string fault_of(const app_options& options) {
    app_input_cache inputs;
    const auto out = run_apps(options, inputs, 1);
    CHECK_FALSE(out.ok());
    return std::string(sluice::message_of(out.status()));
}

/// Applications that come one after the other, and are alone: a plan of 12 s or so, a model that
/// needs a worker, code that runs twice in a container, an answer.
struct lone_apps {
    lone_apps() {
        std::string lines;
        for (int run = 0; run < 8; ++run) {
            lines +=
                fmt::format(R"({{"app": "hugginggpt", "run": {}, "units": [)"
                            R"({{"unit": "plan", "backend": "llm", "start_order": 0, "calls": [)"
                            R"({{"prompt_tokens": 100, "completion_tokens": {}}}]}},)"
                            R"({{"unit": "see", "backend": "dnn", "start_order": 1, "calls": [)"
                            R"({{"duration_ms": 3000}}]}},)"
                            R"({{"unit": "code", "backend": "docker", "start_order": 2, "calls": [)"
                            R"({{"duration_ms": 1000}}]}},)"
                            R"({{"unit": "repair", "backend": "llm", "start_order": 3, "calls": [)"
                            R"({{"prompt_tokens": 100, "completion_tokens": 50}}]}},)"
                            R"({{"unit": "code", "backend": "docker", "start_order": 4, "calls": [)"
                            R"({{"duration_ms": 1000}}]}}]}})"
                            "\n",
                            run, 500 + run);
        }
        (void)small.write("hugginggpt.jsonl", lines);
        options.runs = small.folder();
        options.mix = small.write("lone.json", R"({"name": "lone", "weights": {"hugginggpt": 1},
"window_s": 100000, "tasks": 10})");
        options.splits = 2;
    }
    sluice_test::small_runs small;
    app_options options;
};

const cold_start_counts& of(const app_case& c, cold_kind k) {
    REQUIRE(c.cold);
    return c.cold->of[static_cast<std::size_t>(k)];
}

}  // namespace

TEST_CASE("cold starts: a use waits for the start, for the rest of it, or for nothing", "[apps]") {
    rig r(2);
    CHECK(r.pool.use(1) == start_s);
    r.loop.advance(from_seconds(0.5));
    CHECK(r.pool.use(1) == Approx(1.5));  // by another one, at the same time
    r.loop.advance(from_seconds(1.5));
    r.pool.leave(1);
    r.pool.leave(1);
    r.loop.advance(from_seconds(100));
    CHECK(r.pool.use(1) == 0);
    CHECK(r.pool.counts().uses == 2);  // the second was another's, too
    CHECK(r.pool.counts().warm == 1);
    CHECK(r.pool.counts().waited_s == start_s);
    CHECK(r.pool.counts().wasted_s == 0);
}

TEST_CASE("cold starts: what has not been used for longest makes room", "[apps]") {
    rig r(2);
    r.use_for_a_while(1);
    r.use_for_a_while(2);
    r.use_for_a_while(1);
    r.use_for_a_while(3);
    CHECK(r.pool.held() == 2);
    CHECK(r.pool.use(1) == 0);
    CHECK(r.pool.use(2) == start_s);
    CHECK(r.pool.use(3) == start_s);  // all that there is room for is in use: one more
    CHECK(r.pool.held() == 3);
}

TEST_CASE("cold starts: what is in a queue starts by rank", "[apps]") {
    rig r(2);
    for (std::uint32_t task = 1; task <= 4; ++task) {
        r.pool.join(task, task);
    }
    r.pool.claim(3, 3);
    r.pool.claim(4, 4);
    r.loop.advance(from_seconds(1));
    r.pool.claim(1, 1);  // in place of 4
    r.pool.claim(2, 2);  // in place of 3
    r.loop.advance(from_seconds(5));
    CHECK(r.pool.use(1) == 0);
    CHECK(r.pool.use(2) == 0);
    r.pool.unclaim(1, 1);
    r.pool.leave(1);  // 3 has the room now, and has been in the queue all the time
    r.loop.advance(from_seconds(0.5));
    CHECK(r.pool.use(3) == Approx(1.5));
}

TEST_CASE("cold starts: guesses take what nobody wants, and give way", "[apps]") {
    rig r(1);
    for (std::uint32_t task = 1; task <= 3; ++task) {
        r.pool.join(task, task);
    }
    r.pool.warm(2, {});
    r.loop.advance(from_seconds(3));
    r.pool.warm(3, {});  // ranks behind 2
    CHECK(r.pool.use(2) == 0);
    r.pool.used(2);
    r.pool.leave(2);
    CHECK(r.pool.counts().wasted_s == Approx(1));  // warm since a second
    r.pool.warm(3, {});
    r.loop.advance(from_seconds(3));
    r.pool.claim(1, 1);
    CHECK(r.pool.counts().wasted_s == Approx(4));  // 3 was given up, nobody came
    r.pool.unclaim(1, 1);
    r.pool.warm(1, {});
    r.loop.advance(from_seconds(1));
    r.pool.cool(1);
    CHECK(r.pool.held() == 0);  // what has not started is not kept
    CHECK(r.pool.counts().wasted_s == Approx(5));
}

TEST_CASE("cold starts: calls whose adapter has no place are skipped", "[apps]") {
    sluice::virtual_loop loop;
    const auto rank = [](std::uint32_t task) { return rank_value(task); };
    warm_pool host({start_s, 8}, rank, loop);
    std::vector<std::uint32_t> passed;
    adapter_gate gate(
        2, host, rank, [&](std::uint32_t call) { passed.push_back(call); }, loop);
    gate.add(10, 5, 1);
    gate.add(11, 6, 2);
    CHECK(passed.empty());  // they are loaded
    loop.advance(from_seconds(start_s));
    CHECK(passed == std::vector<std::uint32_t>{10, 11});
    gate.add(12, 4, 3);
    gate.add(13, 3, 4);
    gate.add(14, 9, 2);  // behind them, but its adapter is there
    CHECK(passed.back() == 14);
    CHECK(gate.placed() == 2);
    gate.ended(1);
    loop.advance(from_seconds(start_s));
    CHECK(passed.back() == 13);  // the better of the two
    gate.ended(2);
    loop.advance(from_seconds(start_s));
    CHECK(passed.size() == 4);  // 14 has its place still
    gate.ended(2);
    loop.advance(from_seconds(start_s));
    CHECK(passed.back() == 12);
}

TEST_CASE("cold starts: alone, an application waits for exactly its starts", "[apps]") {
    lone_apps lone;
    const app_case warm = run(lone.options);
    CHECK_FALSE(warm.cold);
    lone.options.cold_starts = true;
    for (const app_prewarm mode : {app_prewarm::none, app_prewarm::epwq}) {
        lone.options.prewarm = mode;
        const app_case cold = run(lone.options);
        // A worker and a container, which is there still for the second time.
        for (std::size_t s = 0; s < cold.runs.size(); ++s) {
            for (std::size_t t = 0; t < 10; ++t) {
                CHECK(cold.runs[s].tasks[t].completion_s ==
                      Approx(warm.runs[s].tasks[t].completion_s + 7 + 2.1).epsilon(1e-6));
            }
        }
        CHECK(of(cold, cold_kind::dnn).uses == 20);
        CHECK(of(cold, cold_kind::dnn).warm == 0);
        CHECK(of(cold, cold_kind::docker).uses == 40);
        CHECK(of(cold, cold_kind::docker).warm == 20);
        CHECK(of(cold, cold_kind::lora).uses == 0);
        CHECK(cold.cold->all().waited_s == Approx(20 * (7 + 2.1)));
        CHECK(cold.cold->all().wasted_s == 0);
    }
}

TEST_CASE("cold starts: prewarmed, most of the waiting is saved", "[apps]") {
    lone_apps lone;
    const app_case warm = run(lone.options);
    lone.options.cold_starts = true;
    lone.options.prewarm = app_prewarm::hermes;
    const app_case out = run(lone.options);
    for (std::size_t s = 0; s < out.runs.size(); ++s) {
        for (std::size_t t = 0; t < 10; ++t) {
            const double more =
                out.runs[s].tasks[t].completion_s - warm.runs[s].tasks[t].completion_s;
            CHECK(more < 7 + 2.1 + 1e-6);
            if (t > 0) {  // how fast the engine is was not known before
                CHECK(more < 7);
            }
        }
    }
    const demand::prewarmer_stats& p = out.cold->prewarmer;
    CHECK(out.cold->all().waited_s < 0.4 * 20 * (7 + 2.1));
    // The prewarmer also counts what it keeps after a use.
    CHECK(out.cold->all().wasted_s <= p.wasted_s + 1e-3);
    CHECK(p.failed == 0);
    CHECK(p.started >= 40);
    CHECK(p.found_warm + p.found_warming + p.found_cold >= 60);
    // Each second of a start was waited for or saved.
    CHECK(p.saved_s + out.cold->all().waited_s >= 20 * (7 + 2.1) - 1e-3);
}

TEST_CASE("cold starts: crowded, no use waits longer than a start", "[apps]") {
    lone_apps lone;
    lone.options.window_s = 60;
    lone.options.tasks = 60;
    lone.options.cold_starts = true;
    double waited[3];
    for (const app_prewarm mode : {app_prewarm::none, app_prewarm::epwq, app_prewarm::hermes}) {
        lone.options.prewarm = mode;
        const app_case out = run(lone.options);
        for (const cold_kind k : {cold_kind::docker, cold_kind::dnn}) {
            const cold_start_counts& c = of(out, k);
            CHECK(c.waited_s <= static_cast<double>(c.uses - c.warm) *
                                        cold_starts::start_s[static_cast<std::size_t>(k)] +
                                    1e-6);
        }
        waited[static_cast<std::size_t>(mode)] = out.cold->all().waited_s;
        for (const app_run& r : out.runs) {
            CHECK(r.tracker.ended == 60);
        }
    }
    CHECK(waited[1] <= waited[0]);
    CHECK(waited[2] <= waited[0]);
}

TEST_CASE("cold starts: an adapter is loaded once, if there is but one", "[apps]") {
    sluice_test::small_runs small;
    app_options o;
    o.runs = small.folder();
    o.mix = small.write("lora.json", R"({"name": "l", "weights": {"chat": 3, "report": 1},
"window_s": 60, "tasks": 40, "adapters": 1})");
    o.splits = 3;
    o.cold_starts = true;
    const app_case out = run(o);
    CHECK(of(out, cold_kind::lora).waited_s == Approx(3 * 0.3));
    CHECK(of(out, cold_kind::lora).uses - of(out, cold_kind::lora).warm == 3);
    o.cold_starts = false;
    CHECK_FALSE(run(o).cold);

    o.mix = small.write("more.json", R"({"name": "l", "weights": {"chat": 3, "report": 1},
"window_s": 60, "tasks": 40, "adapters": 30})");
    o.cold_starts = true;
    o.host_adapters = 10;
    const double none = of(run(o), cold_kind::lora).waited_s;
    o.prewarm = app_prewarm::hermes;
    const app_case prewarmed = run(o);
    CHECK(of(prewarmed, cold_kind::lora).waited_s < 0.7 * none);
    CHECK(app_case_json(run(o)).find("\"hit_ratio\"") != std::string::npos);
    auto json = nlohmann::json::parse(app_case_json(prewarmed));
    CHECK(json.at("cold_starts").at("prewarm") == "hermes");
    CHECK(json.at("cold_starts").at("lora").at("hit_ratio") > 0.5);
    CHECK(json.at("cold_starts").at("docker").at("hit_ratio").is_null());
    CHECK(json.at("cold_starts").at("prewarmer").at("started") > 0);
}

TEST_CASE("cold starts: options that do not fit", "[apps]") {
    app_options o;
    const auto fault = [&o](std::string_view name, std::string_view text) {
        return std::string(sluice::message_of(set_app_option(o, name, text)));
    };
    CHECK_THAT(fault("prewarm", "lru"), ContainsSubstring("none, epwq, hermes"));
    CHECK_THAT(fault("cold-starts", "maybe"), ContainsSubstring("on or off"));
    CHECK_THAT(fault("host-adapters", "4"), ContainsSubstring("5 to"));
    CHECK(set_app_option(o, "cold_starts", "on").ok());
    CHECK(o.cold_starts);

    lone_apps lone;
    lone.options.prewarm = app_prewarm::epwq;
    CHECK_THAT(fault_of(lone.options), ContainsSubstring("cold-starts"));
    lone.options.prewarm = app_prewarm::hermes;
    lone.options.cold_starts = true;
    lone.options.cache = cache_use::prewarm;
    CHECK_THAT(fault_of(lone.options), ContainsSubstring("one at a time"));

    const auto mix = load_mix("lora");
    REQUIRE(mix.ok());
    CHECK(mix->adapters == 200);
    const auto bad = load_mix(lone.small.write(
        "bad.json",
        R"({"name": "b", "weights": {"chat": 1}, "window_s": 1, "tasks": 1, "adapters": -1})"));
    CHECK_THAT(std::string(sluice::message_of(bad.status())), ContainsSubstring("adapters"));
}

TEST_CASE("cold starts: tables from before an option or a measure are good", "[apps]") {
    lone_apps lone;
    std::string text = R"({"title": "t", "settings": {"splits": 2, "mix": ")" + lone.options.mix +
                       R"("}, "figures": [{"name": "f", "title": "t", "caption": "c",
"rows": [{"label": "a", "settings": {"policy": "fifo"}}, {"label": "b"}],
"columns": [{"label": "x", "measure": "act_mean", "unit": "s"}]}]})";
    const auto sweep = load_app_sweep(lone.small.write("sweep.json", text));
    INFO(sweep.status().ToString());
    REQUIRE(sweep.ok());
    const auto results = run_app_sweep(*sweep, lone.small.folder(), 2);
    REQUIRE(results.ok());
    const std::string csv = app_sweep_csv(*results);
    const auto without = [](const std::string& from, std::string_view column) {
        std::string out;
        std::size_t index = 0;
        for (std::size_t begin = 0; begin < from.size();) {
            const std::size_t end = from.find('\n', begin);
            std::vector<std::string> fields(1);
            for (const char c : from.substr(begin, end - begin)) {
                if (c == ',') {
                    fields.emplace_back();
                } else {
                    fields.back() += c;
                }
            }
            if (begin == 0) {
                const auto it = std::find(fields.begin(), fields.end(), column);
                REQUIRE(it != fields.end());
                index = static_cast<std::size_t>(it - fields.begin());
            }
            fields.erase(fields.begin() + static_cast<std::ptrdiff_t>(index));
            for (std::size_t f = 0; f < fields.size(); ++f) {
                out += (f == 0 ? "" : ",") + fields[f];
            }
            out += '\n';
            begin = end + 1;
        }
        return out;
    };
    const std::string old = without(without(csv, "prewarm"), "cold_wait");
    const auto read = read_app_sweep_csv(old);
    INFO(read.status().ToString());
    REQUIRE(read.ok());
    CHECK(app_sweep_csv(*read) == csv);
    CHECK(check_app_sweep(*sweep, lone.small.folder(), *read, 100, 2).ok());
    std::string strange = csv;
    strange.replace(strange.find("cold_wait"), 4, "warm");
    CHECK_FALSE(read_app_sweep_csv(strange).ok());
}
