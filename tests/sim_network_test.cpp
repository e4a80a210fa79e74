// SPDX-License-Identifier: Apache-2.0
#include <sluice/sim/network.hpp>

#include <cmath>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support/sim_rig.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using sim::node_change;
using test::nodes;
using test::sim_rig;
using test::tracked;
using code = absl::StatusCode;

namespace {

constexpr double per_ns = 1e9;  // one byte per nanosecond

sim::node_options node(std::vector<sim::node_event> events) {
    return {.rate = per_ns, .events = std::move(events)};
}

// A key whose first node is that one.
std::uint64_t key_at(sim::network_options o, std::uint32_t wanted) {
    o.replicas = 1;
    for (sim::node_options& n : o.nodes) {
        n = {};
    }
    sim_rig r(std::move(o));
    for (std::uint64_t key = 0;; ++key) {
        r.hold(key, 1);
        static_cast<void>(r.code_of_get(key, 1));
        if (r.net->stats(wanted).gets > 0) {
            return key;
        }
    }
}

}  // namespace

TEST_CASE("sim network: blocks are spread over the nodes, and so are their copies") {
    sim_rig r(nodes({{}, {}, {}, {}}, 2));
    std::vector<sim_rig::put_op> puts;
    for (std::uint64_t key = 0; key < 4000; ++key) {
        puts.push_back(r.put(key, 1));
    }
    r.time.run_until_idle();
    std::uint64_t all = 0;
    for (std::uint32_t n = 0; n < 4; ++n) {
        const std::uint64_t puts_here = r.net->stats(n).puts;
        CHECK(puts_here > 1800);
        CHECK(puts_here < 2200);
        all += puts_here;
    }
    CHECK(all == 8000);
}

