// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <catch2/catch_test_macros.hpp>

#include <tiny_llm/model.hpp>

namespace {

using namespace tiny_llm;
using numbers = std::vector<double>;

model_config small_config() {
    model_config c;
    c.vocab = 97;
    c.d_model = 32;
    c.layers = 3;
    c.heads = 6;
    c.kv_heads = 2;
    c.head_dim = 16;
    c.hidden = 24;
    c.max_tokens = 128;
    return c;
}

std::vector<std::uint32_t> make_tokens(std::size_t n) {
    std::vector<std::uint32_t> tokens(n);
    for (std::size_t i = 0; i < n; ++i) {
        tokens[i] = static_cast<std::uint32_t>((i * i * 31 + i * 7 + 5) % 97);
    }
    return tokens;
}

// The same model written down from its definition, in double, one token after the other.

numbers times(const numbers& in, const aligned_array<float>& packed, std::size_t columns) {
    numbers out(columns);
    for (std::size_t c = 0; c < columns; ++c) {
        for (std::size_t k = 0; k < in.size(); ++k) {
            out[c] += in[k] * double{packed.data()[(c / 16 * in.size() + k) * 16 + c % 16]};
        }
    }
    return out;
}

numbers normed(const numbers& in, const aligned_array<float>& gain) {
    const double squares = std::inner_product(in.begin(), in.end(), in.begin(), 0.0);
    numbers out(in.size());
    for (std::size_t i = 0; i < in.size(); ++i) {
        out[i] = in[i] * double{gain.data()[i]} /
                 std::sqrt(squares / static_cast<double>(in.size()) + 1e-5);
    }
    return out;
}

/// Cuts one head out of a row and rotates it.
numbers rotated(const numbers& row, std::size_t from, std::size_t size, std::size_t position) {
    numbers out(size);
    const std::size_t half = size / 2;
    for (std::size_t i = 0; i < half; ++i) {
        const double angle = static_cast<double>(position) *
                             std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half));
        const double a = row[from + i];
        const double b = row[from + half + i];
        out[i] = a * std::cos(angle) - b * std::sin(angle);
        out[half + i] = a * std::sin(angle) + b * std::cos(angle);
    }
    return out;
}

void add_to(numbers& sum, const numbers& term, double factor = 1.0) {
    for (std::size_t i = 0; i < sum.size(); ++i) {
        sum[i] += factor * term[i];
    }
}

numbers reference_logits(const model_config& c, std::span<const std::uint32_t> tokens) {
    const model_weights w = make_weights(c);
    const std::size_t hd = c.head_dim;
    std::vector<std::vector<numbers>> keys(c.layers * c.kv_heads);
    std::vector<std::vector<numbers>> values(c.layers * c.kv_heads);
    numbers x;
    for (std::size_t position = 0; position < tokens.size(); ++position) {
        const float* embedding = w.embedding.data() + tokens[position] * c.d_model;
        x.assign(embedding, embedding + c.d_model);
        for (std::size_t l = 0; l < c.layers; ++l) {
            const layer_weights& layer = w.layers[l];
            const numbers qkv =
                times(normed(x, layer.attention_gain), layer.qkv, (c.heads + 2 * c.kv_heads) * hd);
            for (std::size_t h = 0; h < c.kv_heads; ++h) {
                keys[l * c.kv_heads + h].push_back(rotated(qkv, (c.heads + h) * hd, hd, position));
                const auto value =
                    qkv.begin() + static_cast<std::ptrdiff_t>((c.heads + c.kv_heads + h) * hd);
                values[l * c.kv_heads + h].emplace_back(value,
                                                        value + static_cast<std::ptrdiff_t>(hd));
            }
            numbers attention;
            for (std::size_t h = 0; h < c.heads; ++h) {
                const std::size_t kv = l * c.kv_heads + h / (c.heads / c.kv_heads);
                const numbers query = rotated(qkv, h * hd, hd, position);
                numbers mix(hd);
                double sum = 0.0;
                for (std::size_t i = 0; i <= position; ++i) {
                    const double score =
                        std::inner_product(query.begin(), query.end(), keys[kv][i].begin(), 0.0) /
                        std::sqrt(static_cast<double>(hd));
                    add_to(mix, values[kv][i], std::exp(score));
                    sum += std::exp(score);
                }
                std::ranges::for_each(mix, [sum](double& m) { m /= sum; });
                attention.insert(attention.end(), mix.begin(), mix.end());
            }
            add_to(x, times(attention, layer.attention_out, c.d_model));
            const numbers both = times(normed(x, layer.mlp_gain), layer.gate_up, 2 * c.hidden);
            numbers hidden(c.hidden);
            for (std::size_t i = 0; i < c.hidden; ++i) {
                const std::size_t gate = i / 8 * 16 + i % 8;
                hidden[i] = both[gate] / (1.0 + std::exp(-both[gate])) * both[gate + 8];
            }
            add_to(x, times(hidden, layer.down, c.d_model));
        }
    }
    return times(normed(x, w.final_gain), w.head, c.vocab);
}

