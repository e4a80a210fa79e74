// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/base/checksum.hpp>
#include <sluice/coro/virtual_loop.hpp>

#include "node/intake.hpp"

namespace node = sluice::node;
namespace wire = sluice::wire;
using bytes = std::vector<std::byte>;

namespace {

constexpr std::size_t mib = 1 << 20;

sluice::block_key key_of(std::uint64_t n) {
    return *sluice::block_key::from_bytes(std::as_bytes(std::span(&n, 1)));
}

struct bench {
    bytes memory = bytes(64 * mib);
    sluice::virtual_loop loop;
    node::block_pool pool{{memory, 16 * mib, std::chrono::seconds(10)}};
    node::node_metrics counts;
    node::intake intake{loop, pool, memory, counts};
    std::string order;  // in which clients are answered
};

struct customer final : node::intake::client {
    customer(bench& b, char n, std::uint64_t o, std::size_t size)
        : client(b.intake), on(b), name(n), owner(o), staging(size) {
        for (std::size_t i = 0; i < size; ++i) {
            staging[i] = static_cast<std::byte>(i * 7 + o);
        }
    }
    void on_committed(const node::intake::commit_job& done) override {
        on.order += name;
        verdicts = done.answer.verdicts;
    }
    void on_reported(std::uint64_t, const wire::reported& answer) override {
        dropped = answer.dropped;
    }
    std::uint64_t reserve(std::uint64_t key, std::uint64_t length) {
        const std::vector<node::block_pool::wish> wishes{{key_of(key), length}};
        std::vector<node::block_pool::grant> grants(1);
        on.pool.reserve(wishes, owner, on.loop.now(), grants);
        REQUIRE(grants[0].verdict == node::block_pool::verdict::granted);
        return grants[0].token;
    }
    void commit(std::vector<std::uint64_t> tokens, std::size_t length) {
        wire::commit c;
        for (const std::uint64_t token : tokens) {
            c.blocks.push_back(
                {token, 0, sluice::checksum64(std::span(staging).first(length)), false});
        }
        on.intake.commit(*this, 1, std::move(c), owner, staging);
    }
    bench& on;
    char name;
    std::uint64_t owner;
    bytes staging;
    std::vector<wire::commit_verdict> verdicts;
    std::optional<bool> dropped;
};

}  // namespace

TEST_CASE("intake: a long block is not in the way of a short one", "[node]") {
    bench b;
    customer large(b, 'L', 1, 16 * mib);
    customer small(b, 's', 2, 1000);
    large.commit({large.reserve(1, 16 * mib)}, 16 * mib);
    small.commit({small.reserve(2, 1000)}, 1000);
    CHECK(b.order.empty());  // not from inside
    b.loop.run_until_idle();
    CHECK(b.order == "sL");
    const auto place = b.pool.peek(key_of(1));
    REQUIRE(place);
    CHECK(std::equal(large.staging.begin(), large.staging.end(),
                     b.memory.begin() + static_cast<std::ptrdiff_t>(place->offset)));
    CHECK(b.counts.puts.value() == 2);
}

TEST_CASE("intake: many short blocks are not in the way either", "[node]") {
    bench b;
    customer many(b, 'M', 1, 64);
    customer one(b, 'o', 2, 64);
    for (std::uint64_t job = 0; job < 8; ++job) {
        std::vector<std::uint64_t> tokens;
        for (std::uint64_t i = 0; i < wire::max_batch; ++i) {
            tokens.push_back(many.reserve(1000 + job * wire::max_batch + i, 64));
        }
        many.commit(tokens, 64);
    }
    one.commit({one.reserve(1, 64)}, 64);
    b.loop.run_until_idle();
    CHECK(b.order.size() == 9);
    CHECK(b.order.back() == 'M');
}

