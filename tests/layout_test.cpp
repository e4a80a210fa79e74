// SPDX-License-Identifier: Apache-2.0
#include <sluice/kv/layout.hpp>

#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <sluice/base/status.hpp>

using sluice::group_layout;
using sluice::hit_rule;
using sluice::layout;
using sluice::region;

namespace {

region piece(std::uintptr_t base, std::uint64_t stride, std::uint64_t bytes, std::uint32_t slots) {
    return {.base = base, .stride = stride, .bytes = bytes, .slots = slots, .layer = -1};
}

group_layout group_of(std::vector<region> regions) {
    return {.regions = std::move(regions), .rule = hit_rule::all_blocks, .last_n = 0};
}

absl::StatusOr<layout> one_group(std::vector<region> regions) {
    return layout::create({group_of(std::move(regions))});
}

void check_refused(const absl::StatusOr<layout>& l, std::initializer_list<std::string_view> words) {
    REQUIRE(l.status().code() == absl::StatusCode::kInvalidArgument);
    const std::string message(sluice::message_of(l.status()));
    for (const std::string_view word : words) {
        CAPTURE(message, word);
        CHECK(message.find(word) != std::string::npos);
    }
}

}  // namespace

TEST_CASE("layout: sizes of a block", "[kv]") {
    // K and V apart; then a latent in one piece, with fewer slots in one of two regions.
    const auto l = layout::create({
        group_of({piece(0x1000, 64, 64, 10), piece(0x2000, 128, 64, 10)}),
        group_of({piece(0x4000, 512, 500, 8), piece(0x8000, 16, 16, 6)}),
    });
    REQUIRE(l.ok());
    CHECK(l->groups().size() == 2);
    CHECK(l->block_bytes(0) == 128);
    CHECK(l->block_bytes(1) == 516);
    CHECK(l->max_block_bytes() == 516);
    CHECK(l->slots(0) == 10);
    CHECK(l->slots(1) == 6);
    CHECK(l->pieces(1) == 2);
}

TEST_CASE("layout: refusals name group, region and numbers", "[kv]") {
    check_refused(layout::create({}), {"at least one group"});
    check_refused(layout::create({group_of({piece(1, 1, 1, 1)}), group_of({})}),
                  {"group 1", "no regions"});
    check_refused(one_group({piece(0x1000, 64, 0, 1)}), {"group 0, region 0", "empty"});
    check_refused(one_group({piece(0x1000, 64, 64, 1), piece(0x2000, 64, 64, 0)}),
                  {"group 0, region 1", "0x2000", "0 slots", "empty"});
    check_refused(one_group({piece(0x1000, 63, 64, 2)}), {"stride 63", "64 bytes", "below"});
    check_refused(one_group({{.base = 0x1000, .stride = 8, .bytes = 8, .slots = 1, .layer = -2}}),
                  {"layer -2"});

    group_layout window = group_of({piece(1, 1, 1, 1)});
    window.rule = hit_rule::last_n;
    check_refused(layout::create({window}), {"group 0", "n = 0"});
    window.rule = static_cast<hit_rule>(9);
    check_refused(layout::create({window}), {"group 0", "hit rule 9"});
    check_refused(one_group(std::vector<region>(2049, piece(1, 1, 1, 1))), {"at most 2048"});
}

TEST_CASE("layout: the address space ends", "[kv]") {
    constexpr std::uintptr_t top = UINTPTR_MAX;  // the last byte
    CHECK(one_group({piece(top - 63, 64, 64, 1)}).ok());
    CHECK(one_group({piece(top - 127, 64, 64, 2)}).ok());
    check_refused(one_group({piece(top - 62, 64, 64, 1)}), {"beyond the address space"});
    check_refused(one_group({piece(top - 127, 65, 64, 2)}), {"beyond the address space"});
    check_refused(one_group({piece(1, std::uint64_t{1} << 63, 1, UINT32_MAX)}), {"beyond"});
    check_refused(one_group({piece(1, UINT64_MAX, UINT64_MAX, UINT32_MAX)}), {"beyond"});
    CHECK(one_group({piece(0, UINT64_MAX, UINT64_MAX, 1)}).ok());
}

TEST_CASE("layout: K and V may interleave, and may not touch", "[kv]") {
    // [K V] [K V] ...: one stride, two halves.
    CHECK(one_group({piece(0x1000, 128, 64, 100), piece(0x1040, 128, 64, 100)}).ok());
    check_refused(one_group({piece(0x1000, 128, 64, 100), piece(0x103f, 128, 64, 100)}),
                  {"group 0, region 1", "overlaps group 0, region 0", "stride 128"});
    check_refused(one_group({piece(0x1000, 128, 65, 100), piece(0x1040, 128, 64, 100)}),
                  {"overlaps"});
    // Same phase, but one ends before the other begins.
    CHECK(one_group({piece(0x1000, 128, 64, 2), piece(0x1100, 128, 64, 2)}).ok());
    // A second region in the first one's gap, and one whose stride is a multiple.
    CHECK(one_group({piece(0x1000, 4096, 64, 100), piece(0x1100, 8, 8, 8)}).ok());
    CHECK(one_group({piece(0, 128, 64, 1000), piece(64, 384, 64, 300)}).ok());
    // Strides without a common divisor meet somewhere: at slot 14 of 1 000.
    check_refused(one_group({piece(0, 100, 10, 1000), piece(50, 97, 10, 1000)}), {"overlaps"});
    CHECK(one_group({piece(0, 100, 10, 14), piece(50, 97, 10, 14)}).ok());
    // Another group is no excuse.
    check_refused(layout::create(
                      {group_of({piece(0x1000, 64, 64, 4)}), group_of({piece(0x1080, 64, 64, 1)})}),
                  {"group 1, region 0", "group 0, region 0"});
}

