// SPDX-License-Identifier: Apache-2.0
#pragma once

// Compiled once per instruction set. Everything but the table has internal linkage, and only
// headers without functions of their own are included: the linker must never pick a function
// that was compiled for a better machine than the one that runs.
//
// Contraction is off, and multiply-add is spelled out, so that the compiler has no say in
// rounding: what is written here is what every copy of a loop computes.

#include <limits>

#include <tiny_llm/kernels.hpp>

#ifdef __FMA__
#include <immintrin.h>
#endif

namespace tiny_llm {
namespace {

using vec = float __attribute__((vector_size(32)));
using ivec = int __attribute__((vector_size(32)));

#define TINY_LLM_INLINE inline __attribute__((always_inline))

TINY_LLM_INLINE vec load(const float* p) {
    vec v;
    __builtin_memcpy(&v, p, sizeof v);
    return v;
}

TINY_LLM_INLINE void store(float* p, vec v) { __builtin_memcpy(p, &v, sizeof v); }

TINY_LLM_INLINE vec splat(float x) { return vec{x, x, x, x, x, x, x, x}; }

TINY_LLM_INLINE vec multiply_add(vec a, vec b, vec c) {
#ifdef __FMA__
    return _mm256_fmadd_ps(a, b, c);
#else
    return a * b + c;
#endif
}

TINY_LLM_INLINE vec larger(vec a, vec b) { return a > b ? a : b; }

TINY_LLM_INLINE float horizontal_sum(vec v) {
    v += __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3);
    v += __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5);
    v += __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6);
    return v[0];
}

TINY_LLM_INLINE vec horizontal_max(vec v) {
    v = larger(v, __builtin_shufflevector(v, v, 4, 5, 6, 7, 0, 1, 2, 3));
    v = larger(v, __builtin_shufflevector(v, v, 2, 3, 0, 1, 6, 7, 4, 5));
    return larger(v, __builtin_shufflevector(v, v, 1, 0, 3, 2, 5, 4, 7, 6));
}

/// 2^x to about one part in 10^7; exactly 1 at 0, exactly 0 below -126, capped above 126.
TINY_LLM_INLINE vec exp2(vec x) {
    const vec low = splat(-126.0f);
    const vec high = splat(126.0f);
    vec clamped = larger(x, low);
    clamped = clamped < high ? clamped : high;
    // Adding 1.5 * 2^23 leaves the nearest integer in the low bits of the mantissa.
    const vec shift = splat(12582912.0f);
    const vec shifted = clamped + shift;
    const vec f = clamped - (shifted - shift);
    vec p = splat(1.535336188319500e-4f);
    p = multiply_add(p, f, splat(1.339887440266574e-3f));
    p = multiply_add(p, f, splat(9.618437357674640e-3f));
    p = multiply_add(p, f, splat(5.550332471162809e-2f));
    p = multiply_add(p, f, splat(2.402264791363012e-1f));
    p = multiply_add(p, f, splat(6.931472028550421e-1f));
    p = multiply_add(p, f, splat(1.0f));
    const ivec exponent = (reinterpret_cast<ivec>(shifted) - reinterpret_cast<ivec>(shift)) << 23;
    const vec power = reinterpret_cast<vec>(reinterpret_cast<ivec>(p) + exponent);
    return x < low ? splat(0.0f) : power;
}

TINY_LLM_INLINE vec silu(vec x) {
    constexpr float log2_e = 1.44269504088896341f;
    return x / (splat(1.0f) + exp2(x * splat(-log2_e)));
}

