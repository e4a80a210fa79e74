// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/prewarmer.hpp>

#include <chrono>
#include <limits>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_floating_point.hpp>

#include <sluice/coro/virtual_loop.hpp>

#include "support/fake_warmable.hpp"

namespace {

using namespace std::chrono_literals;
using Catch::Matchers::WithinAbs;
using sluice::never;
using sluice::time_point;
using sluice::virtual_loop;
using sluice::demand::need_forecast;
using sluice::demand::need_handle;
using sluice::demand::need_sample;
using sluice::demand::prewarmer;
using sluice::demand::warm_cost;
using sluice::demand::warm_state;
using sluice::test::fake_warmable;
using calls = std::vector<std::string>;

need_forecast in(double seconds) {
    const need_sample s{seconds, true, 1};
    return need_forecast::of({&s, 1});
}

need_forecast no_need(double seconds) {
    const need_sample s{seconds, false};
    return need_forecast::of({&s, 1});
}

time_point at(sluice::duration d) { return time_point{} + d; }

}  // namespace

TEST_CASE("a need that comes as forecast is found warm, at no waste") {
    virtual_loop loop;
    fake_warmable slow({2, 2, 1});
    prewarmer warmer(loop);
    const need_handle need = warmer.expect(slow, 7, in(10)).value();
    CHECK(warmer.next_at(need) == at(8s));
    loop.run_until(at(7s));
    CHECK(slow.log.empty());
    loop.run_until(at(8s));
    CHECK(slow.take_log() == calls{"warm 7"});
    CHECK(warmer.state(need) == warm_state::warming);
    loop.run_until(at(9900ms));
    slow.finish(7);
    loop.run_until(at(10s));
    CHECK(warmer.arrived(need) == warm_state::warm);
    CHECK(slow.take_log() == calls{"used 7"});
    CHECK(warmer.needs() == 0);
    CHECK(warmer.held() == 0);
    CHECK_THAT(warmer.stats().saved_s, WithinAbs(2, 1e-6));
    CHECK_THAT(warmer.stats().wasted_s, WithinAbs(0.1, 1e-6));
    CHECK(warmer.arrived(need) == warm_state::cold);  // known no more
    CHECK(warmer.stats().found_cold == 0);
}

TEST_CASE("a need that comes while warming saves what has been done") {
    virtual_loop loop;
    fake_warmable slow({4, 6, 1});
    prewarmer warmer(loop);
    const need_handle need = warmer.expect(slow, 1, in(10)).value();
    loop.run_until(at(7s));
    CHECK(warmer.arrived(need) == warm_state::warming);
    CHECK_THAT(warmer.stats().saved_s, WithinAbs(1.5, 1e-6));
    slow.finish(1);  // too late to matter
    loop.run_until_idle();
    CHECK(slow.take_log() == calls{"warm 1", "used 1"});
    CHECK(warmer.stats().wasted_s == 0);
}

TEST_CASE("an overdue need is cooled, also if warming has never ended") {
    virtual_loop loop;
    fake_warmable slow({2, 2, 1});
    prewarmer warmer(loop);
    const need_handle need = warmer.expect(slow, 1, in(10)).value();
    SECTION("warm") {
        loop.run_until(at(9s));
        slow.finish(1);
    }
    SECTION("still warming") {}
    loop.run_until(at(12s));
    CHECK(slow.take_log() == calls{"warm 1"});
    loop.run_until(at(12001ms));
    CHECK(slow.take_log() == calls{"cool 1"});
    CHECK(warmer.needs() == 1);  // it may come yet
    CHECK(warmer.next_at(need) == never);
    CHECK_THAT(warmer.stats().wasted_s, WithinAbs(4, 1e-3));
    CHECK(warmer.arrived(need) == warm_state::cold);
}

TEST_CASE("an application that goes another way cools what was warmed for it") {
    virtual_loop loop;
    fake_warmable slow({2, 2, 1});
    prewarmer warmer(loop);
    const need_handle need = warmer.expect(slow, 1, in(3)).value();
    loop.run_until(at(2s));
    warmer.withdraw(need);
    CHECK(slow.take_log() == calls{"warm 1", "cool 1"});
    warmer.withdraw(need);
    CHECK(warmer.stats().withdrawn == 1);
    CHECK(!warmer.update(need, in(3)).ok());
    loop.run_until_idle();
    CHECK(slow.log.empty());
}

TEST_CASE("news moves, opens and closes the window") {
    virtual_loop loop;
    fake_warmable slow({2, 2, 1});
    prewarmer warmer(loop);
    const need_handle need = warmer.expect(slow, 1, in(100)).value();
    CHECK(warmer.next_at(need) == at(98s));
    CHECK(warmer.update(need, in(1)).ok());
    CHECK(slow.take_log() == calls{"warm 1"});  // at once
    loop.run_until(at(1s));
    CHECK(warmer.update(need, in(1.5)).ok());
    CHECK(slow.log.empty());  // it goes on
    CHECK(warmer.update(need, no_need(5)).ok());
    CHECK(slow.take_log() == calls{"cool 1"});
    CHECK(warmer.next_at(need) == never);
}