TEST_CASE("layout: overlap agrees with painting bytes", "[kv]") {
    std::mt19937 random(20260301);
    const auto draw = [&](unsigned low, unsigned high) {
        return std::uniform_int_distribution<unsigned>(low, high)(random);
    };
    int overlaps = 0;
    constexpr int rounds = 20000;
    int mistakes = 0;
    for (int round = 0; round < rounds; ++round) {
        std::vector<region> regions;
        const unsigned unit = draw(0, 1) == 0 ? 1 : 8;
        const unsigned count = draw(2, 4);
        for (unsigned i = 0; i < count; ++i) {
            const unsigned bytes = unit * draw(1, 6);
            const unsigned stride = bytes + unit * draw(0, 40);
            regions.push_back(piece(unit * draw(1, 200), stride, bytes, draw(1, 12)));
        }
        std::vector<bool> painted(8 * 1024, false);
        bool expected = false;
        for (const region& r : regions) {
            for (std::size_t slot = 0; slot < r.slots; ++slot) {
                for (std::size_t b = 0; b < r.bytes; ++b) {
                    const std::size_t at = r.base + r.stride * slot + b;
                    expected = expected || painted[at];
                    painted[at] = true;
                }
            }
        }
        overlaps += expected ? 1 : 0;
        mistakes += one_group(regions).ok() == expected ? 1 : 0;
    }
    CHECK(mistakes == 0);
    CHECK(overlaps > rounds / 10);
    CHECK(overlaps < rounds * 9 / 10);
}

TEST_CASE("layout: hostile regions take bounded work", "[kv]") {
    // 2 048 regions of four thousand million slots each, all interleaved, none of them touching.
    std::vector<region> regions;
    for (std::uintptr_t i = 0; i < 2048; ++i) {
        regions.push_back(piece(i, 2048, 1, UINT32_MAX));
    }
    CHECK(one_group(regions).ok());
    // The same with strides that make Euclid's algorithm long.
    regions.clear();
    std::uint64_t a = 514229;
    std::uint64_t b = 832040;
    for (std::uintptr_t i = 0; i < 512; ++i) {
        regions.push_back(piece(i, 2048 * (i % 2 == 0 ? a : b), 1, UINT32_MAX));
    }
    CHECK(one_group(regions).ok());
    regions.push_back(piece(511 + 2048 * a * b, 2048, 1, 1));
    check_refused(one_group(regions), {"overlaps"});
}

TEST_CASE("layout: usable prefix agrees with its definition", "[kv]") {
    std::mt19937 random(7);
    const auto draw = [&](unsigned low, unsigned high) {
        return std::uniform_int_distribution<unsigned>(low, high)(random);
    };
    int mistakes = 0;
    int useful = 0;
    for (int round = 0; round < 20000; ++round) {
        std::vector<group_layout> groups;
        const unsigned count = draw(1, 3);
        for (unsigned g = 0; g < count; ++g) {
            group_layout group = group_of({piece(0x1000 * (g + 1), 8, 8, 4)});
            if (draw(0, 2) != 0) {
                group.rule = hit_rule::last_n;
                group.last_n = draw(0, 9) == 0 ? UINT32_MAX : draw(1, 4);
            }
            groups.push_back(group);
        }
        const auto l = layout::create(groups);
        REQUIRE(l.ok());
        const std::uint32_t blocks = draw(0, 12);
        const unsigned holes = draw(2, 12);
        std::vector<std::uint8_t> present(count * blocks);
        for (std::uint8_t& p : present) {
            p = draw(1, holes) == 1 ? 0 : 1;
        }
        std::uint32_t expected = blocks;
        const auto works = [&](std::uint32_t prefix) {
            for (std::size_t g = 0; g < count; ++g) {
                for (std::uint32_t i = 0; i < prefix; ++i) {
                    if (l->needed(g, i, prefix) && present[g * blocks + i] == 0) {
                        return false;
                    }
                }
            }
            return true;
        };
        while (!works(expected)) {
            --expected;
        }
        mistakes += l->usable_prefix(present, blocks) == expected ? 0 : 1;
        useful += expected > 0 && expected < blocks ? 1 : 0;
    }
    CHECK(mistakes == 0);
    CHECK(useful > 2000);
}

TEST_CASE("layout: usable prefix of too little information is nothing", "[kv]") {
    const auto l = layout::create({group_of({piece(8, 8, 8, 4)}), group_of({piece(64, 8, 8, 4)})});
    REQUIRE(l.ok());
    const std::vector<std::uint8_t> present(7, 1);
    CHECK(l->usable_prefix(present, 4) == 0);
    CHECK(l->usable_prefix(present, 3) == 3);
    CHECK(l->usable_prefix({}, 0) == 0);
    CHECK(l->usable_prefix({}, UINT32_MAX) == 0);
}