TEST_CASE("intake: room that is given back on the way is not written to any more", "[node]") {
    bench b;
    customer large(b, 'L', 1, 16 * mib);
    customer other(b, 'o', 2, 1000);
    const std::uint64_t token = large.reserve(1, 16 * mib);
    large.commit({token}, 16 * mib);
    other.commit({other.reserve(2, 1000)}, 1000);
    while (b.order.empty()) {
        REQUIRE(b.loop.run_one());
    }
    REQUIRE(b.order == "o");  // by now a part of the long one has been copied
    const std::uint64_t offset = b.pool.reservation(token, 1)->offset;
    REQUIRE(b.pool.abandon(token, 1));
    const bytes before(b.memory.begin() + static_cast<std::ptrdiff_t>(offset),
                       b.memory.begin() + static_cast<std::ptrdiff_t>(offset + 16 * mib));
    b.loop.run_until_idle();
    CHECK(large.verdicts == std::vector{wire::commit_verdict::unknown});
    CHECK(std::equal(before.begin(), before.end(),
                     b.memory.begin() + static_cast<std::ptrdiff_t>(offset)));
}

TEST_CASE("intake: what is not in staging memory is unknown", "[node]") {
    bench b;
    std::fill(b.memory.begin(), b.memory.end(), std::byte{9});
    const std::uint64_t sum = sluice::checksum64(bytes(1000, std::byte{9}));
    const auto verdict_of = [&](customer& c, std::uint64_t staging_offset) {
        const std::uint64_t token = c.reserve(1, 1000);
        wire::commit r;
        r.blocks = {{token, staging_offset, sum, false}};
        b.intake.commit(c, 1, std::move(r), c.owner, c.staging);
        b.loop.run_until_idle();
        CHECK_FALSE(b.pool.reservation(token, c.owner));
        return c.verdicts.at(0);
    };
    customer has_none(b, 'n', 1, 0);
    CHECK(verdict_of(has_none, 0) == wire::commit_verdict::unknown);
    CHECK(verdict_of(has_none, mib) == wire::commit_verdict::unknown);
    customer has_little(b, 'l', 2, 999);
    CHECK(verdict_of(has_little, 0) == wire::commit_verdict::unknown);
    customer has_enough(b, 'e', 3, 1000);
    CHECK(verdict_of(has_enough, 1) == wire::commit_verdict::unknown);
    CHECK(verdict_of(has_enough, wire::max_pool_bytes - 1) == wire::commit_verdict::unknown);
    CHECK(verdict_of(has_enough, 0) == wire::commit_verdict::damaged);
    CHECK(b.counts.puts.value() == 0);
}

TEST_CASE("intake: who leaves is forgotten", "[node]") {
    bench b;
    customer stays(b, 's', 1, 1000);
    {
        customer leaves(b, 'L', 2, 16 * mib);
        leaves.commit({leaves.reserve(1, 16 * mib)}, 16 * mib);
        stays.commit({stays.reserve(2, 1000)}, 1000);
        while (b.order.empty()) {
            REQUIRE(b.loop.run_one());
        }
    }
    b.loop.run_until_idle();
    CHECK(b.order == "s");
    CHECK_FALSE(b.pool.contains(key_of(1)));
}

TEST_CASE("intake: a reported block goes only if it is damaged and still the same", "[node]") {
    bench b;
    customer c(b, 'c', 1, 6 * mib);
    c.commit({c.reserve(1, 6 * mib)}, 6 * mib);
    b.loop.run_until_idle();
    const node::block_place place = *b.pool.peek(key_of(1));
    wire::report r;
    r.key = key_of(1);
    const auto reported = [&](std::uint64_t generation) {
        r.generation = generation;
        c.dropped.reset();
        b.intake.report(c, 2, r);
        b.loop.run_until_idle();
        return *c.dropped;
    };
    CHECK_FALSE(reported(place.generation));
    b.memory[place.offset + 6 * mib - 1] ^= std::byte{1};
    CHECK_FALSE(reported(place.generation + 1));
    CHECK(b.pool.contains(key_of(1)));
    CHECK(reported(place.generation));
    CHECK_FALSE(b.pool.contains(key_of(1)));
    CHECK(b.counts.damaged.value() == 1);
    CHECK_FALSE(reported(place.generation));
}
