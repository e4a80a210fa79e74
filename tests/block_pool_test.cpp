// SPDX-License-Identifier: Apache-2.0
#include "../src/node/block_pool.hpp"

#include <initializer_list>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/base/bytes.hpp>

using namespace sluice;
using namespace std::chrono_literals;
using node::block_pool;
using verdict = block_pool::verdict;
using committed = block_pool::committed;
using grants = std::vector<block_pool::grant>;

namespace {

constexpr std::uint64_t me = 7;

block_key key_of(std::uint64_t n) { return block_key::from_u64(n); }

/// A pool on memory that is never touched, and its time.
struct pool_fixture {
    pool_fixture(std::uint64_t bytes, std::uint64_t slab_bytes, duration lease = 10s)
        : memory(std::make_unique_for_overwrite<std::byte[]>(bytes)),
          pool({.memory = {memory.get(), bytes}, .slab_bytes = slab_bytes, .lease = lease}) {}

    /// Keys `from` to `to` - 1, all of one length.
    grants reserve(std::uint64_t from, std::uint64_t to, std::uint64_t length,
                   std::uint64_t owner = me) {
        std::vector<block_pool::wish> wishes;
        for (std::uint64_t k = from; k < to; ++k) {
            wishes.push_back({key_of(k), length});
        }
        grants out(wishes.size());
        pool.reserve(wishes, owner, now, out);
        return out;
    }
    /// Reserves and commits; \return the offsets of what was granted.
    std::vector<std::uint64_t> put(std::uint64_t from, std::uint64_t to, std::uint64_t length,
                                   std::uint64_t owner = me) {
        std::vector<std::uint64_t> offsets;
        for (const auto& g : reserve(from, to, length, owner)) {
            if (g.verdict == verdict::granted) {
                CHECK(pool.commit(g.token, owner, 0, now) == committed::stored);
                offsets.push_back(g.offset);
            }
        }
        return offsets;
    }
    /// By somebody who has put nothing before.
    verdict put_one(std::uint64_t key, std::uint64_t length) {
        ++stranger;
        const auto g = reserve(key, key + 1, length, stranger).front();
        if (g.verdict == verdict::granted) {
            CHECK(pool.commit(g.token, stranger, 0, now) == committed::stored);
        }
        return g.verdict;
    }
    bool find(std::uint64_t key, bool lease) {
        return pool.find(key_of(key), now, lease).has_value();
    }
    std::set<std::uint64_t> present(std::uint64_t from, std::uint64_t to) {
        std::set<std::uint64_t> out;
        for (std::uint64_t k = from; k < to; ++k) {
            if (pool.contains(key_of(k))) {
                out.insert(k);
            }
        }
        return out;
    }

    std::unique_ptr<std::byte[]> memory;
    block_pool pool;
    time_point now{};
    std::uint64_t stranger = 1000;
};

/// How many pieces the offsets are in, of neighbours with ascending places.
std::size_t runs(std::span<const std::uint64_t> offsets, std::uint64_t length) {
    std::size_t n = offsets.empty() ? 0 : 1;
    for (std::size_t i = 1; i < offsets.size(); ++i) {
        n += offsets[i] == offsets[i - 1] + length ? 0 : 1;
    }
    return n;
}

using key_set = std::set<std::uint64_t>;

}  // namespace

TEST_CASE("block_pool: what is committed is found where it was granted", "[node]") {
    pool_fixture f(64 * kib, 4 * kib);
    const auto g = f.reserve(1, 2, 1000);
    REQUIRE(g[0].verdict == verdict::granted);
    CHECK(g[0].length == 1000);
    CHECK_FALSE(f.find(1, true));
    CHECK_FALSE(f.pool.contains(key_of(1)));
    const auto asked = f.pool.reservation(g[0].token, me);
    REQUIRE(asked);
    CHECK((asked->offset == g[0].offset && asked->length == 1000));
    CHECK(f.pool.stats().reserved == 1024);

    CHECK(f.pool.commit(g[0].token, me, 99, f.now) == committed::stored);
    const auto found = f.pool.find(key_of(1), f.now, true);
    REQUIRE(found);
    CHECK(found->offset == g[0].offset);
    CHECK(found->length == 1000);
    CHECK(found->checksum == 99);
    CHECK(f.pool.peek(key_of(1))->generation == found->generation);
    CHECK(f.pool.stats().blocks == 1);
    CHECK(f.pool.stats().bytes == 1000);
    CHECK(f.pool.stats().reserved == 0);
    CHECK(f.reserve(1, 2, 1000)[0].verdict == verdict::exists);

    CHECK(f.pool.remove(key_of(1), f.now));
    CHECK_FALSE(f.pool.remove(key_of(1), f.now));
    CHECK_FALSE(f.find(1, true));
    CHECK(f.put_one(1, 1000) == verdict::granted);
    CHECK(f.pool.peek(key_of(1))->generation != found->generation);
}

