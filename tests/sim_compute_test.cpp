// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <memory>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/coro/virtual_loop.hpp>
#include <sluice/sim/iteration_engine.hpp>
#include <sluice/sim/prefill.hpp>

#include "support/allocation_counter.hpp"
#include "support/tracked.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using test::tracked;

namespace {

struct rig {
    std::unique_ptr<tracked<compute_job>> start(compute& on, std::uint64_t query,
                                                std::uint64_t context = 0) {
        auto job = std::make_unique<tracked<compute_job>>(time, &order);
        job->query_tokens = query;
        job->context_tokens = context;
        job->user = job.get();
        on.start(*job);
        return job;
    }

    virtual_loop time;
    std::vector<const operation*> order;
};

template <class T>
std::unique_ptr<T> made(absl::StatusOr<std::unique_ptr<T>> r) {
    REQUIRE(r.ok());
    return *std::move(r);
}

template <class T>
bool refused(const absl::StatusOr<T>& r, std::string_view about) {
    return r.status().code() == absl::StatusCode::kInvalidArgument &&
           std::string_view(r.status().message().data(), r.status().message().size()).find(about) !=
               std::string_view::npos;
}

// A prefill takes 10 ms and 0.1 ms a token, a decode step 20 ms and 1 ms a sequence.
sim::iteration_options plain() {
    sim::iteration_options o;
    o.prefill_fixed_s = 0.010;
    o.prefill_per_token_s = 0.0001;
    o.decode = {{1, 0.021}, {101, 0.121}};
    return o;
}

}  // namespace

TEST_CASE("sim prefill: jobs one after the other, each as its model says") {
    rig r;
    const auto engine = made(sim::prefill::create({.c0_s = 0.010, .c1_s = 0.0001}, r.time));
    const auto a = r.start(*engine, 1000);  // 10 ms + 100 ms
    const auto b = r.start(*engine, 200);   // 10 ms + 20 ms
    const auto nothing = r.start(*engine, 0);
    r.time.run_until(time_point{120ms});
    CHECK(a->at == time_point{110ms});
    CHECK(std::abs(engine->busy_seconds() - 0.120) < 1e-12);
    r.time.run_until_idle();
    CHECK(b->at == time_point{140ms});
    CHECK(nothing->at == time_point{140ms});
    CHECK(std::abs(engine->busy_seconds() - 0.140) < 1e-12);
    // Idle time is not saved up.
    r.time.run_until(time_point{1s});
    const auto c = r.start(*engine, 100);
    r.time.run_until_idle();
    CHECK(c->at == time_point{1020ms});
}

TEST_CASE("sim prefill: the quadratic model counts the context") {
    rig r;
    const auto engine =
        made(sim::prefill::create({.c0_s = 0.001, .c1_s = 1e-5, .c2_s = 1e-9}, r.time));
    // 1 ms + 1000 * 10 us + 1000 * (3000 + 500) * 1 ns
    const auto job = r.start(*engine, 1000, 3000);
    r.time.run_until_idle();
    CHECK(job->at == time_point{1ms + 10ms + 3500us});
}

TEST_CASE("sim prefill: impossible coefficients are refused by name") {
    virtual_loop time;
    CHECK(refused(sim::prefill::create({.c0_s = -1}, time), "c0_s"));
    CHECK(refused(sim::prefill::create({.c1_s = std::nan("")}, time), "c1_s"));
    CHECK(refused(sim::prefill::create({.c2_s = 1e9}, time), "c2_s"));
}

