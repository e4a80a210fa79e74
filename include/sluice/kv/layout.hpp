// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <absl/status/statusor.h>

namespace sluice {

/// Names a page of L1 memory in one cache group.
using slot_id = std::uint32_t;

/// "No page": a hole in a page list; nothing is loaded for that block and group.
inline constexpr slot_id no_slot = UINT32_MAX;

/// A run of equally spaced pieces of L1 memory: slot i is `bytes` bytes at base + stride * i.
struct region {
    std::uintptr_t base = 0;   ///< address on the device
    std::uint64_t stride = 0;  ///< bytes between neighbouring slots, at least `bytes`
    std::uint64_t bytes = 0;   ///< bytes of a slot, at least 1
    std::uint32_t slots = 0;   ///< at least 1
    std::int32_t layer = -1;   ///< the layer whose KV it holds; -1: all layers
};

/// Which of a group's blocks must be present for a prefix to be usable.
enum class hit_rule : std::uint8_t {
    all_blocks,  ///< full attention: every block of the prefix
    last_n,      ///< sliding windows and recurrent state: only the prefix's last n blocks
};

/// One cache group: all KV that is paged by the same slot numbers.
struct group_layout {
    std::vector<region> regions;
    hit_rule rule = hit_rule::all_blocks;
    std::uint32_t last_n = 0;  ///< for hit_rule::last_n, at least 1
};

/// Where the KV of blocks lives in L1: byte regions per group, not a format. Covers K and V split
/// per layer, cross-layer blocks, MLA latents and side buffers.
///
/// In L2 and L3 a block of a group is contiguous: its pieces in the order of the group's regions.
class layout {
 public:
    /// \return kInvalidArgument, naming group and region, if a region is empty, overflows the
    ///         address space, has a stride below its bytes, or overlaps another region's slots;
    ///         or if a last_n group has n = 0, or there is no group or a group without regions.
    [[nodiscard]] static absl::StatusOr<layout> create(std::vector<group_layout> groups);

    [[nodiscard]] std::span<const group_layout> groups() const noexcept { return groups_; }
    /// Bytes of a block of group `g` in L2 and L3.
    [[nodiscard]] std::uint64_t block_bytes(std::size_t g) const noexcept {
        return block_bytes_[g];
    }
    /// The largest of all groups: what an L2 slot must hold.
    [[nodiscard]] std::uint64_t max_block_bytes() const noexcept;
    /// Slots that group `g` has in L1: the fewest over its regions.
    [[nodiscard]] std::uint32_t slots(std::size_t g) const noexcept { return slots_[g]; }
    /// Pieces of a block of group `g`: the descriptors that a copy of it takes.
    [[nodiscard]] std::uint32_t pieces(std::size_t g) const noexcept {
        return static_cast<std::uint32_t>(groups_[g].regions.size());
    }

    /// The longest usable prefix, in blocks, of at most `blocks`: the smallest over groups.
    /// \param present  present[g * blocks + i]: block i of group g can be had; groups() * blocks.
    [[nodiscard]] std::uint32_t usable_prefix(std::span<const std::uint8_t> present,
                                              std::uint32_t blocks) const noexcept;
    /// Whether block i of group g must be loaded for a prefix of `prefix` blocks.
    [[nodiscard]] bool needed(std::size_t g, std::uint32_t i, std::uint32_t prefix) const noexcept {
        const group_layout& group = groups_[g];
        return i < prefix && (group.rule == hit_rule::all_blocks || prefix - i <= group.last_n);
    }

 private:
    layout() = default;

    std::vector<group_layout> groups_;
    std::vector<std::uint64_t> block_bytes_;
    std::vector<std::uint32_t> slots_;
};

}  // namespace sluice
