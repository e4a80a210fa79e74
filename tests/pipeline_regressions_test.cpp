// SPDX-License-Identifier: Apache-2.0
// What random histories have found, one directed test each.
#include <sluice/pipeline.hpp>

#include <algorithm>
#include <chrono>
#include <memory>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/sched/policy_registry.hpp>
#include <sluice/stage/block_stage.hpp>

#include "support/rig.hpp"

namespace sluice {
namespace {

using std::chrono::microseconds;
using std::chrono::milliseconds;
using test::rig;

constexpr double slow_link = 1e6;  // a block in 4 ms

const request_event* outcome_of(const std::vector<request_event>& events, request_handle h) {
    const auto at = std::ranges::find_if(
        events, [h](const request_event& e) { return e.request == h && is_outcome(e.kind); });
    return at == events.end() ? nullptr : &*at;
}

bool is_gone(const rig& r, request_handle h) {
    return r.pipe->report(h).status().code() == absl::StatusCode::kNotFound;
}

/// Closes, and looks whether every slot is back.
void close_and_check(rig& r) {
    r.close();
    CHECK(r.pipe->closed());
    const pipeline_stats s = r.pipe->stats();
    CHECK(s.live_requests == 0);
    CHECK(s.l2_free + s.l2_cold == s.l2_slots);
}

/// Passes blocks on after a while.
class slow_stage final : public block_stage {
 public:
    slow_stage(loop& home, duration takes) : home_(home), takes_(takes) {}
    [[nodiscard]] std::string_view name() const noexcept override { return "slow"; }
    void start(std::span<block_op* const> ops) noexcept override {
        for (block_op* const op : ops) {
            pending_.push_back(std::make_unique<running>(*op));
            home_.arm(*pending_.back(), home_.now() + takes_);
        }
    }

