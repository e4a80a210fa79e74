// SPDX-License-Identifier: Apache-2.0
// The residency index and the sets of blocks, against plain containers.
#include <sluice/kv/block_table.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <random>
#include <set>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>
#include <catch2/generators/catch_generators.hpp>
#include <catch2/generators/catch_generators_range.hpp>

#include <sluice/kv/block_set.hpp>

namespace {

using sluice::block_key;
using sluice::block_set;
using sluice::block_table;

TEST_CASE("block_table: finds what is named or held, whatever came and went", "[block_table]") {
    const std::uint64_t seed = GENERATE(range(1, 21));
    CAPTURE(seed);
    std::minstd_rand random(static_cast<std::minstd_rand::result_type>(seed));
    block_table table;
    using name = std::pair<std::uint64_t, std::uint8_t>;
    std::map<name, std::pair<std::uint32_t, std::uint32_t>> known;  // entry, users
    for (int step = 0; step < 20'000; ++step) {
        // Tides: it grows to hundreds and shrinks again, so that gaps are closed everywhere.
        const bool grows = random() % 100 < (step / 2'000 % 2 == 0 ? 70U : 30U);
        if (grows) {
            const name n{random() % 700, static_cast<std::uint8_t>(random() % 3)};
            const std::uint32_t entry = table.intern(block_key::from_u64(n.first), n.second);
            const auto [at, fresh] = known.try_emplace(n, entry, 0U);
            REQUIRE(at->second.first == entry);
            ++at->second.second;
            REQUIRE(table[entry].users == at->second.second);
            REQUIRE(table[entry].key == block_key::from_u64(n.first));
            REQUIRE(table[entry].group == n.second);
        } else if (!known.empty()) {
            auto at = known.lower_bound({random() % 700, 0});
            at = at == known.end() ? known.begin() : at;
            table.release(at->second.first);
            if (--at->second.second == 0) {
                known.erase(at);
            }
        }
        REQUIRE(table.size() == known.size());
    }
    for (const auto& [n, was] : known) {
        REQUIRE(table.intern(block_key::from_u64(n.first), n.second) == was.first);
    }
    REQUIRE(table.size() == known.size());
}

TEST_CASE("block_table: a block that a slot holds outlives those who name it", "[block_table]") {
    block_table table;
    const block_key key = block_key::from_u64(7);
    const std::uint32_t entry = table.intern(key, 0);
    table[entry].l2_slot = 3;
    table.release(entry);
    CHECK(table.size() == 1);
    CHECK(table.intern(key, 0) == entry);
    table.release(entry);
    table[entry].l2_slot = sluice::no_slot;
    table.forget_if_unused(entry);
    CHECK(table.size() == 0);
}

TEST_CASE("block_set: smallest, largest and the one before", "[block_set]") {
    const std::uint32_t room = GENERATE(1U, 63U, 64U, 65U, 300U);
    CAPTURE(room);
    std::minstd_rand random(room);
    block_set set;
    set.resize(room);
    std::set<std::uint32_t> plain;
    for (int step = 0; step < 3'000; ++step) {
        const auto i = static_cast<std::uint32_t>(random() % room);
        if (random() % 2 == 0) {
            REQUIRE(set.insert(i) == plain.insert(i).second);
        } else {
            REQUIRE(set.erase(i) == (plain.erase(i) > 0));
        }
        REQUIRE(set.size() == plain.size());
        REQUIRE(set.first() == (plain.empty() ? block_set::none : *plain.begin()));
        REQUIRE(set.last() == (plain.empty() ? block_set::none : *plain.rbegin()));
        const auto j = static_cast<std::uint32_t>(random() % (room + 1));
        const auto after = plain.lower_bound(j);
        REQUIRE(set.before(j) == (after == plain.begin() ? block_set::none : *std::prev(after)));
    }
}

}  // namespace
