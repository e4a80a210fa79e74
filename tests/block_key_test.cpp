// SPDX-License-Identifier: Apache-2.0
#include <sluice/kv/block_key.hpp>

#include <array>
#include <set>
#include <string>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/base/status.hpp>

using sluice::block_key;
using sluice::chain_key;

namespace {

std::vector<std::byte> bytes_of(std::size_t n, std::uint8_t value = 7) {
    return std::vector<std::byte>(n, std::byte{value});
}

std::string hex(const block_key& key) {
    std::string out;
    for (const std::byte b : key.bytes()) {
        constexpr std::string_view digits = "0123456789abcdef";
        out += digits[std::to_integer<unsigned>(b) >> 4];
        out += digits[std::to_integer<unsigned>(b) & 15];
    }
    return out;
}

}  // namespace

TEST_CASE("block_key: 1 to 32 bytes", "[kv]") {
    for (const std::size_t n : {1u, 8u, 20u, 32u}) {
        const auto key = block_key::from_bytes(bytes_of(n));
        REQUIRE(key.ok());
        CHECK(key->size() == n);
        CHECK_FALSE(key->empty());
        const std::vector<std::byte> back(key->bytes().begin(), key->bytes().end());
        CHECK(back == bytes_of(n));
    }
    for (const std::size_t n : {0u, 33u, 1000u}) {
        const auto key = block_key::from_bytes(bytes_of(n));
        CHECK(key.status().code() == absl::StatusCode::kInvalidArgument);
        CHECK(sluice::message_of(key.status()).find(std::to_string(n)) != std::string_view::npos);
    }
    CHECK(block_key{}.empty());
}

TEST_CASE("block_key: length is part of the name", "[kv]") {
    const auto one = block_key::from_bytes(bytes_of(1, 0));
    const auto two = block_key::from_bytes(bytes_of(2, 0));
    REQUIRE((one.ok() && two.ok()));
    CHECK_FALSE(*one == *two);
    CHECK_FALSE(*one == block_key{});
    CHECK(one->hash() != two->hash());
}

TEST_CASE("block_key: integers are little endian", "[kv]") {
    CHECK(hex(block_key::from_u64(0x0102030405060708u)) == "0807060504030201");
    CHECK(block_key::from_u64(5) == block_key::from_u64(5));
    CHECK_FALSE(block_key::from_u64(5) == block_key::from_u64(6));
}

TEST_CASE("block_key: the hash spreads small integers", "[kv]") {
    // Each key into one of 256 places by its low and by its high bits: 64 expected in each.
    std::array<int, 256> low{};
    std::array<int, 256> high{};
    for (std::uint64_t i = 0; i < 256 * 64; ++i) {
        const std::uint64_t h = block_key::from_u64(i).hash();
        ++low[h & 255];
        ++high[h >> 56];
    }
    for (std::size_t i = 0; i < 256; ++i) {
        CHECK((low[i] > 16 && low[i] < 160));
        CHECK((high[i] > 16 && high[i] < 160));
    }
}

TEST_CASE("chain_key: depends on parent, tokens and their order, nothing else", "[kv]") {
    const std::vector<std::uint32_t> tokens = {1, 2, 3, 4};
    const std::vector<std::uint32_t> swapped = {2, 1, 3, 4};
    const std::vector<std::uint32_t> shorter = {1, 2, 3};
    const auto zero = block_key::from_bytes(bytes_of(1, 0));
    REQUIRE(zero.ok());

    std::set<std::string> keys;
    for (const block_key& parent :
         {block_key{}, *zero, block_key::from_u64(0), chain_key(block_key{}, tokens)}) {
        for (const auto& t : {tokens, swapped, shorter, std::vector<std::uint32_t>{}}) {
            const block_key key = chain_key(parent, t);
            CHECK(key.size() == 16);
            CHECK(key == chain_key(parent, t));
            keys.insert(hex(key));
        }
    }
    CHECK(keys.size() == 16);
}

TEST_CASE("chain_key: is the same in every version", "[kv]") {
    // Stores outlive releases: a change here would make every stored block unreachable.
    const std::vector<std::uint32_t> tokens = {1, 2, 3, 4};
    const block_key first = chain_key(block_key{}, tokens);
    CHECK(hex(first) == "3aca2e6926d7ab4a13801264f3e56417");
    CHECK(hex(chain_key(first, tokens)) == "9fa9ca5764d33203da5594d6e9ba2d62");
}
