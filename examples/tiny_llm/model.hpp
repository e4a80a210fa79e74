// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <tiny_llm/aligned.hpp>
#include <tiny_llm/config.hpp>
#include <tiny_llm/kernels.hpp>
#include <tiny_llm/paged_kv.hpp>
#include <tiny_llm/weights.hpp>

namespace tiny_llm {

/// Work memory of one prefill at a time. Sized by the model, not by the prompt: it allocates on
/// the first call only, or when it meets a larger model.
class scratch {
 private:
    friend class model;

    aligned_array<float> residual_;
    aligned_array<float> normed_;  // input of each product; attention's output as well
    aligned_array<float> qkv_;
    aligned_array<float> hidden_;
    aligned_array<float> queries_;  // [kv head][token][head of the group][head_dim]
    aligned_array<float> sums_;     // like queries_: attention before normalisation
    aligned_array<float> row_max_;
    aligned_array<float> row_sum_;
    aligned_array<float> key_panels_;
    aligned_array<float> value_panels_;
    aligned_array<float> logits_;
};

/// A decoder-only transformer (RMSNorm, RoPE, grouped-query attention, SwiGLU) in float32 with
/// weights from a seed, computed by the calling thread. It says nothing sensible, but its output
/// depends on every byte of the KV that it reads.
///
/// Logits and KV of a token are bit-identical however the prompt is cut into cached and computed
/// parts, and for every chunk size, block size and layout.
///
/// \par Thread safety
/// Immutable: one model serves many threads, each with its own `scratch`.
class model {
 public:
    /// \return InvalidArgument from model_config::validate().
    [[nodiscard]] static absl::StatusOr<model> create(const model_config& config);

    [[nodiscard]] const model_config& config() const noexcept { return config_; }
    [[nodiscard]] const char* kernel_name() const noexcept { return kernels_->name; }

    /// Computes tokens[n_cached .. n) from the KV of tokens[0 .. n_cached), writes their KV, and
    /// gives the logits of the last token. Decoding is a prefill with n_cached = n - 1.
    ///
    /// Block i of the sequence, tokens i * block_tokens and on, is in slot block_slots[i] of `kv`;
    /// slots past the last token are ignored. Of the last block only the tokens below n are used.
    ///
    /// \pre The slots of blocks that get new tokens are distinct and used by nobody else.
    /// \return InvalidArgument for an unknown token, n_cached >= n, n above max_tokens, a KV of
    /// another shape, too few slots, a slot out of range, logits not of vocab floats. Nothing has
    /// been written then.
    [[nodiscard]] absl::Status prefill(std::span<const std::uint32_t> tokens, std::size_t n_cached,
                                       const paged_kv& kv,
                                       std::span<const std::uint32_t> block_slots,
                                       std::span<float> logits, scratch& work) const;

 private:
    struct chunk;

    explicit model(const model_config& config);

    [[nodiscard]] absl::Status check(std::span<const std::uint32_t> tokens, std::size_t n_cached,
                                     const paged_kv& kv, std::span<const std::uint32_t> block_slots,
                                     std::size_t num_logits) const;
    void prepare(scratch& work) const;
    void norm(const float* gain, std::size_t first, std::size_t rows, scratch& work) const;
    void make_qkv(std::size_t layer, const chunk& c) const;
    void attend(std::size_t layer, const chunk& c, std::size_t first) const;
    void feed_forward(std::size_t layer, const chunk& c, std::size_t first) const;
    void last_logits(std::size_t row, std::span<float> logits, scratch& work) const;

    [[nodiscard]] std::size_t group() const noexcept { return config_.heads / config_.kv_heads; }
    [[nodiscard]] std::size_t q_columns() const noexcept {
        return config_.heads * config_.head_dim;
    }
    [[nodiscard]] std::size_t qkv_columns() const noexcept {
        return (config_.heads + 2 * config_.kv_heads) * config_.head_dim;
    }
    /// Rows of one KV head in queries_ and sums_.
    [[nodiscard]] std::size_t head_rows() const noexcept {
        return config_.chunk_rows * group() + row_tile;
    }

    model_config config_;
    const kernel_set* kernels_;
    model_weights weights_;
};

}  // namespace tiny_llm