/// A prefill call whose arguments are all right, to be spoilt one at a time.
struct call {
    model m = *model::create(small_config());
    kv_arena arena = *kv_arena::create(m.config().kv(), kv_layout::split_per_layer, 16, 4);
    std::vector<std::uint32_t> tokens = make_tokens(50);
    std::size_t n_cached = 0;
    std::vector<std::uint32_t> slots = {2, 0, 3, 1};
    std::vector<float> logits = std::vector<float>(97, -7.0f);
    scratch work;

    absl::Status operator()() {
        return m.prefill(tokens, n_cached, arena.pages(), slots, logits, work);
    }

    void must_fail(std::string_view expected) {
        const absl::Status s = (*this)();
        INFO(s.ToString());
        REQUIRE(s.code() == absl::StatusCode::kInvalidArgument);
        REQUIRE(std::string_view(s.message().data(), s.message().size()) == expected);
        REQUIRE(std::ranges::all_of(logits, [](float x) { return x == -7.0f; }));
        REQUIRE(std::ranges::all_of(arena.memory(), [](std::byte b) { return b == std::byte{0}; }));
    }
};

}  // namespace

TEST_CASE("logits are those of the model's definition, with every kernel set") {
    for (const kernel_choice kernels : {kernel_choice::best, kernel_choice::portable}) {
        call c;
        model_config config = small_config();
        config.kernels = kernels;
        c.m = *model::create(config);
        c.arena = *kv_arena::create(config.kv(), kv_layout::split_per_layer, 64, 2);
        c.slots = {1, 0};
        c.tokens = make_tokens(100);
        REQUIRE(c().ok());
        const numbers expected = reference_logits(config, c.tokens);
        double size = 0.0;
        for (std::size_t i = 0; i < expected.size(); ++i) {
            CAPTURE(c.m.kernel_name(), i, c.logits[i], expected[i]);
            REQUIRE(std::abs(double{c.logits[i]} - expected[i]) < 1e-4);
            size = std::max(size, std::abs(expected[i]));
        }
        REQUIRE(size > 0.5);
    }
}

TEST_CASE("a scratch serves models of different sizes in turn") {
    call large;
    REQUIRE(large().ok());
    model_config config = small_config();
    config.hidden = 8;
    config.chunk_rows = 9;
    call small;
    small.m = *model::create(config);
    REQUIRE(small().ok());
    const std::vector<float> expected = small.logits;
    std::swap(small.work, large.work);
    REQUIRE(small().ok());
    REQUIRE(small.logits == expected);
    const std::vector<float> before = large.logits;
    REQUIRE(large().ok());
    REQUIRE(large.logits == before);
}

TEST_CASE("a wrong prefill says what is wrong and writes nothing") {
    call c;
    SECTION("token") {
        c.tokens[30] = 97;
        c.must_fail("prefill: token 30 is 97, vocab is 97");
    }
    SECTION("nothing to compute") {
        c.n_cached = 50;
        c.must_fail("prefill: n_cached is 50 of 50 tokens, none is left");
    }
    SECTION("no tokens") {
        c.tokens.clear();
        c.must_fail("prefill: n_cached is 0 of 0 tokens, none is left");
    }
    SECTION("too many tokens") {
        c.tokens = make_tokens(129);
        c.must_fail("prefill: 129 tokens, max_tokens is 128");
    }
    SECTION("too few slots") {
        c.slots.pop_back();
        c.must_fail("prefill: 3 block slots, 50 tokens need 4");
    }
    SECTION("slot out of range, in the cached part") {
        c.n_cached = 40;
        c.slots[1] = 4;
        c.must_fail("prefill: slot of block 1 is 4 of 4");
    }
    SECTION("logits") {
        c.logits.pop_back();
        c.must_fail("prefill: room for 96 logits, vocab is 97");
    }
    SECTION("pages of another model") {
        kv_shape shape = c.m.config().kv();
        shape.layers = 2;
        c.arena = *kv_arena::create(shape, kv_layout::split_per_layer, 16, 4);
        c.must_fail("prefill: the KV pages are of another shape");
    }
    SECTION("nothing: slots past the last token do not matter") {
        c.slots.push_back(1000);
        REQUIRE(c().ok());
    }
}

