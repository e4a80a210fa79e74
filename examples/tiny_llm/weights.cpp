// SPDX-License-Identifier: Apache-2.0
#include <tiny_llm/weights.hpp>

#include <cmath>
#include <cstdint>

#include <tiny_llm/kernels.hpp>

namespace tiny_llm {
namespace {

/// splitmix64. The standard distributions give other numbers with every standard library.
class random_source {
 public:
    explicit random_source(std::uint64_t seed) : state_(seed) {}

    /// In [-1, 1).
    float next() {
        std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
        z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
        z ^= z >> 31;
        return static_cast<float>(static_cast<std::int64_t>(z) >> 40) * 0x1p-23f;
    }

 private:
    std::uint64_t state_;
};

aligned_array<float> uniform(random_source& random, std::size_t size, float mean, float spread) {
    aligned_array<float> values(size);
    for (std::size_t i = 0; i < size; ++i) {
        values.data()[i] = mean + spread * random.next();
    }
    return values;
}

/// Entries have variance 1 / depth, so that a product keeps the size of its input.
aligned_array<float> packed_matrix(random_source& random, std::size_t depth, std::size_t columns) {
    const float spread = std::sqrt(3.0f / static_cast<float>(depth));
    const std::size_t panels = (columns + panel_width - 1) / panel_width;
    aligned_array<float> packed(panels * panel_width * depth);
    for (std::size_t k = 0; k < depth; ++k) {
        for (std::size_t c = 0; c < columns; ++c) {
            packed.data()[(c / panel_width * depth + k) * panel_width + c % panel_width] =
                spread * random.next();
        }
    }
    return packed;
}

layer_weights make_layer(random_source& random, const model_config& config) {
    const std::size_t d = config.d_model;
    const std::size_t q_columns = config.heads * config.head_dim;
    const std::size_t kv_columns = config.kv_heads * config.head_dim;
    layer_weights w;
    w.attention_gain = uniform(random, d, 1.0f, 0.2f);
    w.qkv = packed_matrix(random, d, q_columns + 2 * kv_columns);
    w.attention_out = packed_matrix(random, q_columns, d);
    w.mlp_gain = uniform(random, d, 1.0f, 0.2f);
    w.gate_up = packed_matrix(random, d, 2 * config.hidden);
    w.down = packed_matrix(random, config.hidden, d);
    return w;
}

void make_rope_tables(const model_config& config, model_weights& w) {
    const std::size_t half = config.head_dim / 2;
    w.cosine = aligned_array<float>(config.max_tokens * half);
    w.sine = aligned_array<float>(config.max_tokens * half);
    for (std::size_t i = 0; i < half; ++i) {
        const double step =
            std::pow(config.rope_base, -static_cast<double>(i) / static_cast<double>(half));
        for (std::size_t position = 0; position < config.max_tokens; ++position) {
            const double angle = static_cast<double>(position) * step;
            w.cosine.data()[position * half + i] = static_cast<float>(std::cos(angle));
            w.sine.data()[position * half + i] = static_cast<float>(std::sin(angle));
        }
    }
}

}  // namespace

model_weights make_weights(const model_config& config) {
    random_source random(config.seed);
    model_weights w;
    w.embedding = uniform(random, config.vocab * config.d_model, 0.0f, 1.0f);
    for (std::size_t i = 0; i < config.layers; ++i) {
        w.layers.push_back(make_layer(random, config));
    }
    w.final_gain = uniform(random, config.d_model, 1.0f, 0.2f);
    w.head = packed_matrix(random, config.d_model, config.vocab);
    make_rope_tables(config, w);
    return w;
}

}  // namespace tiny_llm
