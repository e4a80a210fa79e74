// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <numeric>
#include <random>
#include <span>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <tiny_llm/model.hpp>

namespace {

using namespace tiny_llm;

constexpr std::byte poison{0xff};  // four of them are a NaN

model_config small_config() {
    model_config c;
    c.vocab = 97;
    c.d_model = 32;
    c.layers = 3;
    c.heads = 4;
    c.kv_heads = 2;
    c.head_dim = 16;
    c.hidden = 24;
    c.max_tokens = 256;
    return c;
}

model make_model(const model_config& config) {
    absl::StatusOr<model> m = model::create(config);
    REQUIRE(m.ok());
    return *std::move(m);
}

kv_arena make_arena(const model& m, kv_layout layout, std::size_t block_tokens) {
    const auto slots = static_cast<std::uint32_t>(320 / block_tokens + 4);
    absl::StatusOr<kv_arena> arena =
        kv_arena::create(m.config().kv(), layout, block_tokens, slots, 100);
    REQUIRE(arena.ok());
    std::ranges::fill(arena->memory(), poison);
    return *std::move(arena);
}

std::vector<std::uint32_t> make_tokens(const model& m, std::size_t n) {
    std::vector<std::uint32_t> tokens(n);
    for (std::size_t i = 0; i < n; ++i) {
        tokens[i] = static_cast<std::uint32_t>((i * i * 31 + i * 7 + 5) % m.config().vocab);
    }
    return tokens;
}

/// Every slot once, in an order of its own for each seed.
std::vector<std::uint32_t> make_slots(const paged_kv& kv, unsigned seed) {
    std::vector<std::uint32_t> slots(kv.num_slots());
    std::iota(slots.begin(), slots.end(), 0u);
    std::shuffle(slots.begin(), slots.end(), std::mt19937(seed));
    return slots;
}

/// Bits that can be compared: a NaN would equal itself, and zeros keep their sign.
std::vector<std::byte> bits_of(std::span<const float> values) {
    const auto bytes = std::as_bytes(values);
    return {bytes.begin(), bytes.end()};
}

/// KV of the first n tokens in an order that does not depend on pages.
std::vector<std::byte> kv_bits(const paged_kv& kv, std::span<const std::uint32_t> slots,
                               std::size_t n) {
    std::vector<float> all;
    for (std::size_t layer = 0; layer < kv.shape().layers; ++layer) {
        for (std::size_t i = 0; i < n; ++i) {
            const std::uint32_t slot = slots[i / kv.block_tokens()];
            const std::size_t token = i % kv.block_tokens();
            for (const float* from : {kv.keys(layer, slot, token), kv.values(layer, slot, token)}) {
                all.insert(all.end(), from, from + kv.shape().token_floats());
            }
        }
    }
    return bits_of(all);
}

/// As a cache moves a block: pieces into one buffer, the buffer into the pieces of another slot.
void move_block(const paged_kv& from, std::uint32_t from_slot, const paged_kv& to,
                std::uint32_t to_slot) {
    std::vector<std::byte> block;
    for (const kv_region& r : from.regions()) {
        const std::byte* piece = r.base + r.stride * from_slot;
        block.insert(block.end(), piece, piece + r.bytes);
    }
    REQUIRE(block.size() == to.block_bytes());
    const std::byte* next = block.data();
    for (const kv_region& r : to.regions()) {
        std::memcpy(r.base + r.stride * to_slot, next, r.bytes);
        next += r.bytes;
    }
}

/// What a prefix cache does not have: the tokens of the last loaded block from n_cached on.
void poison_rest_of_block(const paged_kv& kv, std::span<const std::uint32_t> slots,
                          std::size_t n_cached) {
    for (std::size_t i = n_cached; i % kv.block_tokens() != 0; ++i) {
        const std::size_t bytes = kv.shape().token_floats() * sizeof(float);
        for (std::size_t layer = 0; layer < kv.shape().layers; ++layer) {
            const std::uint32_t slot = slots[i / kv.block_tokens()];
            const std::size_t token = i % kv.block_tokens();
            std::memset(kv.keys(layer, slot, token), 0xff, bytes);
            std::memset(kv.values(layer, slot, token), 0xff, bytes);
        }
    }
}

bool holes_are_untouched(const paged_kv& kv) {
    for (const kv_region& r : kv.regions()) {
        for (std::uint32_t slot = 0; slot < r.slots; ++slot) {
            const std::byte* at = r.base + r.stride * slot;
            if (!std::all_of(at + r.bytes, at + r.stride,
                             [](std::byte b) { return b == poison; })) {
                return false;
            }
        }
    }
    return true;
}

struct result {
    std::vector<std::byte> logits;
    std::vector<std::byte> kv;
    friend bool operator==(const result&, const result&) = default;
};

/// One prefill; the scratch has seen other prompts before.
result prefill(const model& m, std::span<const std::uint32_t> tokens, std::size_t n_cached,
               const paged_kv& kv, std::span<const std::uint32_t> slots) {
    static scratch work;
    std::vector<float> logits(m.config().vocab);
    const absl::Status s = m.prefill(tokens, n_cached, kv, slots, logits, work);
    INFO(s.ToString());
    REQUIRE(s.ok());
    REQUIRE(std::ranges::all_of(logits, [](float x) { return std::isfinite(x); }));
    return {bits_of(logits), kv_bits(kv, slots, tokens.size())};
}

result recompute(const model& m, std::span<const std::uint32_t> tokens) {
    const kv_arena arena = make_arena(m, kv_layout::cross_layer, 16);
    return prefill(m, tokens, 0, arena.pages(), make_slots(arena.pages(), 1));
}

/// Loads the first n_cached tokens from `source` into other slots of fresh pages, computes the
/// rest.
result load_and_compute(const model& m, std::span<const std::uint32_t> tokens, std::size_t n_cached,
                        const paged_kv& source) {
    const std::vector<std::uint32_t> from = make_slots(source, 7);
    const kv_arena arena = make_arena(m, source.layout(), source.block_tokens());
    const std::vector<std::uint32_t> to = make_slots(arena.pages(), 13);
    for (std::size_t b = 0; b < source.blocks_for(n_cached); ++b) {
        move_block(source, from[b], arena.pages(), to[b]);
    }
    poison_rest_of_block(arena.pages(), to, n_cached);
    result r = prefill(m, tokens, n_cached, arena.pages(), to);
    REQUIRE(holes_are_untouched(arena.pages()));
    return r;
}

constexpr kv_layout layouts[] = {kv_layout::split_per_layer, kv_layout::fused_per_layer,
                                 kv_layout::cross_layer};

}  // namespace