TEST_CASE("a model is refused when its config makes no sense") {
    model_config c;
    REQUIRE(c.validate().ok());
    for (std::size_t model_config::*field :
         {&model_config::vocab, &model_config::d_model, &model_config::layers, &model_config::heads,
          &model_config::kv_heads, &model_config::head_dim, &model_config::hidden,
          &model_config::max_tokens, &model_config::chunk_rows}) {
        for (const std::size_t value : {std::size_t{0}, SIZE_MAX}) {
            model_config wrong;
            wrong.*field = value;
            REQUIRE(model::create(wrong).status().code() == absl::StatusCode::kInvalidArgument);
        }
    }
    c.kv_heads = 3;
    REQUIRE(c.validate().message() ==
            "model_config: heads is 8, must be a multiple of kv_heads, 3");
    c.kv_heads = 2;
    c.rope_base = std::nan("");
    REQUIRE(!c.validate().ok());
}

TEST_CASE("pages of the default model: regions and bytes of each layout") {
    const kv_shape shape = model_config{}.kv();
    REQUIRE(shape.token_bytes() == 2048);
    constexpr std::size_t block_bytes = std::size_t{16} * 2048;
    for (const auto& [layout, count] : {std::pair{kv_layout::split_per_layer, 8u},
                                        {kv_layout::fused_per_layer, 4u},
                                        {kv_layout::cross_layer, 1u}}) {
        const kv_arena arena = *kv_arena::create(shape, layout, 16, 5, 1);
        REQUIRE(arena.pages().block_bytes() == block_bytes);
        REQUIRE(arena.regions().size() == count);
        for (const kv_region& r : arena.regions()) {
            REQUIRE(r.bytes == block_bytes / count);
            REQUIRE(r.stride == r.bytes + 64);
            REQUIRE(r.slots == 5);
            REQUIRE(reinterpret_cast<std::uintptr_t>(r.base) % 64 == 0);
        }
    }
}

TEST_CASE("pages are refused when the regions do not fit the layout") {
    const kv_shape shape = small_config().kv();
    const kv_arena arena = *kv_arena::create(shape, kv_layout::fused_per_layer, 16, 4);
    const auto create = [&](const std::vector<kv_region>& regions) {
        return paged_kv::create(shape, kv_layout::fused_per_layer, 16, regions).status();
    };
    const std::vector<kv_region> right(arena.regions().begin(), arena.regions().end());
    REQUIRE(create(right).ok());
    const auto must_fail = [&](auto spoil, std::string_view expected) {
        std::vector<kv_region> regions = right;
        spoil(regions);
        const absl::Status s = create(regions);
        REQUIRE(s.code() == absl::StatusCode::kInvalidArgument);
        REQUIRE(std::string_view(s.message().data(), s.message().size()) == expected);
    };
    must_fail([](auto& r) { r.pop_back(); }, "got 2 regions, the layout has 3");
    must_fail([](auto& r) { r[1].base = nullptr; }, "region 1: base is null");
    must_fail([](auto& r) { r[2].bytes -= 4; }, "region 2: slot has 4092 bytes, needs 4096");
    must_fail([](auto& r) { r[0].stride = 4092; }, "region 0: stride 4092 is below 4096");
    must_fail([](auto& r) { r[0].slots = 0; }, "region 0: has no slots");
    must_fail([](auto& r) { r[1].base += 2; }, "region 1: base and stride must be multiples of 4");
    must_fail([](auto& r) { r[1].stride += 2; },
              "region 1: base and stride must be multiples of 4");

    REQUIRE(!kv_arena::create(shape, kv_layout::cross_layer, 0, 4).ok());
    REQUIRE(!kv_arena::create(shape, kv_layout::cross_layer, 16, 0).ok());
    REQUIRE(!kv_arena::create(shape, kv_layout::cross_layer, 16, 4, SIZE_MAX).ok());
    REQUIRE(!kv_arena::create({0, 2, 16}, kv_layout::cross_layer, 16, 4).ok());
}