TEST_CASE("block_pool: sizes", "[node]") {
    pool_fixture f(64 * kib, 4 * kib);
    CHECK(f.pool.largest_block() == 4 * kib);
    CHECK(f.pool.stats().capacity == 64 * kib);
    CHECK(f.put_one(1, 4 * kib + 1) == verdict::too_large);
    CHECK(f.put_one(2, 4 * kib) == verdict::granted);
    CHECK(f.put_one(3, 1) == verdict::granted);
    CHECK(f.pool.peek(key_of(3))->length == 1);
    CHECK(f.pool.stats().refused == 1);

    const auto slab_of = [](std::uint64_t bytes, std::uint64_t slab_bytes) {
        return pool_fixture(bytes, slab_bytes).pool.largest_block();
    };
    CHECK(slab_of(8 * gib, 0) == 64 * mib);  // at most about that
    CHECK(slab_of(1 * gib, 0) == 16 * mib);  // a 64th
    CHECK(slab_of(64 * mib, 0) == 4 * mib);
    CHECK(slab_of(11 * mib, 0) == 11 * mib / 2 / 64 * 64);
    CHECK(slab_of(1 * mib + 63, 0) == 1 * mib);
    CHECK(slab_of(1 * mib, 100) == 128);
    CHECK(slab_of(1 * kib, 1 * mib) == 1 * kib);
    CHECK(slab_of(63, 0) == 0);
    pool_fixture nothing(63, 0);
    CHECK(nothing.put_one(1, 1) == verdict::too_large);
}

TEST_CASE("block_pool: reservations belong to their owner", "[node]") {
    pool_fixture f(16 * kib, 4 * kib);
    const auto g = f.reserve(1, 4, 1024, 1);
    for (const std::uint64_t token : {g[0].token, std::uint64_t{0}, ~std::uint64_t{0}}) {
        CHECK(f.pool.commit(token, 2, 0, f.now) == committed::unknown);
        CHECK_FALSE(f.pool.abandon(token, 2));
        CHECK_FALSE(f.pool.reservation(token, 2));
    }
    CHECK(f.pool.commit(g[0].token + (std::uint64_t{1} << 32), 1, 0, f.now) == committed::unknown);
    f.pool.abandon_all(2);
    CHECK(f.pool.stats().reserved == 3072);

    CHECK(f.pool.abandon(g[0].token, 1));
    CHECK_FALSE(f.pool.abandon(g[0].token, 1));
    CHECK(f.pool.commit(g[0].token, 1, 0, f.now) == committed::unknown);
    CHECK(f.pool.commit(g[1].token, 1, 0, f.now) == committed::stored);
    CHECK(f.pool.commit(g[1].token, 1, 0, f.now) == committed::unknown);
    f.pool.abandon_all(1);
    CHECK(f.pool.commit(g[2].token, 1, 0, f.now) == committed::unknown);
    CHECK(f.present(0, 9) == key_set{2});
    CHECK(f.pool.stats().reserved == 0);
}

TEST_CASE("block_pool: of two who put the same key the first to commit wins", "[node]") {
    pool_fixture f(16 * kib, 4 * kib);
    const auto a = f.reserve(1, 2, 1024, 1);
    const auto b = f.reserve(1, 2, 1024, 2);
    REQUIRE(b[0].verdict == verdict::granted);
    CHECK(a[0].offset != b[0].offset);
    CHECK(f.pool.commit(b[0].token, 2, 22, f.now) == committed::stored);
    CHECK(f.pool.commit(a[0].token, 1, 11, f.now) == committed::exists);
    CHECK(f.pool.peek(key_of(1))->checksum == 22);
    CHECK(f.pool.stats().reserved == 0);
    CHECK(f.pool.stats().blocks == 1);
}

TEST_CASE("block_pool: only the generation that was meant is dropped", "[node]") {
    pool_fixture f(16 * kib, 4 * kib);
    f.put(1, 2, 1024);
    const std::uint64_t first = f.pool.peek(key_of(1))->generation;
    CHECK(f.pool.remove(key_of(1), f.now));
    f.put(1, 2, 1024);
    CHECK_FALSE(f.pool.drop(key_of(1), first, f.now));
    CHECK_FALSE(f.pool.drop(key_of(2), first, f.now));
    CHECK(f.pool.drop(key_of(1), f.pool.peek(key_of(1))->generation, f.now));
    CHECK(f.present(0, 9).empty());
}