/// One row tile times one panel. `done(r, left, right)` gets the 16 sums of row r.
template <class Done>
TINY_LLM_INLINE void multiply_tile(const float* rows, std::size_t row_stride, std::size_t depth,
                                   const float* panel, Done done) {
    vec left[row_tile] = {};
    vec right[row_tile] = {};
    for (std::size_t k = 0; k < depth; ++k) {
        const vec b0 = load(panel + k * panel_width);
        const vec b1 = load(panel + k * panel_width + lanes);
        for (std::size_t r = 0; r < row_tile; ++r) {
            const vec a = splat(rows[r * row_stride + k]);
            left[r] = multiply_add(a, b0, left[r]);
            right[r] = multiply_add(a, b1, right[r]);
        }
    }
    for (std::size_t r = 0; r < row_tile; ++r) {
        done(r, left[r], right[r]);
    }
}

/// `done(out_row, panel, left, right)` is called for every row that is not a spare one.
template <class Done>
TINY_LLM_INLINE void multiply(const product_args& m, Done done) {
    for (std::size_t panel = 0; panel < m.num_panels; ++panel) {
        const float* weights = m.panels + panel * m.depth * panel_width;
        for (std::size_t first = 0; first < m.num_rows; first += row_tile) {
            multiply_tile(m.rows + first * m.row_stride, m.row_stride, m.depth, weights,
                          [&](std::size_t r, vec left, vec right) {
                              if (first + r >= m.num_rows) {
                                  return;
                              }
                              done(m.out + (first + r) * m.out_stride, panel, left, right);
                          });
        }
    }
}

void product(const product_args& m) noexcept {
    multiply(m, [](float* out, std::size_t panel, vec left, vec right) {
        store(out + panel * panel_width, left);
        store(out + panel * panel_width + lanes, right);
    });
}

void product_add(const product_args& m) noexcept {
    multiply(m, [](float* out, std::size_t panel, vec left, vec right) {
        float* at = out + panel * panel_width;
        store(at, load(at) + left);
        store(at + lanes, load(at + lanes) + right);
    });
}

void product_swiglu(const product_args& m) noexcept {
    multiply(m, [](float* out, std::size_t panel, vec gate, vec up) {
        store(out + panel * lanes, silu(gate) * up);
    });
}

void rms_norm(const float* in, const float* gain, std::size_t size, float* out) noexcept {
    vec squares = {};
    for (std::size_t i = 0; i < size; i += lanes) {
        const vec x = load(in + i);
        squares = multiply_add(x, x, squares);
    }
    const float mean = horizontal_sum(squares) / static_cast<float>(size);
    const vec scale = splat(1.0f / __builtin_sqrtf(mean + 1e-5f));
    for (std::size_t i = 0; i < size; i += lanes) {
        store(out + i, load(in + i) * scale * load(gain + i));
    }
}

void rotate(const float* in, const float* cos, const float* sin, std::size_t head_dim, float scale,
            float* out) noexcept {
    const std::size_t half = head_dim / 2;
    for (std::size_t i = 0; i < half; i += lanes) {
        const vec a = load(in + i);
        const vec b = load(in + half + i);
        const vec c = load(cos + i) * splat(scale);
        const vec s = load(sin + i) * splat(scale);
        store(out + i, multiply_add(a, c, -(b * s)));
        store(out + half + i, multiply_add(a, s, b * c));
    }
}

void pack_keys(const float* const* keys, std::size_t offset, std::size_t count,
               std::size_t head_dim, float* out) noexcept {
    for (std::size_t j = 0; j < key_tile; ++j) {
        float* to = out + (j / panel_width) * head_dim * panel_width + j % panel_width;
        for (std::size_t d = 0; d < head_dim; ++d) {
            to[d * panel_width] = j < count ? keys[j][offset + d] : 0.0f;
        }
    }
}

void pack_values(const float* const* values, std::size_t offset, std::size_t count,
                 std::size_t head_dim, float* out) noexcept {
    for (std::size_t j = 0; j < key_tile; ++j) {
        for (std::size_t d = 0; d < head_dim; d += lanes) {
            float* to = out + (d / panel_width * key_tile + j) * panel_width + d % panel_width;
            store(to, j < count ? load(values[j] + offset + d) : splat(0.0f));
        }
    }
}

