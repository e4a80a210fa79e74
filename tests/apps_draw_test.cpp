// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_approx.hpp>
#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/base/status.hpp>
#include <sluice/coro/virtual_loop.hpp>

#include "experiment/apps/corpus.hpp"
#include "experiment/apps/draw.hpp"
#include "experiment/apps/external_queue.hpp"
#include "experiment/apps/mix.hpp"
#include "experiment/load_parts.hpp"
#include "support/real_runs.hpp"
#include "support/small_runs.hpp"

using Catch::Approx;
using Catch::Matchers::ContainsSubstring;
using namespace sluice::experiment;
using sluice::demand::run_record;

namespace {

std::string mix_fault(std::string_view text) {
    const sluice_test::temp_dir folder;
    const auto mix = load_mix(folder.write("mix.json", text));
    CHECK_FALSE(mix.ok());
    return std::string(sluice::message_of(mix.status()));
}

struct drawn {
    app_mix mix;
    app_corpus corpus;
    std::vector<std::vector<const run_record*>> served;
    app_draw draw;
};

drawn draw_from(const std::string& folder, const std::string& mix, draw_options o) {
    drawn out;
    out.mix = *load_mix(mix);
    auto corpus = app_corpus::read(folder, out.mix);
    INFO(corpus.status().ToString());
    REQUIRE(corpus.ok());
    out.corpus = *std::move(corpus);
    for (const app_mix::share& s : out.mix.shares) {
        out.served.push_back(
            split_halves(out.corpus.runs.find(s.application)->second, o.seed).served);
    }
    o.tasks = o.tasks == 0 ? out.mix.tasks : o.tasks;
    o.window_s = out.mix.window_s;
    out.draw = draw_apps(out.mix, out.served, o);
    return out;
}

}  // namespace

TEST_CASE("mix: those that are built in can be read", "[apps]") {
    CHECK(builtin_mixes() == std::vector<std::string>{"ablation", "deadlines", "default", "dnn",
                                                      "docker", "end_to_end", "kv_cache", "lora"});
    for (const std::string& name : builtin_mixes()) {
        const auto mix = load_mix(name);
        INFO(mix.status().ToString());
        REQUIRE(mix.ok());
        CHECK(mix->name == name);
        CHECK_FALSE(mix->description.empty());
    }
    CHECK(load_mix("end_to_end")->tasks_of("h800-llama3-70b-tp4") == 1500);
    CHECK(load_mix("end_to_end")->tasks_of("another") == 200);
}

TEST_CASE("mix: what is wrong is named with its line and key", "[apps]") {
    CHECK_THAT(mix_fault(R"({"name": "m", "weights": {"a": -1}, "window_s": 1, "tasks": 1})"),
               ContainsSubstring("weight of 'a'"));
    CHECK_THAT(mix_fault(R"({"name": "m", "weights": {"a": 0}, "window_s": 1, "tasks": 1})"),
               ContainsSubstring("no weight above 0"));
    CHECK_THAT(mix_fault("{\"name\": \"m\", \"weights\": {\"a\": 1},\n\"window_s\": 0, "
                         "\"tasks\": 1}"),
               ContainsSubstring(":2: key 'window_s'"));
    CHECK_THAT(mix_fault(R"({"name": "m", "weights": {"a": 1}, "window_s": 1, "tasks": 0})"),
               ContainsSubstring("key 'tasks'"));
    CHECK_THAT(mix_fault(R"({"name": "m", "weights": [1], "window_s": 1, "tasks": 1})"),
               ContainsSubstring("key 'weights'"));
    CHECK_THAT(mix_fault(R"({"name": "m", "weights": {"a": 1}, "window_s": 1, "tasks": 1,
"deadline_share": 2})"),
               ContainsSubstring("deadline_share"));
    CHECK_THAT(
        mix_fault(R"({"name": "m", "weights": {"a": 1}, "window_s": 1, "tasks": 1, "x": 2})"),
        ContainsSubstring("x"));
    CHECK_THAT(std::string(sluice::message_of(load_mix("none").status())),
               ContainsSubstring("end_to_end"));
}