TEST_CASE("block_pool: the least recently used goes first", "[node]") {
    pool_fixture f(4 * kib, 4 * kib, 0s);
    f.put(0, 4, 1024);
    CHECK(f.find(0, false));
    CHECK(f.pool.peek(key_of(1)));  // no use
    CHECK(f.reserve(2, 3, 1024)[0].verdict == verdict::exists);
    CHECK(f.put_one(4, 1024) == verdict::granted);
    CHECK(f.put_one(5, 1024) == verdict::granted);
    CHECK(f.present(0, 9) == key_set{0, 2, 4, 5});
    CHECK(f.find(0, true));  // a lease of no length holds nothing
    CHECK(f.put(6, 9, 1024).size() == 3);
    CHECK(f.present(0, 9) == key_set{0, 6, 7, 8});
    CHECK(f.pool.stats().evicted == 5);
}

TEST_CASE("block_pool: what is under a lease stays", "[node]") {
    pool_fixture f(4 * kib, 4 * kib);
    f.put(0, 4, 1024);
    CHECK(f.find(0, true));
    f.now += 5s;
    CHECK(f.find(1, true));
    CHECK(f.find(0, false));  // does not shorten it
    // 2 and 3 can go, the others not.
    CHECK(f.put(10, 14, 1024).size() == 2);
    CHECK(f.present(0, 20) == key_set{0, 1, 10, 11});
    CHECK(f.find(10, true));
    CHECK(f.find(11, true));
    CHECK(f.put_one(20, 1024) == verdict::no_room);
    CHECK(f.put_one(20, 4096) == verdict::no_room);
    CHECK(f.pool.stats().refused == 4);
    f.now += 5s - 1ns;
    CHECK(f.put_one(20, 1024) == verdict::no_room);
    f.now += 1ns;
    CHECK(f.put_one(20, 1024) == verdict::granted);
    CHECK(f.present(0, 30) == key_set{1, 10, 11, 20});
    CHECK(f.put_one(21, 1024) == verdict::granted);  // in the place of 20, which nobody has read
    CHECK(f.present(0, 30) == key_set{1, 10, 11, 21});
}

TEST_CASE("block_pool: a removed block is not rewritten under its lease", "[node]") {
    pool_fixture f(4 * kib, 4 * kib);
    const auto at = f.put(0, 4, 1024);
    CHECK(f.find(1, true));
    CHECK(f.pool.remove(key_of(1), f.now));
    CHECK(f.pool.remove(key_of(2), f.now));
    CHECK(f.pool.stats().limbo == 1024);
    CHECK(f.reserve(12, 13, 1024)[0].offset == at[2]);
    f.put_one(1, 1024);  // again, while the old one may be read; 0 goes for it
    CHECK(f.pool.peek(key_of(1))->offset == at[0]);
    CHECK(f.present(0, 20) == key_set{1, 3});
    f.now += 10s;
    CHECK(f.reserve(14, 15, 1024)[0].offset == at[1]);
    CHECK(f.pool.stats().limbo == 0);
}

TEST_CASE("block_pool: slabs go to other sizes whole, the longest unused first", "[node]") {
    pool_fixture f(12 * kib, 4 * kib);
    f.put(0, 4, 1024);
    f.put(10, 12, 2048);
    f.put(20, 21, 4096);
    CHECK(f.find(0, false));
    // A size that has nothing: the slab of 10 and 11 is the one used longest ago.
    CHECK(f.put_one(30, 512) == verdict::granted);
    CHECK(f.present(0, 40) == key_set{0, 1, 2, 3, 20, 30});
    CHECK(f.pool.stats().evicted == 2);
    // One that has older blocks than any other slab keeps to its own.
    CHECK(f.find(20, true));
    CHECK(f.put_one(4, 1024) == verdict::granted);
    CHECK(f.present(0, 40) == key_set{0, 2, 3, 4, 20, 30});
    // Leases and reservations hold a whole slab.
    CHECK(f.find(3, true));
    const auto g = f.reserve(31, 32, 512);
    CHECK(f.put_one(10, 2048) == verdict::no_room);
    f.pool.abandon_all(me);
    CHECK(f.put_one(10, 2048) == verdict::granted);
    CHECK(f.present(0, 40) == key_set{0, 2, 3, 4, 10, 20});
    // A size that is used grows at the cost of one that is not.
    f.now += 10s;
    CHECK(f.put(40, 46, 2048).size() == 6);
    CHECK(f.present(0, 50) == key_set{40, 41, 42, 43, 44, 45});
}