TEST_CASE("the costs of the moment count") {
    virtual_loop loop;
    fake_warmable slow({2, 2, 1});
    prewarmer warmer(loop);
    const need_handle need = warmer.expect(slow, 1, in(100)).value();
    slow.set_cost({60, 60, 1});
    warmer.refresh();
    CHECK(warmer.next_at(need) == at(40s));
    // It became faster while nobody told: the timer finds out.
    slow.set_cost({10, 10, 1});
    loop.run_until(at(50s));
    CHECK(slow.log.empty());
    CHECK(warmer.next_at(need) == at(90s));
    // Costs that are no numbers save nothing.
    slow.set_cost({std::numeric_limits<double>::quiet_NaN(), 1, 1});
    loop.run_until_idle();
    CHECK(slow.log.empty());
}

TEST_CASE("what several needs want is warmed once and kept from one to the next") {
    virtual_loop loop;
    fake_warmable adapter({2, 2, 0.1});
    prewarmer warmer(loop);
    const need_handle first = warmer.expect(adapter, 1, in(10)).value();
    const need_handle second = warmer.expect(adapter, 1, in(11.5)).value();
    loop.run_until(at(9s));
    adapter.finish(1);
    loop.run_until(at(10s));
    CHECK(warmer.arrived(first) == warm_state::warm);
    loop.run_until(at(11500ms));
    CHECK(warmer.arrived(second) == warm_state::warm);
    CHECK(adapter.take_log() == calls{"warm 1", "used 1", "used 1"});
}

TEST_CASE("what a use takes away is warmed anew for the next") {
    virtual_loop loop;
    fake_warmable worker({2, 2, 1}, false);
    prewarmer warmer(loop);
    const need_handle first = warmer.expect(worker, 1, in(10)).value();
    const need_handle second = warmer.expect(worker, 1, in(10)).value();
    loop.run_until(at(9s));
    worker.finish(1);
    loop.run_until(at(10s));
    CHECK(warmer.arrived(first) == warm_state::warm);
    CHECK(worker.take_log() == calls{"warm 1", "used 1"});
    CHECK(warmer.arrived(second) == warm_state::cold);
}

TEST_CASE("a failure is tried again, later each time") {
    virtual_loop loop;
    fake_warmable broken({2, 2, 0.01});
    prewarmer warmer(loop);
    std::vector<time_point> tries;
    broken.on_warm = [&](auto) { tries.push_back(loop.now()); };
    const need_handle need = warmer.expect(broken, 1, in(10)).value();
    loop.run_until(at(8s));
    for (int i = 0; i < 4; ++i) {
        broken.finish(1, absl::UnavailableError("no room"));
        loop.run_until(loop.now());
        loop.advance(warmer.next_at(need) - loop.now());
    }
    CHECK(tries == std::vector{at(8s), at(8100ms), at(8300ms), at(8700ms), at(9500ms)});
    CHECK(warmer.stats().failed == 4);
    broken.finish(1);
    broken.finish(1, absl::UnavailableError("said before"));
    loop.run_until(at(9600ms));
    CHECK(warmer.state(need) == warm_state::warm);
    CHECK(warmer.stats().failed == 4);
}

TEST_CASE("the prewarmer may go first") {
    virtual_loop loop;
    fake_warmable slow({2, 2, 1});
    {
        prewarmer warmer(loop);
        CHECK(warmer.expect(slow, 1, in(1)).ok());
        CHECK(warmer.expect(slow, 2, in(50)).ok());
        slow.finish(1);  // posted, not yet read
    }
    CHECK(slow.take_log() == calls{"warm 1", "cool 1"});
    slow.finish(1);
    loop.run_until_idle();
    CHECK(slow.log.empty());
}

TEST_CASE("needs are limited and handles do not live twice") {
    virtual_loop loop;
    fake_warmable slow({2, 2, 1});
    sluice::demand::prewarmer_options options;
    options.max_needs = 1;
    prewarmer warmer(loop, options);
    const need_handle first = warmer.expect(slow, 1, in(10)).value();
    CHECK(warmer.expect(slow, 1, in(10)).status().code() == absl::StatusCode::kResourceExhausted);
    warmer.withdraw(first);
    const need_handle second = warmer.expect(slow, 1, in(10)).value();
    CHECK(second != first);
    CHECK(warmer.next_at(first) == never);
    CHECK(warmer.next_at(second) == at(8s));
}
