// SPDX-License-Identifier: Apache-2.0
// Schedulers that call in odd orders, and workers that report what cannot be.
#include <sluice/sluice.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <iterator>
#include <limits>
#include <random>
#include <span>
#include <thread>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/base/checksum.hpp>

#include "split/message.hpp"
#include "support/split_rig.hpp"

namespace sluice {
namespace {

using test::capi_rig;
using test::message;
using test::split_rig;

sluice_request_id ranked(const split_rig& r, double rank, std::uint32_t page) {
    const std::vector<std::uint64_t> names = capi_rig::keys(1, 2);
    sluice_request q = SLUICE_REQUEST_INIT;
    q.keys = names.data();
    q.key_size = sizeof(std::uint64_t);
    q.n_keys = 2;
    q.prompt_tokens = 2 * capi_rig::block_tokens + 1;
    q.rank = rank;
    sluice_request_id id = 0;
    REQUIRE(sluice_submit(r.planner, &q, &id) == SLUICE_OK);
    REQUIRE(r.bind(id, page, 3) == SLUICE_OK);
    return id;
}

TEST_CASE("what is looked up and loaded in one report is ranked, too") {
    split_rig r(2, 64, "external");
    r.ranks[0]->fill(1, 2);
    r.ranks[1]->fill(1, 2);
    const sluice_request_id last = ranked(r, 3, 0);
    r.step();
    const sluice_request_id first = ranked(r, 1, 3);
    const sluice_request_id second = ranked(r, 2, 6);
    r.step();
    std::vector<sluice_request_id> queue{last, second, first};
    REQUIRE(sluice_sort(r.planner, queue.data(), 3) == SLUICE_OK);
    CHECK(queue == std::vector{first, second, last});
    for (const sluice_request_id expected : {first, second, last}) {
        sluice_request_id id = 0;
        REQUIRE(sluice_next_ready(r.planner, &id) == SLUICE_OK);
        CHECK(id == expected);
        sluice_report told = SLUICE_REPORT_INIT;
        REQUIRE(sluice_request_report(r.planner, id, &told) == SLUICE_OK);
        CHECK(told.predicted_fetch_s > 0);
    }
    CHECK(r.good());
}

TEST_CASE("what the planner's policy has not ranked goes behind what it has") {
    split_rig r(1, 64, "external");
    sluice_request_id known = 0;
    REQUIRE(r.submit(1, 2, &known, [](sluice_request& q) { q.rank = 5; }) == SLUICE_OK);
    r.step();  // now it waits for its pages
    const sluice_request_id unknown = ranked(r, 1, 3);
    std::vector<sluice_request_id> queue{unknown, known};
    REQUIRE(sluice_sort(r.planner, queue.data(), 2) == SLUICE_OK);
    CHECK(queue == std::vector{known, unknown});
}

TEST_CASE("nothing is computed for a request that was released") {
    split_rig r(1);
    r.ranks[0]->fill(1, 2);
    const sluice_request_id id = ranked(r, 0, 0);
    r.step();
    sluice_request_id best = 0;
    REQUIRE(sluice_next_ready(r.planner, &best) == SLUICE_OK);
    REQUIRE(best == id);
    // Its event still waits, so the id is live.
    REQUIRE(sluice_release(r.planner, id) == SLUICE_OK);
    CHECK(sluice_compute_done(r.planner, id, 1) == SLUICE_E_FAILED_PRECONDITION);
    r.poll();
    r.step();
    r.step();
    CHECK(r.poll().empty());
    CHECK(r.live(r.planner) == 0);
    CHECK(r.live(r.ranks[0]->pipe) == 0);
    CHECK(r.good());
}

TEST_CASE("a plan that waits does not grow with every change of a rank") {
    split_rig r(1, 64, "external");
    sluice_request_id id = 0;
    REQUIRE(r.submit(1, 2, &id) == SLUICE_OK);
    r.step();
    REQUIRE(r.plan().size() > 0);
    std::uint64_t first = 0;
    std::uint64_t needed = 0;
    for (int i = 1; i <= 100; ++i) {
        REQUIRE(sluice_set_rank(r.planner, id, i) == SLUICE_OK);
        CHECK(sluice_plan_export(r.planner, nullptr, 0, &needed) == SLUICE_E_TRUNCATED);
        first = i == 1 ? needed : first;
    }
    CHECK(needed == first);
    const message last = r.plan();
    const auto told = split::decode_plan(std::as_bytes(std::span(last)));
    REQUIRE(told.ok());
    REQUIRE(told->orders.size() == 1);
    CHECK(told->orders[0].rank.value == 100);
    CHECK(r.plan().empty());
}

TEST_CASE("what is taken back before it was told leaves the rest of the plan") {
    split_rig r(1);
    std::vector<sluice_request_id> ids(100);
    for (std::uint32_t i = 0; i < ids.size(); ++i) {
        REQUIRE(r.submit(1 + i, 1, &ids[i]) == SLUICE_OK);
    }
    for (std::uint32_t i = 0; i < ids.size(); ++i) {
        if (i % 10 != 3) {
            REQUIRE(sluice_cancel(r.planner, ids[i]) == SLUICE_OK);
        }
    }
    const message rest = r.plan();
    const auto told = split::decode_plan(std::as_bytes(std::span(rest)));
    REQUIRE(told.ok());
    REQUIRE(told->orders.size() == 10);
    for (std::size_t i = 0; i < 10; ++i) {
        CHECK(told->orders[i].request == ids[10 * i + 3]);
    }
}

// A message with other bytes in it, and a checksum that says so.
message with(message m, double seconds, double instead) {
    unsigned char old[sizeof seconds];
    std::memcpy(old, &seconds, sizeof old);
    for (auto at = m.begin(); (at = std::search(at, m.end(), old, std::end(old))) != m.end();) {
        std::memcpy(&*at, &instead, sizeof instead);
    }
    const auto body = std::as_bytes(std::span(m)).first(m.size() - 8);
    const std::uint64_t sum = checksum64(body);
    std::memcpy(m.data() + body.size(), &sum, sizeof sum);
    return m;
}

TEST_CASE("times that cannot be are refused") {
    split_rig r(1, 64, "sjf", nullptr, 1000 * capi_rig::block_bytes);
    r.ranks[0]->fill(1, 2);
    ranked(r, 0, 0);
    REQUIRE(r.carry_out(0, r.plan()) == SLUICE_OK);
    r.ranks[0]->run();
    const message good = r.report(0);
    const auto told = split::decode_report(std::as_bytes(std::span(good)));
    REQUIRE(told.ok());
    const split::fact& outcome = told->facts.back();
    REQUIRE(outcome.what == split::fact::kind::outcome);
    constexpr double infinite = std::numeric_limits<double>::infinity();
    for (const double real : {outcome.fetch_seconds, outcome.copy_seconds}) {
        REQUIRE(real > 0);
        for (const double bad : {infinite, -infinite, -1.0, std::nan("")}) {
            CHECK(r.tell(with(good, real, bad)) == SLUICE_E_INVALID_ARGUMENT);
        }
    }
    CHECK(r.tell(with(good, outcome.fetch_seconds, 0.5)) == SLUICE_OK);
    sluice_stats s = SLUICE_STATS_INIT;
    REQUIRE(sluice_pipeline_stats(r.planner, &s) == SLUICE_OK);
    CHECK(std::isfinite(s.fetch_error));
    CHECK(std::isfinite(s.copy_error));
}

// One thread carries the messages, the others do with requests what comes to their minds.
TEST_CASE("threads may meddle with all requests while plans and reports go round") {
    split_rig r(2, 64, "aging:after=1(fair(srpt))");
    r.ranks[0]->fill(1, 12);
    r.ranks[1]->fill(1, 9);
    constexpr std::uint32_t threads = 3;
    constexpr std::uint32_t rounds = 300;
    std::array<std::atomic<sluice_request_id>, 16> known{};
    std::atomic<std::uint32_t> at_work{threads};
    const auto meddle = [&](std::uint32_t seed) {
        std::minstd_rand dice(seed);
        const auto below = [&dice](std::uint32_t n) {
            return static_cast<std::uint32_t>(dice()) % n;
        };
        for (std::uint32_t i = 0; i < rounds; ++i) {
            sluice_request_id fresh = 0;
            const std::uint32_t page = 3 * below(20);
            if (r.submit(1 + below(12), 2, &fresh) == SLUICE_OK) {
                known[below(known.size())] = fresh;
                r.bind(fresh, page, 3);
            }
            sluice_request_id id = known[below(known.size())];
            switch (below(7)) {
            case 0: sluice_cancel(r.planner, id); break;
            case 1: sluice_detach(r.planner, id); break;
            case 2: sluice_compute_done(r.planner, id, below(1000)); break;
            case 3: sluice_set_rank(r.planner, id, below(9)); break;
            case 4: sluice_next_ready(r.planner, &id); break;
            case 5: static_cast<void>(r.live(r.planner)); break;
            default: sluice_release(r.planner, id); break;
            }
            std::array<sluice_request_id, known.size()> all{};
            std::ranges::copy(known, all.begin());
            sluice_sort(r.planner, all.data(), all.size());
        }
        --at_work;
    };
    std::vector<std::thread> crowd;
    for (std::uint32_t t = 0; t < threads; ++t) {
        crowd.emplace_back(meddle, t + 1);
    }
    std::uint64_t outcomes = 0;
    std::vector<sluice_request_id> ended;
    const auto step = [&] {
        for (const sluice_event& e : r.step_and_poll()) {
            if (e.kind >= SLUICE_EVENT_READY && e.kind <= SLUICE_EVENT_FAILED) {
                ++outcomes;
                ended.push_back(e.request);
            }
        }
    };
    while (at_work > 0) {
        step();
    }
    for (std::thread& t : crowd) {
        t.join();
    }
    for (int i = 0; i < 200 && r.live(r.planner) > 0; ++i) {
        step();
        for (const sluice_request_id id : ended) {
            sluice_release(r.planner, id);
        }
    }
    r.step();
    r.step();
    CHECK(outcomes == threads * rounds);
    CHECK(r.live(r.planner) == 0);
    CHECK(r.live(r.ranks[0]->pipe) == 0);
    CHECK(r.live(r.ranks[1]->pipe) == 0);
    CHECK(r.good());
}

}  // namespace
}  // namespace sluice