TEST_CASE("sim network: a node that hangs goes on where it was") {
    sim_rig r(nodes(
        {node({{time_point{5us}, node_change::hang}, {time_point{25us}, node_change::recover}})}));
    r.hold(1, 10'000);
    const auto a = r.get(1, 10'000);
    const auto b = r.get(1, 10'000);
    r.time.run_until(time_point{10us});
    const auto during = r.get(1, 10'000);
    CHECK(r.lookup({1}) == std::vector<std::uint8_t>{1});
    CHECK(r.answered == time_point{25us});
    CHECK(a->at == time_point{30us});
    CHECK(b->at == time_point{40us});
    CHECK(during->at == time_point{50us});
}

TEST_CASE("sim network: what a hung node does not send in time comes from the next replica") {
    const auto hung = [](std::vector<sim::node_event> events) {
        return nodes({node(std::move(events)), node({})}, 2);
    };
    const std::uint64_t key = key_at(hung({}), 0);
    sim_rig r(hung({{time_point{0us}, node_change::hang}}), {.soft_timeout = 100us});
    r.hold(key, 10'000);
    const auto a = r.get(key, 10'000);
    r.time.run_until_idle();
    CHECK(a->code() == code::kOk);
    CHECK(a->at == time_point{110us});
    CHECK(r.link().stats().failovers == 1);
    CHECK(r.link().stats().timeouts == 1);

    // A second timeout in a row and it is left alone.
    const auto b = r.get(key, 10'000);
    r.time.run_until_idle();
    CHECK(b->at == time_point{220us});
    const auto c = r.get(key, 10'000);
    r.time.run_until_idle();
    CHECK(c->at == time_point{230us});
    CHECK(r.link().stats().timeouts == 2);
}

TEST_CASE("sim network: a slow node is probed, and asked again when it answers") {
    // One node, no replica: it hangs until 600 ms, and is known to be slow from 2 ms on. Probes
    // at 252 and 752 ms.
    sim_rig r(nodes({node({{time_point{0ms}, node_change::hang},
                           {time_point{600ms}, node_change::recover}})}),
              {.soft_timeout = 1ms});
    r.hold(1, 1'000);
    CHECK(r.code_of_get(1, 1'000) == code::kDeadlineExceeded);
    CHECK(r.code_of_get(1, 1'000) == code::kDeadlineExceeded);
    CHECK(r.time.now() == time_point{2ms});
    CHECK(r.code_of_get(1, 1'000) == code::kUnavailable);
    CHECK(r.time.now() == time_point{2ms});
    r.time.run_until(time_point{751ms});
    CHECK(r.code_of_get(1, 1'000) == code::kUnavailable);
    CHECK(r.lookup({1}) == std::vector<std::uint8_t>{0});
    r.time.run_until(time_point{752ms});
    CHECK(r.code_of_get(1, 1'000) == code::kOk);
    CHECK(r.time.now() == time_point{752ms + 1us});
    CHECK(r.link().stats().failed == 4);
}

TEST_CASE("sim network: what a node gives up is not in the way of others") {
    // Ten blocks of 1 us each and 8 us of patience: the last two cannot make it.
    sim_rig r(nodes({node({})}), {.soft_timeout = 8us});
    r.hold(1, 1'000);
    std::vector<sim_rig::get_op> ops;
    for (int i = 0; i < 10; ++i) {
        ops.push_back(r.get(1, 1'000));
    }
    r.time.run_until(time_point{4us});
    for (int i = 0; i < 8; ++i) {
        CHECK((ops[static_cast<std::size_t>(i)]->done()) == (i < 4));
    }
    const auto later = r.get(1, 1'000);
    r.time.run_until_idle();
    CHECK(ops[7]->at == time_point{8us});
    CHECK(ops[7]->code() == code::kOk);
    CHECK(ops[8]->code() == code::kDeadlineExceeded);
    CHECK(ops[9]->at == time_point{8us});
    CHECK(later->at == time_point{9us});
}

TEST_CASE("sim network: a node falls silent while its blocks wait for the link") {
    const auto run = [](sim::node_event what, duration soft_timeout) {
        std::vector<sim::node_event> events{what};
        if (what.what == node_change::hang) {
            events.push_back({time_point{40us}, node_change::recover});
        }
        // The nodes have no limit: all that is asked waits for the link, 10 us each.
        sim::network_options o = nodes({{}, {.rate = 1e12, .events = events}}, 1);
        const std::uint64_t from_first = key_at(o, 0);
        const std::uint64_t from_second = key_at(o, 1);
        sim_rig r(std::move(o), {.rate = per_ns, .soft_timeout = soft_timeout});
        r.hold(from_first, 10'000);
        r.hold(from_second, 10'000);
        std::vector<sim_rig::get_op> ops;
        for (const std::uint64_t key : {from_first, from_second, from_second, from_first}) {
            ops.push_back(r.get(key, 10'000));
        }
        r.time.run_until_idle();
        std::vector<std::pair<code, duration>> ends;
        for (const auto& op : ops) {
            ends.emplace_back(op->code(), op->at.time_since_epoch());
        }
        return ends;
    };
    using list = std::vector<std::pair<code, duration>>;
    const sim::node_event hangs{time_point{25us}, node_change::hang};
    CHECK(run(hangs, 1ms) ==
          list{{code::kOk, 10us}, {code::kOk, 20us}, {code::kOk, 50us}, {code::kOk, 30us}});
    CHECK(run(hangs, 35us) == list{{code::kOk, 10us},
                                   {code::kOk, 20us},
                                   {code::kDeadlineExceeded, 35us},
                                   {code::kOk, 30us}});
    CHECK(
        run({time_point{25us}, node_change::die}, 1ms) ==
        list{{code::kOk, 10us}, {code::kOk, 20us}, {code::kUnavailable, 25us}, {code::kOk, 30us}});
}

TEST_CASE("sim network: a node that dies fails what it has, and has nothing when it is back") {
    const auto dying = [](std::vector<sim::node_event> events) {
        return nodes({node(std::move(events)), node({})}, 2);
    };
    const std::uint64_t key = key_at(dying({}), 0);
    sim_rig r(
        dying({{time_point{5us}, node_change::die}, {time_point{1ms}, node_change::recover}}));
    r.hold(key, 10'000);
    const auto a = r.get(key, 10'000);
    r.time.run_until_idle();
    CHECK(a->code() == code::kOk);
    CHECK(a->at == time_point{15us});
    CHECK(r.link().stats().failovers == 1);
    CHECK(r.link().stats().timeouts == 0);

    // It is known to be dead: no time is lost.
    const auto b = r.get(key, 10'000);
    r.time.run_until_idle();
    CHECK(b->at == time_point{25us});

    // Back and empty: a miss, then the other one. A put brings the copy back.
    r.time.run_until(time_point{1ms});
    const auto c = r.get(key, 10'000);
    r.time.run_until_idle();
    CHECK(c->code() == code::kOk);
    CHECK(r.net->stats(0).misses == 1);
    const auto put = r.put(key, 10'000);
    r.time.run_until_idle();
    CHECK(put->code() == code::kOk);
    CHECK(r.net->stats(0).bytes_in == 10'000);
    CHECK(r.net->stats(1).bytes_in == 0);
    const auto d = r.get(key, 10'000);
    r.time.run_until_idle();
    CHECK(r.net->stats(0).bytes_out == 10'000);
}

TEST_CASE("sim network: without another replica a dead node's blocks are unavailable, then gone") {
    sim_rig r(nodes(
        {node({{time_point{5us}, node_change::die}, {time_point{50us}, node_change::recover}})}));
    r.hold(1, 10'000);
    const auto cut = r.get(1, 10'000);
    const auto waiting = r.get(1, 10'000);
    r.time.run_until_idle();
    CHECK(cut->code() == code::kUnavailable);
    CHECK(cut->at == time_point{5us});
    CHECK(waiting->at == time_point{5us});
    CHECK(r.code_of_get(1, 10'000) == code::kUnavailable);
    const auto put = r.put(2, 10'000);
    r.time.run_until_idle();
    CHECK(put->code() == code::kUnavailable);
    CHECK_FALSE(r.net->holds(block_key::from_u64(1)));
    r.time.run_until(time_point{50us});
    CHECK(r.code_of_get(1, 10'000) == code::kNotFound);
    // Its queue has died with it.
    r.hold(3, 1'000);
    const auto fresh = r.get(3, 1'000);
    r.time.run_until_idle();
    CHECK(fresh->at == time_point{51us});
}

TEST_CASE("sim network: a put needs one copy") {
    const auto two = [](std::vector<sim::node_event> a, std::vector<sim::node_event> b) {
        return nodes({node(std::move(a)), node(std::move(b))}, 2);
    };
    const sim::node_event dies{time_point{5us}, node_change::die};
    {
        sim_rig r(two({dies}, {}));
        const auto put = r.put(1, 10'000);
        r.time.run_until_idle();
        CHECK(put->code() == code::kOk);
        CHECK(put->at == time_point{10us});
        CHECK(r.code_of_get(1, 10'000) == code::kOk);
    }
    {
        sim_rig r(two({dies}, {dies}));
        const auto put = r.put(1, 10'000);
        r.time.run_until_idle();
        CHECK(put->code() == code::kUnavailable);
        CHECK(put->at == time_point{5us});
        CHECK_FALSE(r.net->holds(block_key::from_u64(1)));
    }
    {
        sim_rig r(two({{time_point{0us}, node_change::hang}}, {dies}), {.soft_timeout = 1ms});
        const auto put = r.put(1, 10'000);
        r.time.run_until_idle();
        CHECK(put->code() == code::kDeadlineExceeded);
        CHECK(put->at == time_point{1ms});
    }
}

TEST_CASE("sim network: a copy that landed before its node died is lost with it") {
    // The put to the first node is through at 10 us, but the put completes with the second one.
    sim::network_options o = nodes(
        {node({{time_point{15us}, node_change::die}, {time_point{16us}, node_change::recover}}),
         {.rate = per_ns, .latency = 20us}},
        2);
    const std::uint64_t key = key_at(o, 0);
    sim_rig r(std::move(o));
    const auto put = r.put(key, 10'000);
    r.time.run_until_idle();
    CHECK(put->at == time_point{30us});
    const auto get = r.get(key, 10'000);
    r.time.run_until_idle();
    CHECK(get->code() == code::kOk);
    CHECK(r.net->stats(0).misses == 1);
    CHECK(r.net->stats(1).bytes_out == 10'000);
}

TEST_CASE("sim network: lookups ask the next node when one does not answer") {
    const auto two = [](std::vector<sim::node_event> events) {
        return nodes({{.latency = 10us, .events = std::move(events)}, {.latency = 30us}}, 2);
    };
    const std::uint64_t key = key_at(two({}), 0);
    sim_rig r(two({{time_point{1ms}, node_change::hang}}), {.soft_timeout = 100us});
    r.hold(key, 1'000);
    CHECK(r.lookup({key}) == std::vector<std::uint8_t>{1});
    CHECK(r.answered == time_point{10us});
    CHECK(r.lookup({key, 999'999}) == std::vector<std::uint8_t>{1, 0});
    CHECK(r.answered == time_point{50us});  // both are asked for what is nowhere
    r.time.run_until(time_point{1ms});
    CHECK(r.lookup({key}) == std::vector<std::uint8_t>{1});
    CHECK(r.answered == time_point{1ms + 130us});
    CHECK(r.link().stats().timeouts == 1);
}

TEST_CASE("sim network: loss and jitter come by the seed alone") {
    const auto run = [](std::uint64_t seed) {
        sim::network_options o =
            nodes({{.rate = per_ns, .latency = 5us, .jitter = 10us, .loss = 0.1}});
        o.seed = seed;
        sim_rig r(std::move(o), {.soft_timeout = 50ms});
        std::vector<std::int64_t> ends;
        int lost = 0;
        for (std::uint64_t key = 0; key < 2000; ++key) {
            r.hold(key, 1'000);
            r.time.run_until(time_point{key * 1s});  // slow nodes have been probed by then
            const auto get = r.get(key, 1'000);
            r.time.run_until_idle();
            const auto took = get->at - time_point{key * 1s};
            if (get->code() == code::kOk) {
                CHECK(took >= 6us);
                CHECK(took <= 16us);
            } else {
                CHECK(get->code() == code::kDeadlineExceeded);
                CHECK(took == 50ms);
                ++lost;
            }
            ends.push_back(get->ns());
        }
        CHECK(lost > 160);
        CHECK(lost < 240);
        return ends;
    };
    const auto first = run(1);
    CHECK(first == run(1));
    CHECK(first != run(2));
}

TEST_CASE("sim network: all is lost on the way to a node that answers nothing") {
    sim_rig r(nodes({{.loss = 1}, {.loss = 1}}, 2), {.soft_timeout = 1ms});
    r.hold(1, 1'000);
    const auto get = r.get(1, 1'000);
    r.time.run_until_idle();
    CHECK(get->code() == code::kDeadlineExceeded);
    CHECK(get->at == time_point{2ms});
    // Lost operations take nothing of the queues.
    CHECK(r.link().stats().busy_seconds == 0);
    CHECK(r.net->stats(0).busy_seconds == 0);
}

TEST_CASE("sim network: impossible options are refused by name") {
    virtual_loop time;
    const auto refused = [&time](sim::network_options o, std::string_view about) {
        const absl::Status s = sim::network::create(std::move(o), time).status();
        return s.code() == code::kInvalidArgument &&
               std::string_view(s.message().data(), s.message().size()).find(about) !=
                   std::string_view::npos;
    };
    CHECK(refused(nodes({}), "nodes"));
    CHECK(refused(nodes({{}}, 0), "replicas"));
    CHECK(refused(nodes({{}}, 2), "replicas"));
    CHECK(refused(nodes(std::vector<sim::node_options>(9), 9), "replicas"));
    CHECK(refused(nodes({{}, {.rate = -1}}), "node 1: rate"));
    CHECK(refused(nodes({{.rate = std::nan("")}}), "rate"));
    CHECK(refused(nodes({{.per_operation = -1us}}), "per_operation"));
    CHECK(refused(nodes({{.latency = 25h}}), "latency"));
    CHECK(refused(nodes({{.jitter = -1us}}), "jitter"));
    CHECK(refused(nodes({{.loss = -0.1}}), "loss"));
    CHECK(refused(nodes({{.loss = 1.1}}), "loss"));
    CHECK(refused(nodes({{.loss = std::nan("")}}), "loss"));
    const time_point t{1s};
    CHECK(refused(nodes({node({{t, node_change::rate, 0}})}), "event 0, factor"));
    CHECK(refused(nodes({{.events = {{t, node_change::rate, 2}}}}), "event 0"));
    CHECK(refused(nodes({node({{t, node_change::recover}})}), "event 0"));
    CHECK(refused(nodes({node({{t, node_change::hang}, {t, node_change::die}})}), "event 1"));
    CHECK(refused(nodes({node({{t, node_change::rate, 2}, {t - 1ns, node_change::rate, 2}})}),
                  "event 1"));
    CHECK(refused(nodes({node({{t, static_cast<node_change>(9)}})}), "event 0"));
    CHECK(refused(nodes({node({{never, node_change::die}})}), "event 0"));
    CHECK_FALSE(refused(nodes({node({{t, node_change::hang}, {t, node_change::recover}})}), ""));
}
