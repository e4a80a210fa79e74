// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <sluice/kv/block_key.hpp>

#include "../placement.hpp"

namespace sluice::sim::detail {

using sluice::detail::candidates;
using sluice::detail::max_replicas;

/// Which blocks there are, how long they are, and on which of their nodes. A node that has died
/// counts a life more, so that all its blocks are gone at once.
class presence {
 public:
    explicit presence(std::uint32_t replicas) noexcept : replicas_(replicas) {}

    /// One of the nodes of a block, and the life of that node in which it got the block, from 1 on;
    /// 0: it has none.
    struct home {
        std::uint16_t node = 0;
        std::uint16_t life = 0;
    };
    struct block {
        block_key key;
        std::uint64_t bytes = 0;
    };

    [[nodiscard]] block* find(const block_key& key) noexcept {
        // Blocks of one prompt come one after the other, as they did when they were made.
        if (next_ < blocks_.size() && blocks_[next_].key == key) {
            return &blocks_[next_++];
        }
        const std::uint32_t index = slots_[slot_of(key, key.hash())].index;
        if (index == 0) {
            return nullptr;
        }
        next_ = index;
        return &blocks_[index - 1];
    }

    /// Made if there is none. Valid until the next call.
    /// \param where  its nodes, best first
    block& insert(const block_key& key, const candidates& where) {
        if (block* const b = find(key); b != nullptr) {
            return *b;
        }
        if (2 * (blocks_.size() + 1) > slots_.size()) {
            grow();
        }
        block& b = blocks_.emplace_back();
        b.key = key;
        for (std::uint32_t place = 0; place < replicas_; ++place) {
            homes_.push_back({where.nodes[place], 0});
        }
        place(key.hash(), static_cast<std::uint32_t>(blocks_.size()));
        return b;
    }

    /// The nodes of a block, best first.
    [[nodiscard]] std::span<home> homes(const block& b) noexcept {
        const auto index = static_cast<std::size_t>(&b - blocks_.data());
        return std::span(homes_).subspan(index * replicas_, replicas_);
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

    const std::uint32_t replicas_;
    std::vector<block> blocks_;
    std::vector<home> homes_;  // `replicas_` for each block
    std::size_t next_ = 0;     // behind the block that was found last
    std::vector<slot> slots_ = std::vector<slot>(1024);
};

}  // namespace sluice::sim::detail