TEST_CASE("a loaded prefix changes no bit, for every layout, block size and length") {
    const model m = make_model(small_config());
    for (const kv_layout layout : layouts) {
        for (const std::size_t block_tokens : {1u, 3u, 16u, 64u}) {
            for (const std::size_t n : {1u, 2u, 7u, 63u, 64u, 65u, 200u}) {
                const std::vector<std::uint32_t> tokens = make_tokens(m, n);
                const result full = recompute(m, tokens);
                const kv_arena source = make_arena(m, layout, block_tokens);
                CAPTURE(static_cast<int>(layout), block_tokens, n);
                REQUIRE(prefill(m, tokens, 0, source.pages(), make_slots(source.pages(), 7)) ==
                        full);
                for (const std::size_t n_cached : {1u, 2u, 5u, 16u, 48u, 63u, 64u, 127u, 199u}) {
                    if (n_cached < n) {
                        CAPTURE(n_cached);
                        REQUIRE(load_and_compute(m, tokens, n_cached, source.pages()) == full);
                    }
                }
            }
        }
    }
}

TEST_CASE("a loaded prefix changes no bit, at every split point") {
    for (const kernel_choice kernels : {kernel_choice::best, kernel_choice::portable}) {
        model_config config = small_config();
        config.kernels = kernels;
        const model m = make_model(config);
        const std::vector<std::uint32_t> tokens = make_tokens(m, 150);
        const result full = recompute(m, tokens);
        const kv_arena source = make_arena(m, kv_layout::split_per_layer, 16);
        prefill(m, tokens, 0, source.pages(), make_slots(source.pages(), 7));
        for (std::size_t n_cached = 1; n_cached < tokens.size(); ++n_cached) {
            CAPTURE(m.kernel_name(), n_cached);
            REQUIRE(load_and_compute(m, tokens, n_cached, source.pages()) == full);
        }
    }
}

