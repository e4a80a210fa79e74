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
    struct block {
        block_key key;
        std::uint64_t bytes = 0;
        /// By place among the block's nodes: the life of the node in which it got the block, from
        /// 1 on; 0: it has none.
        std::array<std::uint16_t, max_replicas> lives{};
    };

    [[nodiscard]] block* find(const block_key& key) noexcept {
        if (blocks_.empty()) {
            return nullptr;
        }
        const std::uint32_t at = slots_[slot_of(key)];
        return at == 0 ? nullptr : &blocks_[at - 1];
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
        slots_[slot_of(key)] = static_cast<std::uint32_t>(blocks_.size());
        return b;
    }

 private:
    // Of the key, or where it would go.
    [[nodiscard]] std::size_t slot_of(const block_key& key) const noexcept {
        const std::size_t mask = slots_.size() - 1;
        std::size_t slot = key.hash() & mask;
        while (slots_[slot] != 0 && !(blocks_[slots_[slot] - 1].key == key)) {
            slot = (slot + 1) & mask;
        }
        return slot;
    }
    void grow() {
        slots_.assign(slots_.empty() ? 1024 : 2 * slots_.size(), 0);
        for (std::size_t i = 0; i < blocks_.size(); ++i) {
            slots_[slot_of(blocks_[i].key)] = static_cast<std::uint32_t>(i + 1);
        }
    }

    std::vector<block> blocks_;
    std::vector<std::uint32_t> slots_;  // index + 1, linear probing, at most half full
};

}  // namespace sluice::sim::detail
