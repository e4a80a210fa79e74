// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include <sluice/kv/block_key.hpp>

#include "../placement.hpp"

namespace sluice::sim::detail {

using sluice::detail::max_replicas;

/// Which blocks there are, how long they are, and on which of their nodes. A node that has died
/// counts a life more, so that all its blocks are gone at once.
class presence {
 public:
    struct alignas(64) block {
        block_key key;
        std::uint64_t bytes = 0;
        /// By place among the block's nodes: the life of the node in which it got the block, from
        /// 1 on; 0: it has none.
        std::array<std::uint16_t, max_replicas> lives{};
    };

    [[nodiscard]] block* find(const block_key& key) noexcept {
        const std::uint32_t index = slots_[slot_of(key, key.hash())].index;
        return index == 0 ? nullptr : &blocks_[index - 1];
    }

    /// Made if there is none. Valid until the next call.
    block& insert(const block_key& key) {
        if (block* const b = find(key); b != nullptr) {
            return *b;
        }
        if (2 * (blocks_.size() + 1) > slots_.size()) {
            grow();
        }
        block& b = blocks_.emplace_back();
        b.key = key;
        place(key.hash(), static_cast<std::uint32_t>(blocks_.size()));
        return b;
    }

 private:
    // Linear probing, at most half full.
    struct slot {
        std::uint32_t index = 0;  // of the block, + 1
        std::uint32_t tag = 0;    // of its hash, so that others need not be looked at
    };

    static std::uint32_t tag_of(std::uint64_t hash) noexcept {
        return static_cast<std::uint32_t>(hash >> 32);
    }
    // Of the key, or where it would go.
    [[nodiscard]] std::size_t slot_of(const block_key& key, std::uint64_t hash) const noexcept {
        const std::size_t mask = slots_.size() - 1;
        std::size_t at = hash & mask;
        while (slots_[at].index != 0 &&
               (slots_[at].tag != tag_of(hash) || !(blocks_[slots_[at].index - 1].key == key))) {
            at = (at + 1) & mask;
        }
        return at;
    }
    void place(std::uint64_t hash, std::uint32_t index) noexcept {
        const std::size_t mask = slots_.size() - 1;
        std::size_t at = hash & mask;
        while (slots_[at].index != 0) {
            at = (at + 1) & mask;
        }
        slots_[at] = {index, tag_of(hash)};
    }
    void grow() {
        slots_.assign(2 * slots_.size(), slot{});
        for (std::size_t i = 0; i < blocks_.size(); ++i) {
            place(blocks_[i].key.hash(), static_cast<std::uint32_t>(i + 1));
        }
    }

    std::vector<block> blocks_;
    std::vector<slot> slots_ = std::vector<slot>(1024);
};

}  // namespace sluice::sim::detail