TEST_CASE("sim iteration engine: whole prefills go before decode steps") {
    rig r;
    std::vector<std::pair<void*, time_point>> decoded;
    const auto engine = made(sim::iteration_engine::create(
        plain(), [](const compute_job& j) { return j.query_tokens == 100 ? 3U : 2U; },
        [&](void* user) { decoded.emplace_back(user, r.time.now()); }, r.time));

    // a: prefill 0 - 20, then a decode step of one, 20 - 41. b comes at 30 and waits for that:
    // prefill 41 - 71, then both decode, 71 - 93: a has its third token, b its second.
    const auto a = r.start(*engine, 100);
    r.time.run_until(time_point{30ms});
    CHECK(a->at == time_point{20ms});
    CHECK(engine->stats().running == 1);
    const auto b = r.start(*engine, 200);
    CHECK(engine->stats().waiting == 1);
    r.time.run_until_idle();
    CHECK(b->at == time_point{71ms});
    REQUIRE(decoded.size() == 2);
    CHECK(decoded[0] == std::pair<void*, time_point>{a.get(), time_point{93ms}});
    CHECK(decoded[1] == std::pair<void*, time_point>{b.get(), time_point{93ms}});
    const sim::iteration_stats s = engine->stats();
    CHECK(s.iterations == 4);
    CHECK(s.prefills == 2);
    CHECK(s.decode_steps == 2);
    CHECK(s.decoded_tokens == 3);
    CHECK(s.running == 0);
    CHECK(std::abs(s.busy_seconds - 0.093) < 1e-12);
}

TEST_CASE("sim iteration engine: what an end brings about is in the next iteration") {
    rig r;
    const auto engine = made(sim::iteration_engine::create(
        plain(), [](const compute_job&) { return 10U; }, {}, r.time));
    // The second job starts when the first one completes, as a pipeline with one job at a time
    // does. Prefills go first: it is not behind a decode step.
    struct chained : compute_job {
        compute* on = nullptr;
        compute_job* next = nullptr;
    } first;
    tracked<compute_job> second(r.time);
    second.query_tokens = 100;
    first.query_tokens = 100;
    first.on = engine.get();
    first.next = &second;
    first.on_completion(r.time, [](operation& op) noexcept {
        auto& self = static_cast<chained&>(op);
        self.on->start(*self.next);
    });
    engine->start(first);
    r.time.run_until_idle();
    CHECK(second.at == time_point{40ms});
}

TEST_CASE("sim iteration engine: a full batch makes prefills wait") {
    rig r;
    sim::iteration_options o = plain();
    o.max_batch = 1;
    const auto engine = made(sim::iteration_engine::create(
        o, [](const compute_job&) { return 2U; }, {}, r.time));
    const auto a = r.start(*engine, 100);
    const auto b = r.start(*engine, 100);
    r.time.run_until_idle();
    CHECK(a->at == time_point{20ms});
    CHECK(b->at == time_point{20ms + 21ms + 20ms});
}

TEST_CASE("sim iteration engine: chunks of prefill share iterations with decode") {
    rig r;
    sim::iteration_options o = plain();
    o.chunk_tokens = 256;
    std::vector<time_point> decoded;
    const auto engine = made(sim::iteration_engine::create(
        o, [](const compute_job& j) { return j.query_tokens == 100 ? 4U : 1U; },
        [&](void*) { decoded.push_back(r.time.now()); }, r.time));
    // 1: a alone, 10 + 10 ms. b (400 tokens) and c (50) come before the end.
    // 2: a decodes, 256 of b: 21 + 25.6. 3: a decodes, 144 of b and 50 of c: 21 + 19.4.
    // 4: a decodes: 21.
    const auto a = r.start(*engine, 100);
    r.time.run_until(time_point{5ms});
    const auto b = r.start(*engine, 400);
    const auto c = r.start(*engine, 50);
    r.time.run_until_idle();
    CHECK(a->at == time_point{20ms});
    CHECK(b->at == time_point{20ms + 46600us + 40400us});
    CHECK(c->at == b->at);
    REQUIRE(r.order.size() == 3);
    CHECK(r.order[1] == b.get());
    CHECK(decoded == std::vector{b->at, b->at, time_point{20ms + 46600us + 40400us + 21ms}});
    CHECK(engine->stats().iterations == 4);
}

