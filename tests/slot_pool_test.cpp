// SPDX-License-Identifier: Apache-2.0
#include <sluice/kv/slot_pool.hpp>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <vector>

#include <catch2/catch_test_macros.hpp>

namespace {

using sluice::eviction_order;
using sluice::no_slot;
using sluice::slot_id;
using sluice::slot_pool;
using left = slot_pool::left;

slot_id take_next(slot_pool& pool, slot_id last) {
    const slot_id s = pool.next(last);
    REQUIRE(s != no_slot);
    pool.take(s, 0);
    return s;
}

/// All slots of a pool become cold, in the order of `order`.
void fill(slot_pool& pool, const std::vector<slot_id>& order) {
    while (pool.free() > 0) {
        pool.set_whole(take_next(pool, no_slot), true);
    }
    for (const slot_id s : order) {
        pool.release(s);
    }
}

std::vector<slot_id> up_to(slot_id n) {
    std::vector<slot_id> slots(n);
    for (slot_id s = 0; s < n; ++s) {
        slots[s] = s;
    }
    return slots;
}

TEST_CASE("slot pool: a free slot behind the last one is next", "[slot_pool]") {
    slot_pool pool(8);
    slot_id last = no_slot;
    for (slot_id s = 0; s < 8; ++s) {
        last = take_next(pool, last);
        CHECK(last == s);
    }
    CHECK(pool.next(last) == no_slot);
    CHECK(pool.release(5) == left::freed);
    CHECK(pool.release(2) == left::freed);
    CHECK(pool.release(6) == left::freed);
    CHECK(take_next(pool, 4) == 5);
    CHECK(take_next(pool, 5) == 6);
    CHECK(take_next(pool, 7) == 2);  // nothing is behind the last slot
    CHECK(pool.next(2) == no_slot);
}

TEST_CASE("slot pool: a new run begins where it can become long", "[slot_pool]") {
    slot_pool pool(64);
    const slot_id first = take_next(pool, no_slot);
    const slot_id other = take_next(pool, no_slot);
    CHECK(first == 0);
    CHECK(other > first + 8);  // room for both
    CHECK(other < 64 - 8);
    for (slot_id s = first; s + 1 < other;) {
        const slot_id behind = take_next(pool, s);
        CHECK(behind == s + 1);
        s = behind;
    }
    CHECK(take_next(pool, other) == other + 1);

    slot_pool gap(64);
    fill(gap, {});
    for (const slot_id s : {40U, 43U, 42U, 41U}) {
        gap.set_whole(s, false);
        gap.release(s);
    }
    gap.set_whole(39, true);
    gap.release(39);
    CHECK(gap.next(no_slot) == 40);  // the begin of what is free, though 41 became free last
}

TEST_CASE("slot pool: nothing is given up while a slot is free", "[slot_pool]") {
    slot_pool pool(16);
    fill(pool, up_to(16));
    pool.retain(9);
    pool.set_whole(9, false);
    pool.release(9);
    CHECK(pool.next(3) == 9);
    CHECK(take_next(pool, no_slot) == 9);
    CHECK(pool.next(3) == 4);
}

TEST_CASE("slot pool: cold neighbours go together if they are old enough", "[slot_pool]") {
    slot_pool pool(30);
    std::vector<slot_id> order = up_to(30);  // the last ten become cold first
    std::rotate(order.begin(), order.begin() + 20, order.end());
    fill(pool, order);
    pool.retain(23);
    pool.release(23);
    CHECK(pool.victim() == 20);
    CHECK(take_next(pool, no_slot) == 20);
    CHECK(take_next(pool, 20) == 21);
    CHECK(take_next(pool, 21) == 22);
    const slot_id elsewhere = take_next(pool, 22);  // 23 was used a moment ago
    CHECK(elsewhere > 23);
    pool.release(20);
    CHECK(pool.is_free(20));
    CHECK(take_next(pool, no_slot) == 20);
    CHECK(take_next(pool, 4) == 5);    // cold for about half as long as the oldest
    CHECK(take_next(pool, 17) != 18);  // cold for a tenth of that
}

TEST_CASE("slot pool: what is used or waits for a transfer is not taken", "[slot_pool]") {
    slot_pool pool(6);
    fill(pool, {0, 2, 3, 4, 5});
    CHECK(pool.next(0) == 0);  // 1 is in use; the oldest is
    pool.transfer_begins(1);
    CHECK(pool.release(1) == left::quarantined);
    CHECK(pool.next(0) == 0);
    for (const slot_id s : {0U, 2U, 3U, 4U, 5U}) {
        pool.retain(s);
    }
    CHECK(pool.next(0) == no_slot);
    CHECK(pool.next(no_slot) == no_slot);
    CHECK(pool.transfer_ends(1) == left::cold);
    CHECK(pool.next(0) == 1);
}

/// Gives up the slot that became cold last.
class newest_first final : public eviction_order {
 public:
    void became_cold(slot_id slot) override { cold_.push_back(slot); }
    void no_longer_cold(slot_id slot) noexcept override { std::erase(cold_, slot); }
    [[nodiscard]] slot_id victim() const noexcept override {
        return cold_.empty() ? no_slot : cold_.back();
    }

 private:
    std::vector<slot_id> cold_;
};

TEST_CASE("slot pool: an order of the user's is kept exactly", "[slot_pool]") {
    slot_pool pool(8, std::make_unique<newest_first>());
    std::vector<slot_id> order{3, 4, 0, 7, 1, 6, 2, 5};
    fill(pool, order);
    for (slot_id last = no_slot; !order.empty(); order.pop_back()) {
        last = take_next(pool, last);
        CHECK(last == order.back());
    }
    CHECK(pool.next(0) == no_slot);
}

}  // namespace