TEST_CASE("corpus: bad records say where", "[apps]") {
    sluice_test::small_runs small;
    const app_mix mix = *load_mix(small.mix());
    (void)small.write("chat.jsonl",
                      "{\"app\": \"chat\", \"run\": 0, \"units\": [{\"unit\": \"u\", "
                      "\"backend\": \"llm\", \"start_order\": 0, \"calls\": "
                      "[{\"prompt_tokens\": -5, \"completion_tokens\": 1}]}]}\n");
    const auto negative = app_corpus::read(small.folder(), mix);
    CHECK(negative.status().code() == absl::StatusCode::kInvalidArgument);
    CHECK_THAT(std::string(sluice::message_of(negative.status())),
               ContainsSubstring("chat.jsonl:1"));
    (void)small.write("chat.jsonl", "not JSON\n");
    CHECK_FALSE(app_corpus::read(small.folder(), mix).ok());
    (void)small.write("chat.jsonl",
                      "{\"app\": \"chat\", \"run\": 0, \"units\": [{\"unit\": \"u\", \"backend\": "
                      "\"llm\", \"start_order\": 0, \"calls\": [{\"prompt_tokens\": 5, "
                      "\"completion_tokens\": 1}]}]}\n");
    CHECK_THAT(std::string(sluice::message_of(app_corpus::read(small.folder(), mix).status())),
               ContainsSubstring("at least two"));
    CHECK(app_corpus::read(small.folder() + "/none", mix).status().code() ==
          absl::StatusCode::kNotFound);
}

TEST_CASE("split: each run is learned from or served, by the seed", "[apps]") {
    const sluice_test::small_runs small;
    const auto runs = sluice::demand::read_runs(small.folder() + "/chat.jsonl");
    REQUIRE(runs.ok());
    const auto served_of = [&](std::uint64_t seed) {
        std::set<std::uint64_t> out;
        for (const run_record* r : split_halves(*runs, seed).served) {
            out.insert(r->run);
        }
        return out;
    };
    const split_runs halves = split_halves(*runs, 7);
    CHECK(halves.learned.size() == 6);
    CHECK(halves.served.size() == 6);
    for (const run_record& r : halves.learned) {
        CHECK_FALSE(served_of(7).contains(r.run));
    }
    CHECK(served_of(7) == served_of(7));
    CHECK(served_of(7) != served_of(8));
}

TEST_CASE("draw: who comes does not depend on how fast they come", "[apps]") {
    const sluice_test::small_runs small;
    draw_options slow;
    slow.seed = 3;
    slow.deadline_share = 1;
    draw_options fast = slow;
    fast.intensity = 4;
    const drawn a = draw_from(small.folder(), small.mix(), slow);
    const drawn b = draw_from(small.folder(), small.mix(), fast);
    REQUIRE(a.draw.tasks.size() == 40);
    REQUIRE(a.draw.calls.requests.size() == b.draw.calls.requests.size());
    std::size_t chats = 0;
    for (std::size_t i = 0; i < a.draw.tasks.size(); ++i) {
        CHECK(a.draw.tasks[i].run->run == b.draw.tasks[i].run->run);
        CHECK(a.draw.tasks[i].arrival_s == Approx(4 * b.draw.tasks[i].arrival_s));
        CHECK(a.draw.tasks[i].deadline_multiple == b.draw.tasks[i].deadline_multiple);
        CHECK(a.draw.tasks[i].deadline_multiple > 0);
        chats += a.draw.tasks[i].run->application == "chat" ? 1 : 0;
    }
    CHECK(chats > 20);  // three of four
    CHECK(chats < 40);
}