TEST_CASE("sim iteration engine: chunks of one prompt cost as the whole, but for the fixed part") {
    rig r;
    sim::iteration_options o = plain();
    o.prefill_pair_s = 1e-7;
    const auto whole = made(sim::iteration_engine::create(o, {}, {}, r.time));
    const auto job = r.start(*whole, 300, 1000);
    r.time.run_until_idle();
    // 10 ms + 300 * 0.1 ms + 300 * (1000 + 150) * 0.1 us
    CHECK(job->at == time_point{10ms + 30ms + 34500us});
    o.chunk_tokens = 100;
    const auto chunked = made(sim::iteration_engine::create(o, {}, {}, r.time));
    const time_point begin = r.time.now();
    const auto same = r.start(*chunked, 300, 1000);
    r.time.run_until_idle();
    CHECK(same->at == begin + 3 * 10ms + 30ms + 34500us);
}

TEST_CASE("sim iteration engine: step times as measured") {
    virtual_loop time;
    const auto engine = made(sim::iteration_engine::create({}, {}, {}, time));
    const auto ms = [&](std::uint32_t batch) { return engine->decode_seconds(batch) * 1e3; };
    CHECK(std::abs(ms(1) - (14.3 + 0.49)) < 1e-9);
    CHECK(std::abs(ms(8) - (14.3 + 0.49 * 8)) < 1e-9);
    CHECK(std::abs(ms(32) - (14.3 + 0.49 * 32)) < 1e-9);
    CHECK(std::abs(ms(33) - 39) < 1e-9);
    CHECK(std::abs(ms(64) - 43) < 1e-9);
}

TEST_CASE("sim iteration engine: nothing is allocated in steady state") {
    rig r;
    const auto engine = made(sim::iteration_engine::create(
        plain(), [](const compute_job& j) { return static_cast<std::uint32_t>(j.query_tokens); },
        {}, r.time));
    std::array<tracked<compute_job>, 8> jobs{
        tracked<compute_job>(r.time), tracked<compute_job>(r.time), tracked<compute_job>(r.time),
        tracked<compute_job>(r.time), tracked<compute_job>(r.time), tracked<compute_job>(r.time),
        tracked<compute_job>(r.time), tracked<compute_job>(r.time)};
    const auto round = [&] {
        for (std::size_t i = 0; i < jobs.size(); ++i) {
            jobs[i].query_tokens = 1 + 3 * i;
            engine->start(jobs[i]);
        }
        r.time.run_until_idle();
    };
    round();
    const test::allocation_counter count;
    round();
    CHECK(count.allocations() == 0);
    CHECK(jobs[7].times == 2);
}

TEST_CASE("sim iteration engine: impossible options are refused by name") {
    virtual_loop time;
    const auto create = [&time](auto change) {
        sim::iteration_options o;
        change(o);
        return sim::iteration_engine::create(o, {}, {}, time);
    };
    using opts = sim::iteration_options;
    CHECK(refused(create([](opts& o) { o.prefill_fixed_s = -0.1; }), "prefill_fixed_s"));
    CHECK(refused(create([](opts& o) { o.prefill_per_token_s = std::nan(""); }),
                  "prefill_per_token_s"));
    CHECK(refused(create([](opts& o) { o.prefill_pair_s = 1e300; }), "prefill_pair_s"));
    CHECK(refused(create([](opts& o) { o.decode.clear(); }), "decode"));
    CHECK(refused(create([](opts& o) { o.decode[1].batch = 1; }), "decode point 1, batch"));
    CHECK(refused(create([](opts& o) { o.decode[2].seconds = -1; }), "decode point 2, seconds"));
    CHECK(refused(create([](opts& o) { o.max_batch = 66; }), "max_batch"));
    CHECK(refused(create([](opts& o) { o.max_batch = 0; }), "max_batch"));
}
