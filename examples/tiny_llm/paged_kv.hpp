// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include <absl/status/statusor.h>

#include <tiny_llm/aligned.hpp>

namespace tiny_llm {

/// What the KV of one token is: per layer, `kv_heads` keys and as many values of `head_dim` floats.
struct kv_shape {
    std::size_t layers = 0;
    std::size_t kv_heads = 0;
    std::size_t head_dim = 0;

    /// Floats of one token's keys (or values) in one layer.
    [[nodiscard]] std::size_t token_floats() const noexcept { return kv_heads * head_dim; }
    [[nodiscard]] std::size_t token_bytes() const noexcept {
        return 2 * layers * token_floats() * sizeof(float);
    }
    friend bool operator==(const kv_shape&, const kv_shape&) = default;
};

/// Where the pieces of a block lie. Keys and values are each [token][kv head][head_dim].
enum class kv_layout {
    split_per_layer,  ///< two regions per layer: K of layer 0, V of layer 0, K of layer 1, ...
    fused_per_layer,  ///< one region per layer; a slot holds K, then V
    cross_layer,      ///< one region; a slot holds K and V of layer 0, K and V of layer 1, ...
};

/// Slot i is the `bytes` bytes at base + stride * i; what lies between slots is never touched.
struct kv_region {
    std::byte* base = nullptr;
    std::size_t stride = 0;
    std::size_t bytes = 0;
    std::uint32_t slots = 0;
};

/// Addresses of keys and values in paged memory. A block of `block_tokens` tokens takes the slot
/// of the same number in every region.
///
/// \par Thread safety
/// Immutable; the memory is as safe as its users make it.
/// \par Lifetime
/// Memory belongs to the caller and outlives this object and its copies.
class paged_kv {
 public:
    /// \return InvalidArgument when the regions are not what the layout asks for: their number,
    /// bytes per slot, a stride below that, or memory not aligned for floats.
    [[nodiscard]] static absl::StatusOr<paged_kv> create(const kv_shape& shape, kv_layout layout,
                                                         std::size_t block_tokens,
                                                         std::span<const kv_region> regions);

    [[nodiscard]] const kv_shape& shape() const noexcept { return shape_; }
    [[nodiscard]] kv_layout layout() const noexcept { return layout_; }
    [[nodiscard]] std::size_t block_tokens() const noexcept { return block_tokens_; }
    /// A block consists of one piece per region, in this order.
    [[nodiscard]] std::span<const kv_region> regions() const noexcept { return regions_; }
    /// Slots that every region has.
    [[nodiscard]] std::uint32_t num_slots() const noexcept { return num_slots_; }
    /// Sum over the pieces.
    [[nodiscard]] std::size_t block_bytes() const noexcept {
        return block_tokens_ * shape_.token_bytes();
    }
    [[nodiscard]] std::size_t blocks_for(std::size_t tokens) const noexcept {
        return (tokens + block_tokens_ - 1) / block_tokens_;
    }

    /// Keys (values) of one token of the block in `slot`: token_floats() floats, head after head.
    [[nodiscard]] float* keys(std::size_t layer, std::uint32_t slot,
                              std::size_t token) const noexcept {
        return at(key_places_[layer], slot, token);
    }
    [[nodiscard]] float* values(std::size_t layer, std::uint32_t slot,
                                std::size_t token) const noexcept {
        return at(value_places_[layer], slot, token);
    }

 private:
    struct place {
        std::byte* base;
        std::size_t stride;
    };

    paged_kv() = default;

    [[nodiscard]] float* at(const place& p, std::uint32_t slot, std::size_t token) const noexcept {
        return reinterpret_cast<float*>(p.base + p.stride * slot) + token * shape_.token_floats();
    }

    kv_shape shape_;
    kv_layout layout_ = kv_layout::split_per_layer;
    std::size_t block_tokens_ = 0;
    std::uint32_t num_slots_ = 0;
    std::vector<kv_region> regions_;
    std::vector<place> key_places_;
    std::vector<place> value_places_;
};

/// Owns the memory of `slots` blocks. With `padding` > 0 there are that many bytes (rounded up to
/// whole cache lines) between slots, at least one line between regions in any case.
class kv_arena {
 public:
    /// \return InvalidArgument when a number is zero or the size overflows.
    [[nodiscard]] static absl::StatusOr<kv_arena> create(const kv_shape& shape, kv_layout layout,
                                                         std::size_t block_tokens,
                                                         std::uint32_t slots,
                                                         std::size_t padding = 0);

    /// Valid until the arena dies; moving the arena does not move the memory.
    [[nodiscard]] const paged_kv& pages() const noexcept { return pages_; }
    [[nodiscard]] std::span<const kv_region> regions() const noexcept { return pages_.regions(); }
    /// All of it, holes included.
    [[nodiscard]] std::span<std::byte> memory() noexcept {
        return {memory_.data(), memory_.size()};
    }

 private:
    kv_arena(aligned_array<std::byte> memory, paged_kv pages)
        : memory_(std::move(memory)), pages_(std::move(pages)) {}

    aligned_array<std::byte> memory_;
    paged_kv pages_;
};

}  // namespace tiny_llm
