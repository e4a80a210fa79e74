// SPDX-License-Identifier: Apache-2.0
#include <sluice/sim/link.hpp>

#include <algorithm>
#include <cmath>
#include <memory>
#include <random>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support/allocation_counter.hpp"
#include "support/sim_rig.hpp"

using namespace sluice;
using namespace std::chrono_literals;
using test::nodes;
using test::sim_rig;
using test::tracked;
using code = absl::StatusCode;

namespace {

constexpr double per_ns = 1e9;  // one byte per nanosecond

bool refused(const absl::Status& s, std::string_view about) {
    return s.code() == code::kInvalidArgument &&
           std::string_view(s.message().data(), s.message().size()).find(about) !=
               std::string_view::npos;
}

}  // namespace

TEST_CASE("sim link: one block takes its overheads, its bytes at the lower rate, the latency") {
    for (const double node_rate : {0.0, 4 * per_ns}) {
        sim_rig r(nodes({{.rate = node_rate, .per_operation = 3us, .latency = 50us}}),
                  {.rate = per_ns, .per_operation = 2us});
        r.hold(1, 10'000);
        const auto hit = r.get(1, 10'000);
        r.time.run_until_idle();
        CHECK(hit->code() == code::kOk);
        CHECK(hit->at == time_point{3us + 2us + 10us + 50us});
        CHECK(std::abs(r.link().stats().busy_seconds - 12e-6) < 1e-15);

        const auto miss = r.get(2, 10'000);
        r.time.run_until_idle();
        CHECK(miss->code() == code::kNotFound);
        CHECK(miss->at == hit->at + 55us);
    }
    // The node is the slower one: the link waits for it without being busy.
    sim_rig r(nodes({{.rate = per_ns, .per_operation = 3us, .latency = 50us}}),
              {.rate = 4 * per_ns, .per_operation = 2us});
    r.hold(1, 10'000);
    const auto hit = r.get(1, 10'000);
    r.time.run_until_idle();
    CHECK(hit->at == time_point{3us + 10us + 2us + 50us});
    CHECK(std::abs(r.link().stats().busy_seconds - 4.5e-6) < 1e-15);
    CHECK(std::abs(r.net->stats(0).busy_seconds - 13e-6) < 1e-15);
}

TEST_CASE("sim link: a backlog moves at the slower rate, to the nanosecond") {
    for (const bool node_is_slower : {false, true}) {
        // 0.7 bytes per nanosecond do not divide a block: fractions must add up.
        sim_rig r(nodes({{.rate = (node_is_slower ? 0.7 : 3) * per_ns, .latency = 5us}}),
                  {.rate = (node_is_slower ? 3 : 0.7) * per_ns});
        std::vector<sim_rig::get_op> ops;
        for (std::uint64_t key = 0; key < 1000; ++key) {
            r.hold(key, 1'000);
            ops.push_back(r.get(key, 1'000));
        }
        r.time.run_until_idle();
        int wrong = 0;
        for (std::size_t i = 0; i < ops.size(); ++i) {
            const double exact = 5000 + static_cast<double>(i + 1) * 1000 / 0.7;
            wrong += std::abs(static_cast<double>(ops[i]->ns()) - exact) <= 0.501 ? 0 : 1;
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE("sim link: engines share a node, and a link its nodes") {
    {
        // Two engines, 50 blocks each, of one node: its rate is what counts.
        sim_rig r(nodes({{.rate = per_ns}}), {.rate = per_ns}, 2);
        std::vector<sim_rig::get_op> ops;
        for (std::uint64_t key = 0; key < 50; ++key) {
            r.hold(key, 1'000);
            ops.push_back(r.get(key, 1'000, 0));
            ops.push_back(r.get(key, 1'000, 1));
        }
        r.time.run_until_idle();
        CHECK(ops[98]->at == time_point{99us});
        CHECK(ops[99]->at == time_point{100us});
        CHECK(std::abs(r.net->stats(0).busy_seconds - 100e-6) < 1e-12);
        CHECK(r.net->stats(0).gets == 100);
        CHECK(r.net->stats(0).bytes_out == 100'000);
        CHECK(r.all[0]->stats().bytes == 50'000);
    }
    {
        // One engine of two nodes that are together faster than its link.
        sim_rig r(nodes({{.rate = per_ns}, {.rate = per_ns}}), {.rate = 1.5 * per_ns});
        std::vector<sim_rig::get_op> ops;
        for (std::uint64_t key = 0; key < 600; ++key) {
            r.hold(key, 1'000);
            ops.push_back(r.get(key, 1'000));
        }
        r.time.run_until_idle();
        time_point last{};
        for (const auto& op : ops) {
            last = std::max(last, op->at);
        }
        // While both nodes send, the link is full; then the rest of the fuller one follows.
        const auto fuller = std::max(r.net->stats(0).gets, r.net->stats(1).gets);
        const auto lowest =
            std::max<std::int64_t>(400'000, static_cast<std::int64_t>(fuller) * 1000);
        CHECK(last >= time_point{duration{lowest}});
        CHECK(last <= time_point{duration{lowest + 2'000}});
    }
}

TEST_CASE("sim link: a link never gives more than its rate allows, whatever comes when") {
    std::mt19937_64 random{11};
    sim::network_options n = nodes({{.rate = 2 * per_ns, .latency = 1us},
                                    {.rate = 0.5 * per_ns, .per_operation = 2us, .latency = 9us},
                                    {.rate = 1 * per_ns, .latency = 4us}});
    sim_rig r(n, {.rate = per_ns, .drift = {{time_point{300us}, 0.25}, {time_point{900us}, 2}}});
    std::vector<sim_rig::get_op> ops;
    for (std::uint64_t key = 0; key < 1500; ++key) {
        r.time.advance(duration{static_cast<std::int64_t>(random() % 1500)});
        const std::uint64_t bytes = 1 + random() % 2000;
        r.hold(key, bytes);
        ops.push_back(r.get(key, bytes));
    }
    r.time.run_until_idle();
    std::sort(ops.begin(), ops.end(), [](const auto& a, const auto& b) { return a->at < b->at; });
    const auto room = [](time_point at) {  // bytes that the link passes until then
        const double ns = static_cast<double>(at.time_since_epoch().count());
        return std::min(ns, 300e3) + 0.25 * std::clamp(ns - 300e3, 0.0, 600e3) +
               2 * std::max(0.0, ns - 900e3);
    };
    double moved = 0;
    int wrong = 0;
    for (const auto& op : ops) {
        moved += static_cast<double>(op->into.size());
        wrong += moved <= room(op->at) ? 0 : 1;
    }
    CHECK(wrong == 0);
}

TEST_CASE("sim link: a change of rate holds for what has not moved yet") {
    // 5 000 bytes until 5 us, then half of it: 5 000 more take 10 us.
    const sim::link_options halves{.rate = per_ns, .drift = {{time_point{5us}, 0.5}}};
    {
        sim_rig r(nodes({{}}), halves);
        r.hold(1, 10'000);
        const auto a = r.get(1, 10'000);
        const auto b = r.get(1, 10'000);
        r.time.run_until_idle();
        CHECK(a->at == time_point{15us});
        CHECK(b->at == time_point{35us});
    }
    {
        sim_rig r(nodes({{.rate = per_ns,
                          .events = {{time_point{5us}, sim::node_change::rate, 0.1},
                                     {time_point{25us}, sim::node_change::rate, 2}}}}));
        r.hold(1, 10'000);
        const auto a = r.get(1, 10'000);  // 5 000, then 2 000 in 20 us, then 3 000 in 1.5 us
        r.time.run_until_idle();
        CHECK(a->at == time_point{26'500ns});
    }
    {
        // The nominal rate comes back, and links of one network have each their own.
        sim_rig r(nodes({{}}),
                  {.rate = per_ns, .drift = {{time_point{5us}, 0.5}, {time_point{9us}, 1}}});
        r.hold(1, 10'000);
        const auto a = r.get(1, 10'000);  // 5 000 + 2 000 + 3 000
        r.time.run_until_idle();
        CHECK(a->at == time_point{12us});
    }
}

TEST_CASE("sim link: gets and puts do not slow each other down") {
    sim_rig r(nodes({{.rate = per_ns, .latency = 5us}}), {.rate = per_ns});
    r.hold(1, 10'000);
    const auto get = r.get(1, 10'000);
    const auto put = r.put(2, 10'000);
    r.time.run_until_idle();
    CHECK(get->at == time_point{15us});
    CHECK(put->at == time_point{15us});
    const sim::link_stats s = r.link().stats();
    CHECK(s.gets == 1);
    CHECK(s.puts == 1);
    CHECK(s.bytes == 10'000);
    CHECK(s.put_bytes == 10'000);
    CHECK(std::abs(s.put_busy_seconds - 10e-6) < 1e-15);
}

TEST_CASE("sim link: a put is visible when it completes, on all its nodes") {
    sim_rig r(nodes({{.latency = 5us}, {.latency = 9us}}, 2), {.rate = per_ns});
    const auto put = r.put(1, 10'000);
    r.time.run_until(time_point{20us});
    CHECK_FALSE(put->done());
    CHECK_FALSE(r.net->holds(block_key::from_u64(1)));
    r.time.run_until_idle();
    // Two copies over one link, and the latency of the one that comes last.
    CHECK(put->code() == code::kOk);
    CHECK((put->at == time_point{25us} || put->at == time_point{29us}));
    CHECK(r.net->holds(block_key::from_u64(1)));
    CHECK(r.net->stats(0).puts == 1);
    CHECK(r.net->stats(1).puts == 1);
    CHECK(r.net->stats(0).bytes_in + r.net->stats(1).bytes_in == 20'000);

    // What is there already is left as it is: a message.
    const auto again = r.put(1, 10'000);
    r.time.run_until_idle();
    CHECK(again->code() == code::kOk);
    CHECK(again->at == put->at + 9us);
    CHECK(r.net->stats(0).bytes_in + r.net->stats(1).bytes_in == 20'000);
}

TEST_CASE("sim link: lookups and removes pass the queues by") {
    sim_rig r(nodes({{.rate = per_ns, .latency = 50us}}));
    r.hold(1, 100'000);
    r.hold(2, 100'000);
    const auto get = r.get(1, 100'000);
    CHECK(r.lookup({1, 3, 2}) == std::vector<std::uint8_t>{1, 0, 1});
    CHECK(r.answered == time_point{50us});
    CHECK(get->at == time_point{150us});

    const block_key keys[] = {block_key::from_u64(2), block_key::from_u64(9)};
    tracked<store_remove> drop(r.time);
    drop.keys = keys;
    r.link().remove(drop);
    r.time.run_until_idle();
    CHECK(drop.status().ok());
    CHECK(drop.at == time_point{200us});
    CHECK(r.lookup({1, 2}) == std::vector<std::uint8_t>{1, 0});
    r.net->forget(block_key::from_u64(1));
    CHECK(r.lookup({1}) == std::vector<std::uint8_t>{0});
    CHECK(r.lookup({}).empty());
}

TEST_CASE("sim link: what is aborted ends at once, and only once") {
    sim_rig r(nodes({{.rate = per_ns, .latency = 5us}}));
    r.hold(1, 10'000);
    const auto get = r.get(1, 10'000);
    const auto other = r.get(1, 10'000);
    const auto put = r.put(2, 10'000);
    const block_key key = block_key::from_u64(1);
    std::uint8_t present = 9;
    tracked<store_lookup> look(r.time);
    look.keys = {&key, 1};
    look.present = {&present, 1};
    r.link().lookup(look);
    r.time.run_until(time_point{1us});
    r.link().abort(*get);
    r.link().abort(*put);
    r.link().abort(look);
    CHECK_FALSE(get->done());  // never inside the call
    r.time.run_until_idle();
    for (const operation* op :
         {static_cast<const operation*>(get.get()), static_cast<const operation*>(put.get()),
          static_cast<const operation*>(&look)}) {
        CHECK(op->status().code() == code::kDeadlineExceeded);
    }
    CHECK(get->times == 1);
    CHECK(put->times == 1);
    CHECK(look.times == 1);
    CHECK(get->at == time_point{1us});
    CHECK(other->at == time_point{25us});  // it keeps its place
    CHECK_FALSE(r.net->holds(block_key::from_u64(2)));
    r.link().abort(*get);  // has completed
    r.time.run_until_idle();
    CHECK(get->times == 1);
}

TEST_CASE("sim link: bad operations are refused") {
    sim_rig r(nodes({{.latency = 5us}}));
    r.hold(1, 100);
    CHECK(r.code_of_get(1, 99) == code::kInvalidArgument);
    CHECK(r.code_of_get(1, 0) == code::kInvalidArgument);
    tracked<store_get> no_key(r.time);
    no_key.into = test::nowhere(100);
    store_get* const gets[] = {&no_key};
    r.link().get(gets);
    const auto no_bytes = r.put(5, 0);
    tracked<store_lookup> look(r.time);
    const block_key key = block_key::from_u64(1);
    look.keys = {&key, 1};
    r.link().lookup(look);
    r.time.run_until_idle();
    CHECK(no_key.code() == code::kInvalidArgument);
    CHECK(no_bytes->code() == code::kInvalidArgument);
    CHECK(look.code() == code::kInvalidArgument);
    CHECK_FALSE(r.link().register_memory({}).ok());
    CHECK(r.link().register_memory(test::nowhere(1)).ok());
}

TEST_CASE("sim link: impossible options are refused by name") {
    sim_rig r(nodes({{}}));
    const auto create = [&r](const sim::link_options& o) {
        return sim::link::create(*r.net, o).status();
    };
    CHECK(refused(create({.rate = -1}), "rate"));
    CHECK(refused(create({.rate = 0.5}), "rate"));
    CHECK(refused(create({.rate = std::nan("")}), "rate"));
    CHECK(refused(create({.rate = INFINITY}), "rate"));
    CHECK(refused(create({.per_operation = -1ns}), "per_operation"));
    CHECK(refused(create({.per_operation = 25h}), "per_operation"));
    CHECK(refused(create({.soft_timeout = 0ns}), "soft_timeout"));
    CHECK(refused(create({.rate = 1e9, .drift = {{time_point{1s}, 0}}}), "drift 0, factor"));
    CHECK(refused(create({.rate = 1e9, .drift = {{time_point{1s}, 1}, {time_point{0s}, 1}}}),
                  "drift 1"));
    CHECK(refused(create({.drift = {{time_point{1s}, 1}}}), "drift"));
}

TEST_CASE("sim link: gets and puts allocate nothing in steady state") {
    sim_rig r(nodes({{.rate = per_ns, .latency = 5us}, {.rate = per_ns, .latency = 6us}}, 2),
              {.rate = per_ns});
    std::vector<sim_rig::get_op> gets;
    std::vector<sim_rig::put_op> puts;
    std::vector<store_get*> to_get;
    std::vector<store_put*> to_put;
    for (std::uint64_t key = 0; key < 100; ++key) {
        gets.push_back(r.get(key, 1'000));
        puts.push_back(r.put(key, 1'000));
        to_get.push_back(gets.back().get());
        to_put.push_back(puts.back().get());
    }
    r.time.run_until_idle();
    const test::allocation_counter count;
    r.link().get(to_get);
    r.link().put(to_put);
    r.time.run_until_idle();
    CHECK(count.allocations() == 0);
    CHECK(gets[99]->times == 2);
    CHECK(gets[99]->code() == code::kOk);
}