/// Turns one row of scores into weights relative to the new running maximum; the first `visible`
/// keys count. Returns the factor by which what was summed before is to be multiplied.
TINY_LLM_INLINE float weigh_row(float* scores, std::size_t visible, float& row_max,
                                float* row_sum) {
    constexpr float minus_infinity = -std::numeric_limits<float>::infinity();
    for (std::size_t j = visible; j < key_tile; ++j) {
        scores[j] = minus_infinity;
    }
    vec top = splat(row_max);
    for (std::size_t j = 0; j < key_tile; j += lanes) {
        top = larger(top, load(scores + j));
    }
    top = horizontal_max(top);
    const vec keep = exp2(splat(row_max) - top);
    row_max = top[0];
    vec sum = load(row_sum) * keep;
    for (std::size_t j = 0; j < key_tile; j += lanes) {
        const vec weight = exp2(load(scores + j) - top);
        store(scores + j, weight);
        sum += weight;
    }
    store(row_sum, sum);
    return keep[0];
}

// A row for which the whole tile lies in the future passes unchanged: its maximum stays, so it is
// kept with factor exactly 1, and its weights are exactly 0.
void attend(const attention_args& t) noexcept {
    const std::size_t past =
        t.tile_position > t.first_position ? (t.tile_position - t.first_position) * t.group : 0;
    for (std::size_t first = past / row_tile * row_tile; first < t.num_rows; first += row_tile) {
        alignas(64) float scores[row_tile * key_tile];
        float keep[row_tile] = {};
        const std::size_t live = t.num_rows - first < row_tile ? t.num_rows - first : row_tile;
        for (std::size_t j = 0; j < key_tile; j += panel_width) {
            multiply_tile(t.queries + first * t.head_dim, t.head_dim, t.head_dim,
                          t.keys + j * t.head_dim, [&](std::size_t r, vec left, vec right) {
                              store(scores + r * key_tile + j, left);
                              store(scores + r * key_tile + j + lanes, right);
                          });
        }
        for (std::size_t r = 0; r < live; ++r) {
            const std::size_t end = t.first_position + (first + r) / t.group + 1;
            const std::size_t seen = end > t.tile_position ? end - t.tile_position : 0;
            keep[r] = weigh_row(scores + r * key_tile, seen < key_tile ? seen : key_tile,
                                t.row_max[first + r], t.row_sum + (first + r) * lanes);
        }
        for (std::size_t d = 0; d < t.head_dim; d += panel_width) {
            multiply_tile(scores, key_tile, key_tile, t.values + d * key_tile,
                          [&](std::size_t r, vec left, vec right) {
                              if (r >= live) {
                                  return;
                              }
                              float* at = t.out + (first + r) * t.head_dim + d;
                              const vec k = splat(keep[r]);
                              store(at, multiply_add(load(at), k, left));
                              store(at + lanes, multiply_add(load(at + lanes), k, right));
                          });
        }
    }
}

void normalise(const float* in, const float* row_sum, std::size_t head_dim, float* out) noexcept {
    const vec factor = splat(1.0f / horizontal_sum(load(row_sum)));
    for (std::size_t d = 0; d < head_dim; d += lanes) {
        // How many zero weights were added may have decided the sign of a zero: make it positive.
        store(out + d, load(in + d) * factor + splat(0.0f));
    }
}

#undef TINY_LLM_INLINE

}  // namespace

const kernel_set& TINY_LLM_KERNELS() noexcept;

const kernel_set& TINY_LLM_KERNELS() noexcept {
    static constexpr kernel_set set = {
        .name = TINY_LLM_KERNELS_NAME,
        .product = product,
        .product_add = product_add,
        .product_swiglu = product_swiglu,
        .rms_norm = rms_norm,
        .rotate = rotate,
        .pack_keys = pack_keys,
        .pack_values = pack_values,
        .attend = attend,
        .normalise = normalise,
    };
    return set;
}

}  // namespace tiny_llm