TEST_CASE("draw: seconds of a run are those of its calls, and of its longest path", "[apps]") {
    const sluice_test::small_runs small;
    const drawn d = draw_from(small.folder(), small.mix(), {});
    for (const app_task& t : d.draw.tasks) {
        double service = 0;
        for (const auto& u : t.run->units) {
            for (const auto& c : u.calls) {
                service += 1e-4 * c.prompt_tokens + 0.06 * c.completion_tokens + c.seconds;
            }
        }
        CHECK(t.service_s == Approx(service));
        CHECK(t.path_s <= t.service_s + 1e-9);
        if (t.run->application == "chat") {
            CHECK(t.path_s == Approx(service));
        } else {
            CHECK(t.path_s == Approx(1e-4 * t.run->units[0].calls[7].prompt_tokens + 0.06 * 370));
        }
    }
}

TEST_CASE("draw: equal blocks are equal prefixes, and turns of a conversation share them",
          "[apps]") {
    SLUICE_REAL_RUNS_OR_SKIP(runs)
    draw_options o;
    o.seed = 5;
    const drawn d = draw_from(runs, "end_to_end", o);
    prefix_check check;
    for (std::size_t i = 0; i < d.draw.calls.requests.size(); ++i) {
        const auto fault = check.add(d.draw.calls.requests[i].block_ids, i);
        INFO(fault.value_or(""));
        REQUIRE_FALSE(fault);
    }
    CHECK(check.shared());
    for (const app_task& t : d.draw.tasks) {
        const load_request* last = nullptr;
        for (const app_visit& v : t.visits) {
            if (t.run->application != "react_alfw" || v.at != app_backend::llm) {
                continue;
            }
            const load_request& now = d.draw.calls.requests[v.first_call];
            if (last != nullptr && now.prompt_tokens >= last->prompt_tokens) {
                CHECK(std::equal(last->block_ids.begin(), last->block_ids.end(),
                                 now.block_ids.begin()));
            }
            last = &now;
        }
    }
}

TEST_CASE("draw: records are replayed as the published evaluation does", "[apps]") {
    SLUICE_REAL_RUNS_OR_SKIP(runs)
    const auto corpus = app_corpus::read(runs, *load_mix("end_to_end"));
    REQUIRE(corpus.ok());
    CHECK(corpus->runs.at("code_feedback").size() == 25);
    CHECK(corpus->runs.at("got_docmerge").size() == 50);
    for (const run_record& r : corpus->runs.at("factool_code")) {
        CHECK(r.units.back().calls.front().seconds == 1);
    }
    // The first call of the first document has 1354 and 628 tokens.
    const auto& first = corpus->runs.at("got_docmerge").front().units.front().calls.front();
    CHECK(first.prompt_tokens == 1083);
    CHECK(first.completion_tokens == 502);
}

TEST_CASE("external queue: the best of those that wait, and nobody is interrupted", "[apps]") {
    sluice::virtual_loop loop;
    std::vector<std::pair<std::uint32_t, double>> ended;
    const std::vector<double> ranks{5, 4, 3, 2, 1};
    const auto run = [&](external_queue::options o) {
        ended.clear();
        const double begin = sluice::to_seconds(loop.now().time_since_epoch());
        external_queue q(
            o, [&](std::uint32_t i) { return sluice::rank_value(ranks[i]); },
            [&](std::uint32_t i) {
                ended.emplace_back(i, sluice::to_seconds(loop.now().time_since_epoch()) - begin);
            },
            loop);
        for (std::uint32_t i = 0; i < ranks.size(); ++i) {
            q.add(i, 1);
        }
        loop.run_until_idle();
        CHECK(q.busy_seconds() == Approx(5));
        CHECK(q.items() == 5);
        return q.waited_seconds();
    };
    using order = std::vector<std::pair<std::uint32_t, double>>;
    // 0 and 1 have begun when the others come.
    CHECK(run({2, false}) == Approx(1 + 1 + 2));
    CHECK(ended == order{{0, 1}, {1, 1}, {4, 2}, {3, 2}, {2, 3}});
    CHECK(run({2, true}) == Approx(1 + 1 + 2));
    CHECK(ended == order{{0, 1}, {1, 1}, {2, 2}, {3, 2}, {4, 3}});
    CHECK(run({0, false}) == 0);
    CHECK(ended.size() == 5);
}
