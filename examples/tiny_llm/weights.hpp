// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include <tiny_llm/aligned.hpp>
#include <tiny_llm/config.hpp>

namespace tiny_llm {

/// Matrices are packed as the kernels want them: panels of panel_width columns.
struct layer_weights {
    aligned_array<float> attention_gain;
    aligned_array<float> qkv;  ///< columns: query heads, key heads, value heads
    aligned_array<float> attention_out;
    aligned_array<float> mlp_gain;
    aligned_array<float> gate_up;  ///< panels of 8 gate and 8 up columns
    aligned_array<float> down;
};

struct model_weights {
    aligned_array<float> embedding;  ///< [vocab][d_model], not packed
    std::vector<layer_weights> layers;
    aligned_array<float> final_gain;
    aligned_array<float> head;    ///< vocab columns, padded with zeros to whole panels
    aligned_array<float> cosine;  ///< [max_tokens][head_dim / 2]
    aligned_array<float> sine;
};

/// \pre config.validate() is ok.
[[nodiscard]] model_weights make_weights(const model_config& config);

}  // namespace tiny_llm
