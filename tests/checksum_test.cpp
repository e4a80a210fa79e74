// SPDX-License-Identifier: Apache-2.0
#include <sluice/base/checksum.hpp>

#include <vector>

#include <catch2/catch_test_macros.hpp>

#include "support/tracked.hpp"

// The plain implementation, compiled into the test.
#define XXH_INLINE_ALL
#include <xxhash.h>

using sluice::checksum64;

TEST_CASE("checksum64: is XXH3-64", "[base]") {
    CHECK(checksum64({}) == 0x2d06800538d394c2u);
    const std::vector<std::byte> bytes = sluice::test::pattern(3 << 20, 1);
    const std::span<const std::byte> all(bytes);
    int mistakes = 0;
    // Every short length at every alignment, and some that take the wide loop.
    for (std::size_t n = 0; n < 1100; ++n) {
        const auto piece = all.subspan(n % 67, n);
        mistakes += checksum64(piece) == XXH3_64bits(piece.data(), piece.size()) ? 0 : 1;
    }
    for (const std::size_t n : {std::size_t{4096}, std::size_t{65536}, bytes.size() - 3}) {
        const auto piece = all.subspan(3, n);
        mistakes += checksum64(piece) == XXH3_64bits(piece.data(), piece.size()) ? 0 : 1;
    }
    CHECK(mistakes == 0);
}

TEST_CASE("checksum64: finds every flipped bit", "[base]") {
    std::vector<std::byte> bytes = sluice::test::pattern(2048, 2);
    const std::uint64_t good = checksum64(bytes);
    int missed = 0;
    for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
        const std::byte mask{static_cast<unsigned char>(1u << (bit % 8))};
        bytes[bit / 8] ^= mask;
        missed += checksum64(bytes) == good ? 1 : 0;
        bytes[bit / 8] ^= mask;
    }
    CHECK(missed == 0);
    CHECK(checksum64(bytes) == good);
}
