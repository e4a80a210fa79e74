// SPDX-License-Identifier: Apache-2.0
// The prewarmer against what it promises: what it does on the forecast's own runs is worth as much
// as its plans say and as any other rule is; and random histories with everything that goes wrong.
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <map>
#include <random>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <sluice/coro/virtual_loop.hpp>
#include <sluice/demand/prewarmer.hpp>

namespace {

using namespace sluice::demand;
using Catch::Matchers::WithinAbs;
using sluice::duration;
using sluice::from_seconds;
using sluice::never;
using sluice::time_point;
using sluice::virtual_loop;

double draw(std::mt19937_64& random, double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
}

bool chance(std::mt19937_64& random, double p) { return draw(random, 0, 1) < p; }

// Warm after exactly its seconds.
class punctual final : public warmable {
 public:
    punctual(virtual_loop& on, warm_cost c) : cost_(c), on_(on) {}
    warm_cost cost(warm_key) noexcept override { return cost_; }
    void warm(warm_key, warm_done done) noexcept override {
        pending.push_back(
            {saturating_add(on_.now(), from_seconds(cost_.seconds)), std::move(done)});
    }
    void cool(warm_key) noexcept override { pending.clear(); }
    void used(warm_key) noexcept override { pending.clear(); }

    // Everything until then, and what is warm at that instant.
    void run_to(time_point at) {
        for (;;) {
            const time_point ready = pending.empty() ? never : pending.front().first;
            const time_point next = std::min(ready, on_.next_due());
            if (next > at) {
                break;
            }
            on_.run_until(next);
            if (!pending.empty() && pending.front().first <= next) {
                const warm_done done = pending.front().second;
                pending.clear();
                done(absl::OkStatus());
            }
        }
        on_.run_until(at);
    }

 private:
    std::vector<std::pair<time_point, warm_done>> pending;  // one at most
    warm_cost cost_;
    virtual_loop& on_;
};

// Everything goes wrong now and then. Follows what it is asked for.
class moody final : public warmable {
 public:
    moody(std::mt19937_64& random, bool shared) : random_(random), shared_(shared) {}

    warm_cost cost(warm_key key) noexcept override {
        if (chance(random_, 0.02)) {
            return {-1, 1, 1};
        }
        return {0.1 + static_cast<double>(key % 4), draw(random_, 0, 4), draw(random_, 0, 1)};
    }
    void warm(warm_key key, warm_done done) noexcept override {
        ++warmed;
        wrong += held[key]++ > 0 ? 1 : 0;  // never twice at once
        pending.emplace_back(key, std::move(done));
        if (chance(random_, 0.2)) {
            say(pending.size() - 1);  // at once
        }
    }
    void cool(warm_key key) noexcept override {
        ++cooled;
        wrong += --held[key] != 0 ? 1 : 0;  // only what it has asked for
    }
    void used(warm_key) noexcept override { ++uses; }
    bool shared() const noexcept override { return shared_; }

    // Says how one of all warm-ups ever has gone; some hear of it twice, some never, some late.
    void say(std::size_t which) {
        const auto& [key, done] = pending[which];
        done(chance(random_, 0.3) ? absl::UnavailableError("no") : absl::OkStatus());
    }

    std::vector<std::pair<warm_key, warm_done>> pending;
    std::map<warm_key, int> held;
    std::uint64_t warmed = 0;
    std::uint64_t cooled = 0;
    std::uint64_t uses = 0;
    std::uint64_t wrong = 0;

 private:
    std::mt19937_64& random_;
    bool shared_;
};

std::vector<need_sample> some_samples(std::mt19937_64& random, std::size_t most) {
    std::vector<need_sample> out(1 + random() % most);
    const double used = draw(random, 0.2, 1.1);
    const double second = chance(random, 0.5) ? draw(random, 5, 40) : 0;
    for (need_sample& s : out) {
        s.used = chance(random, used);
        s.seconds = draw(random, 0.01, 8) + (chance(random, 0.4) ? second : 0);
    }
    return out;
}

}  // namespace

