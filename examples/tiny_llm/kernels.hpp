// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

// The arithmetic of the model. Every output element is computed in one fixed order that depends
// neither on the number of rows nor on addresses, so a row's result has the same bits whatever it
// is computed with. A set is bit-identical to itself only: keep to one set per cache.

namespace tiny_llm {

/// Rows that one pass of the product kernel computes; the last pass reads past the last row, so
/// every row buffer has `row_tile` spare rows. Spare rows are read, never written.
inline constexpr std::size_t row_tile = 6;
/// Columns of one packed panel of weights: depth x panel_width floats, depth outermost.
inline constexpr std::size_t panel_width = 16;
/// Floats of one vector, and of the running sum that a softmax row keeps.
inline constexpr std::size_t lanes = 8;
/// Keys that attention takes at once. Tiles begin at multiples of this in absolute position.
inline constexpr std::size_t key_tile = 64;

struct product_args {
    const float* rows;  ///< row r is at rows + r * row_stride
    std::size_t row_stride;
    std::size_t num_rows;
    std::size_t depth;
    const float* panels;
    std::size_t num_panels;
    float* out;  ///< row r is at out + r * out_stride
    std::size_t out_stride;
};

/// Query rows of one KV head, `group` of them per token, against one tile of keys.
struct attention_args {
    const float* queries;  ///< [num_rows][head_dim], scaled by log2(e) / sqrt(head_dim)
    float* out;            ///< [num_rows][head_dim], running weighted sum, not normalised
    float* row_max;        ///< [num_rows], running
    float* row_sum;        ///< [num_rows][lanes], running
    std::size_t num_rows;
    std::size_t head_dim;
    std::size_t group;
    std::size_t first_position;  ///< of the token of row 0
    std::size_t tile_position;   ///< of the tile's first key
    const float* keys;           ///< as written by pack_keys
    const float* values;         ///< as written by pack_values
};

struct kernel_set {
    const char* name;
    /// out = rows * panels
    void (*product)(const product_args&) noexcept;
    /// out += rows * panels
    void (*product_add)(const product_args&) noexcept;
    /// Each panel is 8 gate and 8 up columns; out gets 8 columns of silu(gate) * up per panel.
    void (*product_swiglu)(const product_args&) noexcept;
    /// `size` is a multiple of lanes.
    void (*rms_norm)(const float* in, const float* gain, std::size_t size, float* out) noexcept;
    /// Rotates one head (first half with second half) and multiplies it by `scale`.
    void (*rotate)(const float* in, const float* cos, const float* sin, std::size_t head_dim,
                   float scale, float* out) noexcept;
    /// Transposes `count` keys, each `offset` floats after its pointer, into panels of panel_width
    /// keys; the rest of the tile becomes zero.
    void (*pack_keys)(const float* const* keys, std::size_t offset, std::size_t count,
                      std::size_t head_dim, float* out) noexcept;
    /// Copies `count` values, found in the same way, into panels of panel_width columns; the rest
    /// becomes zero.
    void (*pack_values)(const float* const* values, std::size_t offset, std::size_t count,
                        std::size_t head_dim, float* out) noexcept;
    /// Adds one tile to the running softmax; keys after a row's own position count for nothing.
    void (*attend)(const attention_args&) noexcept;
    /// out = in / sum
    void (*normalise)(const float* in, const float* row_sum, std::size_t head_dim,
                      float* out) noexcept;
};

/// Runs on every machine; multiplies and adds with two roundings.
[[nodiscard]] const kernel_set& portable_kernels() noexcept;

/// The fastest set that this machine can run. The same one on every call.
[[nodiscard]] const kernel_set& best_kernels() noexcept;

}  // namespace tiny_llm