TEST_CASE("block_pool: blocks that are put together are neighbours", "[node]") {
    pool_fixture f(1 * mib, 256 * kib);
    // In one call, and in the calls after it, with another owner and another size in between.
    std::vector<std::uint64_t> mine = f.put(0, 16, 1024, 1);
    std::vector<std::uint64_t> other = f.put(100, 110, 1024, 2);
    f.put(200, 210, 4096, 1);
    for (std::uint64_t k = 0; k < 3; ++k) {
        const auto more = f.put(16 + k * 16, 32 + k * 16, 1024, 1);
        mine.insert(mine.end(), more.begin(), more.end());
        const auto others = f.put(110 + k * 10, 120 + k * 10, 1000, 2);  // the same slots
        other.insert(other.end(), others.begin(), others.end());
    }
    CHECK(mine.size() == 64);
    CHECK(runs(mine, 1024) == 1);
    CHECK(other.size() == 40);
    CHECK(runs(other, 1024) == 1);

    // Sizes that alternate in one call: each is together.
    std::vector<block_pool::wish> wishes;
    for (std::uint64_t k = 0; k < 20; ++k) {
        wishes.push_back({key_of(1000 + k), k % 2 == 0 ? 1024u : 4096u});
    }
    grants g(wishes.size());
    f.pool.reserve(wishes, 3, f.now, g);
    for (std::size_t k = 2; k < g.size(); ++k) {
        CHECK(g[k].offset == g[k - 2].offset + g[k].length);
    }
    // More than a slab has: whole slabs.
    pool_fixture whole(64 * kib, 8 * kib);
    CHECK(runs(whole.put(0, 64, 1024), 1024) == 1);
    CHECK(whole.pool.stats().evicted == 0);
}

TEST_CASE("block_pool: neighbours in a full pool", "[node]") {
    pool_fixture f(16 * kib, 16 * kib);
    f.put(0, 16, 1024, 1);
    // Somebody else goes on behind what he put last, call by call.
    const auto a = f.put(100, 104, 1024, 2);
    const auto b = f.put(104, 108, 1024, 2);
    CHECK(a == std::vector<std::uint64_t>{0, 1 * kib, 2 * kib, 3 * kib});
    CHECK(b == std::vector<std::uint64_t>{4 * kib, 5 * kib, 6 * kib, 7 * kib});
    CHECK(f.present(0, 20) == key_set{8, 9, 10, 11, 12, 13, 14, 15});
    // 8 is the oldest but has young neighbours: 11 to 13 go together, and 8 stays.
    for (std::uint64_t k : {9u, 10u, 14u, 15u, 9u, 10u, 14u, 15u}) {
        CHECK(f.find(k, false));
    }
    CHECK(f.put(200, 203, 1024, 3).front() == 11 * kib);
    CHECK(f.present(0, 20) == key_set{8, 9, 10, 14, 15});
    CHECK(f.pool.stats().evicted == 11);
}

TEST_CASE("block_pool: few long runs rather than many holes", "[node]") {
    pool_fixture f(64 * kib, 64 * kib);
    f.put(0, 64, 1024);
    for (const std::uint64_t k : {1u, 3u, 5u, 10u, 11u, 12u, 13u, 20u, 21u, 40u, 41u, 42u}) {
        CHECK(f.pool.remove(key_of(k), f.now));
    }
    for (std::uint64_t k = 0; k < 64; ++k) {
        static_cast<void>(f.find(k, true));  // nothing can go
    }
    const auto places = [&](std::uint64_t from, std::uint64_t to, std::uint64_t owner) {
        std::vector<std::uint64_t> offsets;
        for (const auto& g : f.reserve(from, to, 1024, owner)) {
            if (g.verdict == verdict::granted) {
                offsets.push_back(g.offset);
            }
        }
        return offsets;
    };
    CHECK(places(100, 102, 1) == std::vector<std::uint64_t>{20 * kib, 21 * kib});
    CHECK(runs(places(110, 116, 2), 1024) == 2);
    CHECK(places(120, 128, 3).size() == 4);
    CHECK(f.pool.stats().refused == 4);
    CHECK(f.pool.stats().evicted == 0);
}