TEST_CASE("on the forecast's own runs it does as well as its plans say, and as any fixed rule") {
    for (std::uint64_t seed = 1; seed <= 100; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        const std::vector<need_sample> samples = some_samples(random, 40);
        const warm_cost cost{draw(random, 0.2, 6), draw(random, 0.2, 6), draw(random, 0.1, 2)};
        prewarmer_options options;
        options.rule = {.confidence = draw(random, 0.03, 0.9), .give_up = 1, .overdue_slack = 0};
        const double price = options.rule.price();
        const need_forecast forecast = need_forecast::of(samples);
        const auto n = static_cast<double>(samples.size());

        // Each run as it may come.
        double saved = 0;
        double wasted = 0;
        for (const need_sample& truth : samples) {
            virtual_loop loop;
            punctual thing(loop, cost);
            prewarmer warmer(loop, options);
            const need_handle need = warmer.expect(thing, 1, forecast).value();
            thing.run_to(time_point{} + from_seconds(truth.seconds));
            truth.used ? (void)warmer.arrived(need) : warmer.withdraw(need);
            loop.run_until_idle();
            saved += warmer.stats().saved_s / n;
            wasted += warmer.stats().wasted_s / n;
        }

        // The row of plans.
        double gain = 0;
        double waste = 0;
        for (double at = 0;;) {
            const prewarm_plan plan = plan_prewarm(forecast, at, cost, options.rule);
            if (!plan.pays()) {
                break;
            }
            double ahead = 0;
            for (const need_sample& s : samples) {
                ahead += s.seconds > at ? 1 / n : 0;
            }
            gain += plan.gain * ahead;
            waste += plan.waste * ahead;
            at = plan.stop;
        }
        CHECK_THAT(saved, WithinAbs(gain, 1e-3));
        CHECK_THAT(wasted, WithinAbs(waste, 1e-3));

        // No start that is fixed in advance is worth more than the plans.
        for (double start = 0; start < 48; start += 0.37) {
            CHECK(evaluate_start(forecast, start, cost, options.rule).value <=
                  gain - price * waste + 1e-6);
        }
    }
}

TEST_CASE("whatever happens, nothing is held that nobody may need, and nothing is held twice") {
    for (std::uint64_t seed = 1; seed <= 300; ++seed) {
        CAPTURE(seed);
        std::mt19937_64 random(seed);
        virtual_loop loop;
        moody shared(random, true);
        moody single(random, false);
        std::uint64_t arrived = 0;
        {
            prewarmer_options options;
            options.rule = {.confidence = draw(random, 0.02, 0.9),
                            .give_up = chance(random, 0.5) ? 1 : draw(random, 0.3, 1),
                            .overdue_slack = draw(random, 0, 2)};
            prewarmer warmer(loop, options);
            std::vector<need_handle> needs;
            const int steps = 40 + static_cast<int>(random() % 100);
            for (int step = 0; step < steps; ++step) {
                moody& of = chance(random, 0.5) ? shared : single;
                const auto which = needs.empty() ? 0 : random() % needs.size();
                switch (random() % 10) {
                case 0:
                case 1:
                case 2: {
                    // What is single belongs to one application, what is shared to several.
                    const warm_key key = &of == &shared ? random() % 3 : 1000 + random() % 5;
                    needs.push_back(
                        warmer.expect(of, key, need_forecast::of(some_samples(random, 200)))
                            .value());
                    break;
                }
                case 3:
                    if (!needs.empty()) {
                        (void)warmer.update(needs[which],
                                            need_forecast::of(some_samples(random, 100)));
                    }
                    break;
                case 4:
                    if (!needs.empty()) {
                        arrived += warmer.update(needs[which], {}).ok() ? 1 : 0;
                        (void)warmer.arrived(needs[which]);
                    }
                    break;
                case 5:
                    if (!needs.empty()) {
                        warmer.withdraw(needs[which]);
                    }
                    break;
                case 6:
                case 7:
                    if (!of.pending.empty()) {
                        of.say(random() % of.pending.size());
                    }
                    break;
                case 8: warmer.refresh(); break;
                default: loop.advance(from_seconds(draw(random, 0, 5)));
                }
                const prewarmer_stats& s = warmer.stats();
                CHECK(warmer.held() <= s.started);
                CHECK(s.started == shared.warmed + single.warmed);
                CHECK(s.cooled == shared.cooled + single.cooled);
                CHECK(s.saved_s >= 0);
                CHECK(s.wasted_s >= 0);
            }
            const prewarmer_stats& s = warmer.stats();
            CHECK(s.found_cold + s.found_warming + s.found_warm == arrived);
            CHECK(shared.uses + single.uses == arrived);
            if (chance(random, 0.5)) {
                for (const need_handle n : needs) {
                    warmer.withdraw(n);
                }
                CHECK(warmer.needs() == 0);
                CHECK(warmer.held() == 0);
                CHECK(loop.next_due() == never);
            }
        }
        loop.run_until_idle();
        const std::uint64_t last = shared.warmed + single.warmed;
        for (moody* of : {&shared, &single}) {
            for (std::size_t i = 0; i < of->pending.size(); ++i) {
                of->say(i);  // to nobody
            }
        }
        loop.run_until_idle();
        CHECK(shared.warmed + single.warmed == last);
    }
}