 private:
    struct running : timer {
        explicit running(block_op& o)
            : timer([](timer& t) noexcept {
                  static_cast<running&>(t).op.complete(absl::OkStatus());
              }),
              op(o) {}
        block_op& op;
    };
    loop& home_;
    duration takes_;
    std::vector<std::unique_ptr<running>> pending_;  // kept: timers must not move
};

TEST_CASE("regression: a fresh pipeline says what is free") {
    rig r({});
    r.open(r.options());
    const pipeline_stats s = r.pipe->stats();
    CHECK(s.l2_free == s.l2_slots);
    CHECK(s.l1_free == 64);
    r.close();
}

TEST_CASE("regression: a key named twice is in both of its pages") {
    rig r({});
    r.fill(7, 1);
    r.open(r.options());
    const std::vector<block_key> keys(2, block_key::from_u64(7));
    request_spec spec;
    spec.keys = keys;
    spec.prompt_tokens = 33;
    const request_handle h = *r.pipe->submit(spec);
    const auto events = r.run();
    REQUIRE(outcome_of(events, h) != nullptr);
    CHECK(outcome_of(events, h)->blocks == 2);
    const auto pages = *r.pipe->pages(h);
    CHECK(r.page_holds(pages[0], 7));
    CHECK(r.page_holds(pages[1], 7));
    CHECK(r.pipe->release(h).ok());
    close_and_check(r);
    CHECK(r.pipe->stats().l1_free + r.pipe->stats().l1_cold == 64);
}

TEST_CASE("regression: a load timeout does not take compute from the library") {
    rig r({.link_rate = slow_link, .library_owned = false});
    r.fill(1, 4);
    auto options = r.options();
    options.load_timeout = milliseconds(10);
    r.open(std::move(options));
    const request_handle h = r.submit(1, 4);
    r.loop.advance(milliseconds(1));
    CHECK(r.poll().size() == 1);  // want_pages
    const std::vector<slot_id> pages{0, 1, 2, 3, 4};
    CHECK(r.pipe->bind(h, pages).ok());
    const auto events = r.run();
    REQUIRE(outcome_of(events, h) != nullptr);
    CHECK(outcome_of(events, h)->kind == event_kind::computed);
    CHECK(outcome_of(events, h)->blocks == 2);
    close_and_check(r);
}

TEST_CASE("regression: what a load timeout keeps is usable in every group") {
    rig r({.link_rate = slow_link, .library_owned = false, .library_computes = false});
    std::vector<std::byte> window(std::size_t{4096} * 64);
    group_layout all = r.l1->groups()[0];
    group_layout last;
    last.rule = hit_rule::last_n;
    last.last_n = 1;
    last.regions.push_back({reinterpret_cast<std::uintptr_t>(window.data()), 4096, 4096, 64, 0});
    r.l1.emplace(*layout::create({all, last}));
    r.fill(1, 4);
    r.fill(101, 4);
    auto options = r.options();
    options.load_timeout = milliseconds(14);  // three of the four blocks, none of the window
    r.open(std::move(options));
    std::vector<block_key> keys = rig::keys(1, 4);
    const std::vector<block_key> more = rig::keys(101, 4);
    keys.insert(keys.end(), more.begin(), more.end());
    request_spec spec;
    spec.keys = keys;
    spec.prompt_tokens = 65;
    const request_handle h = *r.pipe->submit(spec);
    r.loop.advance(milliseconds(1));
    const std::vector<slot_id> pages{0, 1, 2, 3, 4, 0, 1, 2, 3, 4};
    CHECK(r.pipe->bind(h, pages).ok());
    const auto events = r.run();
    REQUIRE(outcome_of(events, h) != nullptr);
    CHECK(outcome_of(events, h)->kind == event_kind::detached);
    CHECK(outcome_of(events, h)->blocks == 0);
    r.close();
}

TEST_CASE("regression: without a store, what another one left in L2 is stored") {
    rig r({});
    auto options = r.options();
    options.store = nullptr;
    r.open(std::move(options));
    const request_handle a = r.submit(1, 1);
    const request_handle b = r.submit(1, 1);
    const auto events = r.run();
    CHECK(outcome_of(events, a) != nullptr);
    CHECK(outcome_of(events, b) != nullptr);
    CHECK(r.pipe->stats().stored_blocks == 1);
    close_and_check(r);
}

TEST_CASE("regression: an L1 holder gets an L2 slot as soon as its transfer is over") {
    rig r({.l2_blocks = 1, .link_rate = slow_link, .library_owned = false});
    r.fill(1, 2);
    r.open(r.options());
    const request_handle never_bound = r.submit(1, 1);
    const request_handle b = r.submit(2, 1);
    r.loop.advance(milliseconds(1));
    CHECK(r.pipe->bind(b, std::vector<slot_id>{0, 1}).ok());
    const auto events = r.run();
    CHECK(outcome_of(events, b) != nullptr);
    CHECK(outcome_of(events, never_bound) == nullptr);
    close_and_check(r);
}

TEST_CASE("regression: who has bound its pages early is an L1 holder") {
    rig r({.l2_blocks = 1, .link_rate = slow_link, .library_owned = false});
    r.fill(1, 3);
    r.open(r.options());
    const request_handle never_bound = r.submit(1, 2);
    const request_handle b = r.submit(3, 1);
    CHECK(r.pipe->bind(b, std::vector<slot_id>{0, 1}).ok());
    const auto events = r.run();
    CHECK(outcome_of(events, b) != nullptr);
    CHECK(outcome_of(events, never_bound) == nullptr);
    close_and_check(r);
}

TEST_CASE("regression: one that gives its pages back stands behind the L1 holders again") {
    rig r({.slots = 10, .l2_blocks = 1, .link_rate = 1e13});
    host_device_options device;
    device.per_operation = microseconds(100);
    r.gpu = *host_device::create(device, &r.loop);
    r.fill(10, 2);
    r.fill(20, 3);
    r.fill(30, 2);
    auto options = r.options();
    options.policy = *make_policy("fair(lstf)");
    r.open(std::move(options));
    std::vector<request_handle> all;
    all.push_back(r.submit(10, 2, 1));
    r.loop.advance(microseconds(3));
    all.push_back(r.submit(20, 3, 1, [](request_spec& s) {
        s.pages = 7;
        s.deadline = time_point{milliseconds(17)};
    }));
    r.loop.advance(microseconds(2));
    all.push_back(r.submit(30, 2, 1, [](request_spec& s) {
        s.tenant = 1;
        s.deadline = time_point{milliseconds(10)};
    }));
    std::size_t ended = 0;
    for (int i = 0; i < 3; ++i) {
        for (const request_event& e : r.run()) {
            ended += is_outcome(e.kind);
            if (is_outcome(e.kind)) {
                CHECK(r.pipe->release(e.request).ok());
            }
        }
    }
    CHECK(ended == 3);
    close_and_check(r);
}

TEST_CASE("regression: a block that is written back need not be fetched by those who wait") {
    rig r({.link_rate = slow_link});
    r.fill(1, 1);
    r.fill(9, 1);
    auto options = r.options();
    options.fetch.operations = 1;
    r.open(std::move(options));
    const request_handle computes =
        r.submit(1, 1, 16, [](request_spec& s) { s.max_load_blocks = 0; });
    const std::vector<block_key> keys{block_key::from_u64(9), block_key::from_u64(1)};
    request_spec spec;
    spec.keys = keys;
    spec.prompt_tokens = 33;
    const request_handle waits = *r.pipe->submit(spec);
    const auto events = r.run();
    CHECK(outcome_of(events, computes) != nullptr);
    REQUIRE(outcome_of(events, waits) != nullptr);
    CHECK(outcome_of(events, waits)->blocks == 2);
    CHECK(r.pipe->stats().fetch.operations == 1);
    close_and_check(r);
}

TEST_CASE("regression: a block that finds no L2 slot on its way back does not keep its request") {
    rig r({.l2_blocks = 1, .link_rate = slow_link});
    r.fill(9, 1);
    auto options = r.options();
    options.write_back_share = 1;
    r.open(std::move(options));
    const request_handle fetches = r.submit(9, 1);
    const request_handle computes = r.submit(1, 1);
    r.loop.advance(milliseconds(1));
    const auto events = r.poll();
    CHECK(outcome_of(events, fetches) == nullptr);
    CHECK(outcome_of(events, computes) != nullptr);
    CHECK(r.pipe->stats().store_drops == 1);
    CHECK(r.pipe->release(computes).ok());
    r.loop.advance(microseconds(1));
    CHECK(is_gone(r, computes));
    close_and_check(r);
}

TEST_CASE(
    "regression: an engine whose pages the library computed in hears that nothing is stored") {
    rig::shape shape;
    shape.library_owned = false;
    rig r(shape);
    r.fill(1, 4);
    r.open(r.options());
    const request_handle h = r.submit(1, 4);
    REQUIRE(r.run().at(0).kind == event_kind::want_pages);
    REQUIRE(r.pipe->bind(h, std::vector<slot_id>{4, 3, 2, 1, 0}).ok());
    const auto events = r.run();
    REQUIRE(events.size() == 3);
    CHECK(events[0].kind == event_kind::loaded);
    CHECK(events[1].kind == event_kind::computed);
    CHECK(events[2].kind == event_kind::stored);
    CHECK(events[2].blocks == 0);
    CHECK(r.pipe->release(h).ok());
    close_and_check(r);
}

TEST_CASE("regression: a stage forgets a request that has nothing more to write back") {
    rig r({});
    host_device_options device;
    device.per_operation = milliseconds(1);
    r.gpu = *host_device::create(device, &r.loop);
    auto options = r.options();
    options.write_back.operations = 1;
    options.concurrent_computes = 2;
    r.open(std::move(options));
    const request_handle later = r.submit(2, 1, 500);  // comes first, but computes longer
    const request_handle first = r.submit(1, 1, 16);
    // When its block has been copied out, the other's copy takes the only credit.
    r.loop.advance(microseconds(1500));
    const auto events = r.poll();
    CHECK(outcome_of(events, first) != nullptr);
    CHECK(r.pipe->release(first).ok());
    r.loop.advance(microseconds(100));
    CHECK(is_gone(r, first));
    r.run();
    CHECK(r.pipe->stats().stored_blocks == 2);
    CHECK(r.pipe->release(later).ok());
    close_and_check(r);
}

TEST_CASE("regression: a block that came when nobody waited any more can be fetched again") {
    rig r({.l2_blocks = 1});
    slow_stage stage(r.loop, milliseconds(1));
    r.fill(1, 2);
    auto options = r.options();
    options.inbound = {&stage};
    r.open(std::move(options));
    const request_handle leaves = r.submit(1, 1);
    r.loop.advance(microseconds(500));  // it is at the stage
    CHECK(r.pipe->cancel(leaves).ok());
    r.run();
    const request_handle evicts = r.submit(2, 1);
    r.run();
    const request_handle again = r.submit(1, 1);
    const auto events = r.run();
    REQUIRE(outcome_of(events, again) != nullptr);
    CHECK(outcome_of(events, again)->blocks == 1);
    CHECK(r.pipe->stats().fetch.operations == 3);
    CHECK(r.pipe->release(evicts).ok());
    close_and_check(r);
}

TEST_CASE("regression: a holder that waits does not overtake behind one that has all it needs") {
    rig::shape shape;
    shape.link_rate = slow_link;
    shape.library_computes = false;
    rig r(shape);
    r.fill(1, 12);
    pipeline_options o = r.options();
    o.policy = *make_policy("fifo");
    o.fetch = {1, 4 * mib};
    r.open(std::move(o));
    const auto submit = [&r](std::uint64_t first, std::uint32_t n, milliseconds arrival) {
        const std::vector<block_key> k = rig::keys(first, n);
        request_spec spec;
        spec.keys = k;
        spec.prompt_tokens = std::uint64_t{n} * 16 + 16;
        spec.arrival = time_point{} + arrival;
        return *r.pipe->submit(spec);
    };
    const request_handle third = submit(1, 6, milliseconds(3));
    r.loop.run_until(r.loop.now() + milliseconds(1));  // its first block is on the way: a holder
    const request_handle second = submit(7, 3, milliseconds(2));
    const request_handle first = submit(10, 2, milliseconds(1));
    r.run();
    CHECK(r.pipe->report(second)->first_fetch == r.pipe->report(first)->fetched);
    CHECK(r.pipe->report(second)->fetched < r.pipe->report(third)->fetched);
    close_and_check(r);
}

/// Remembers the least that a request which had no service was said to have left.
class remaining_watcher final : public policy {
 public:
    explicit remaining_watcher(double& least) : least_(least) {}
    [[nodiscard]] bool ranks_by_service() const noexcept override { return true; }

 private:
    rank_value do_rank(const request_view& r, stage_id, time_point) noexcept override {
        if (r.tenant == 1) {
            least_ = std::min(least_, r.remaining.load() / r.predicted.load());
        }
        return r.remaining.load();
    }

    double& least_;
};

TEST_CASE("regression: a request that is just admitted has all of its loading left") {
    rig r({.link_rate = slow_link});
    r.fill(1, 4);
    r.fill(9, 4);
    double least = 1;
    auto options = r.options();
    options.fetch.operations = 1;
    options.policy = std::make_unique<remaining_watcher>(least);
    r.open(std::move(options));
    const request_handle first = r.submit(1, 4);
    r.loop.advance(milliseconds(1));
    const request_handle second = r.submit(9, 4, 16, [](request_spec& s) { s.tenant = 1; });
    r.loop.advance(milliseconds(1));  // the link is the first one's
    CHECK(least == 1.0);
    const auto events = r.run();
    CHECK(outcome_of(events, first) != nullptr);
    CHECK(outcome_of(events, second) != nullptr);
    CHECK(least < 1.0);
    close_and_check(r);
}

}  // namespace
}  // namespace sluice