TEST_CASE("a loaded prefix changes no bit of the default model") {
    const model m = make_model({});
    const std::vector<std::uint32_t> tokens = make_tokens(m, 300);
    const result full = recompute(m, tokens);
    for (const kv_layout layout : layouts) {
        const kv_arena source = make_arena(m, layout, 16);
        REQUIRE(prefill(m, tokens, 0, source.pages(), make_slots(source.pages(), 7)) == full);
        for (const std::size_t n_cached : {17u, 128u, 256u, 299u}) {
            CAPTURE(static_cast<int>(layout), n_cached);
            REQUIRE(load_and_compute(m, tokens, n_cached, source.pages()) == full);
        }
    }
}

TEST_CASE("the size of the chunks changes no bit") {
    model_config config = small_config();
    const std::vector<std::uint32_t> tokens = make_tokens(make_model(config), 200);
    const result full = recompute(make_model(config), tokens);
    for (const std::size_t rows : {1u, 2u, 5u, 6u, 7u, 64u, 65u, 128u, 199u, 1000u}) {
        config.chunk_rows = rows;
        CAPTURE(rows);
        REQUIRE(recompute(make_model(config), tokens) == full);
    }
}

TEST_CASE("a conversation in turns, down to single tokens, changes no bit") {
    const model m = make_model(small_config());
    const std::vector<std::uint32_t> tokens = make_tokens(m, 200);
    const result full = recompute(m, tokens);
    for (const std::size_t turn : {1u, 9u, 70u}) {
        const kv_arena arena = make_arena(m, kv_layout::fused_per_layer, 16);
        const std::vector<std::uint32_t> slots = make_slots(arena.pages(), 17);
        result last;
        for (std::size_t begin = 0; begin < tokens.size(); begin += turn) {
            const std::size_t end = std::min(begin + turn, tokens.size());
            last = prefill(m, std::span(tokens).first(end), begin, arena.pages(), slots);
        }
        CAPTURE(turn);
        REQUIRE(last == full);
    }
}

TEST_CASE("logits depend on every cached token and on the seed") {
    model_config config = small_config();
    const model m = make_model(config);
    const std::vector<std::uint32_t> tokens = make_tokens(m, 90);
    const result full = recompute(m, tokens);
    const kv_arena arena = make_arena(m, kv_layout::cross_layer, 16);
    const std::vector<std::uint32_t> slots = make_slots(arena.pages(), 7);
    prefill(m, tokens, 0, arena.pages(), slots);
    for (std::size_t i = 0; i + 1 < tokens.size(); ++i) {
        for (float* at : {arena.pages().keys(1, slots[i / 16], i % 16),
                          arena.pages().values(2, slots[i / 16], i % 16)}) {
            std::byte& upper_mantissa = reinterpret_cast<std::byte*>(at)[2];
            upper_mantissa ^= std::byte{0x40};
            CAPTURE(i);
            REQUIRE(prefill(m, tokens, 89, arena.pages(), slots).logits != full.logits);
            upper_mantissa ^= std::byte{0x40};
        }
    }
    REQUIRE(prefill(m, tokens, 89, arena.pages(), slots) == full);

    config.seed = 2;
    REQUIRE(recompute(make_model(config), tokens).logits != full.logits);
}
