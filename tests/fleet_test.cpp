// SPDX-License-Identifier: Apache-2.0
#include <string>
#include <string_view>

#include <catch2/catch_test_macros.hpp>
#include <catch2/matchers/catch_matchers_string.hpp>

#include <sluice/base/status.hpp>

#include <experiment/fleet.hpp>

namespace {

using namespace sluice::experiment;
using Catch::Matchers::ContainsSubstring;
using sluice::sim::node_change;

fleet_options small() {
    fleet_options o;
    o.run.requests = 8;
    o.run.qps = 0.8;
    o.engines = 6;
    o.nodes = 4;
    o.replicas = 2;
    o.periods = 4;
    return o;
}

fleet_result run(const fleet_options& o) {
    auto result = run_fleet(o);
    REQUIRE(sluice::message_of(result.status()) == "");
    return *std::move(result);
}

}  // namespace

TEST_CASE("fleet: every request of every engine is answered, the same each time", "[fleet]") {
    const fleet_result a = run(small());
    const fleet_result b = run(small());
    CHECK(a.failed == 0);
    CHECK(a.all.requests == 48);
    CHECK(a.one.requests == 8);
    CHECK(a.all.lost_blocks == 0);
    CHECK(a.all.mean_ttft_s == b.all.mean_ttft_s);
    CHECK(a.block_operations == b.block_operations);
    std::uint64_t of_periods = 0;
    for (const fleet_period& p : a.periods) {
        of_periods += p.all.requests;
    }
    CHECK(of_periods == a.all.requests);
}

TEST_CASE("fleet: the engines have requests and blocks of their own", "[fleet]") {
    fleet_options o = small();
    o.engines = 1;
    const fleet_result one = run(o);
    o.engines = 2;
    const fleet_result two = run(o);
    CHECK(two.one.tokens_computed == one.one.tokens_computed);
    CHECK(two.all.tokens_computed > two.one.tokens_computed);
    // Blocks with the same names would be fetched once by each engine all the same, but held once.
    CHECK(two.all.lost_blocks == 0);
}

TEST_CASE("fleet: a node that dies costs its blocks where they have no replica", "[fleet]") {
    fleet_options o = small();
    o.fault = node_fault{node_change::die, 1, 0.5, {}};
    CHECK(run(o).all.lost_blocks == 0);
    o.replicas = 1;
    const fleet_result lost = run(o);
    CHECK(lost.failed == 0);  // what is lost is computed
    CHECK(lost.all.tokens_computed > run(small()).all.tokens_computed);
}

TEST_CASE("fleet: a node that hangs costs timeouts, until it is left alone", "[fleet]") {
    fleet_options o = small();
    o.fault = node_fault{node_change::hang, 1, 0.3, {}};
    const fleet_result hung = run(o);
    CHECK(hung.failed == 0);
    CHECK(hung.all.timeouts > 0);
    CHECK(hung.all.failovers > 0);
    CHECK(hung.all.lost_blocks == 0);
    CHECK(hung.periods.front().all.timeouts == 0);
}

TEST_CASE("fleet: bad options are named", "[fleet]") {
    const auto message = [](void (*change)(fleet_options&)) {
        fleet_options o = small();
        change(o);
        return std::string(sluice::message_of(run_fleet(o).status()));
    };
    CHECK_THAT(message([](fleet_options& o) { o.engines = 0; }), ContainsSubstring("engines"));
    CHECK_THAT(message([](fleet_options& o) { o.nodes = 2000; }), ContainsSubstring("nodes"));
    CHECK_THAT(message([](fleet_options& o) { o.replicas = 5; }), ContainsSubstring("replicas"));
    CHECK_THAT(message([](fleet_options& o) { o.node_rate = 0; }), ContainsSubstring("node-rate"));
    CHECK_THAT(message([](fleet_options& o) { o.watched = 6; }), ContainsSubstring("watch"));
    CHECK_THAT(message([](fleet_options& o) { o.periods = 0; }), ContainsSubstring("periods"));
    CHECK_THAT(message([](fleet_options& o) { o.soft_timeout_s = -1; }),
               ContainsSubstring("soft-timeout"));
    CHECK_THAT(message([](fleet_options& o) {
                   o.fault = node_fault{node_change::die, 4, 0.5, {}};
               }),
               ContainsSubstring("fault-node"));
    CHECK_THAT(message([](fleet_options& o) {
                   o.fault = node_fault{node_change::die, 0, 2, {}};
               }),
               ContainsSubstring("fault-at"));
    CHECK_THAT(message([](fleet_options& o) {
                   o.fault = node_fault{node_change::die, 0, 0.5, 0.4};
               }),
               ContainsSubstring("recover-at"));
    CHECK_THAT(message([](fleet_options& o) { o.run.config = config_kind::async; }),
               ContainsSubstring("pipeline"));
}
