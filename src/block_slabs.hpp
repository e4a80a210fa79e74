// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <unordered_map>
#include <vector>

#include <sluice/kv/block_key.hpp>

namespace sluice::detail {

/// A block and its header.
struct stored_block {
    block_key key;
    std::byte* data = nullptr;
    std::uint64_t length = 0;
    std::uint64_t checksum = 0;

    // The table's.
    std::uint32_t size_class = 0;
    std::uint32_t slab = 0;
    std::uint64_t used_at = 0;
    stored_block* older = nullptr;
    stored_block* newer = nullptr;

    [[nodiscard]] std::span<std::byte> bytes() const noexcept {
        return {data, static_cast<std::size_t>(length)};
    }
};

/// Blocks by key, in slabs of equal slots per block size, within a bound of bytes. Not thread-safe.
///
/// A block takes its length rounded up to 64 bytes. Memory goes back and forth between sizes by
/// whole slabs only. The first slabs of a size are small, so that many sizes fit.
class block_slabs {
 public:
    block_slabs(std::uint64_t capacity, bool evict) noexcept : capacity_(capacity), evict_(evict) {}
    block_slabs(const block_slabs&) = delete;
    block_slabs& operator=(const block_slabs&) = delete;
    ~block_slabs();

    /// The block of a key, or null; pointers stay good until the block is dropped.
    [[nodiscard]] stored_block* find(const block_key& key) noexcept;
    /// Marks a block as the most recently used.
    void touch(stored_block& b) noexcept;

    /// Room for a block that is not visible yet; null if the table is full. With eviction, drops
    /// the least recently used blocks: of the same size if there are any, else of all.
    [[nodiscard]] stored_block* reserve(const block_key& key, std::uint64_t length);
    /// Makes a reserved block visible. If its key is there by now, that block stays and `b` goes.
    void commit(stored_block& b);
    /// Gives a reserved block's room back.
    void abandon(stored_block& b) noexcept;
    /// Drops a visible block.
    void drop(stored_block& b) noexcept;

    [[nodiscard]] std::uint64_t blocks() const noexcept { return index_.size(); }
    [[nodiscard]] std::uint64_t bytes() const noexcept { return bytes_; }
    [[nodiscard]] std::uint64_t evicted() const noexcept { return evicted_; }

 private:
    struct slot {
        std::byte* data;
        std::uint32_t slab;
    };
    struct slab {
        std::span<std::byte> pages;  // empty: given back
        std::uint64_t charged = 0;   // bytes of its slots
        std::uint32_t size_class = 0;
        std::uint32_t used = 0;  // slots
    };
    struct size_class {
        std::uint64_t slot_bytes = 0;
        std::uint64_t slots = 0;
        std::vector<slot> free = {};
        stored_block* oldest = nullptr;
        stored_block* newest = nullptr;
    };

    std::uint32_t class_of(std::uint64_t slot_bytes);
    bool grow(std::uint32_t c);
    bool release_unused_slab() noexcept;
    stored_block* victim(std::uint32_t c) noexcept;
    void link(stored_block& b) noexcept;
    void unlink(stored_block& b) noexcept;

    const std::uint64_t capacity_;
    const bool evict_;
    std::uint64_t charged_ = 0;
    std::uint64_t bytes_ = 0;
    std::uint64_t evicted_ = 0;
    std::uint64_t tick_ = 0;
    std::size_t unused_slabs_ = 0;
    std::vector<slab> slabs_;
    std::vector<size_class> classes_;
    std::unordered_map<std::uint64_t, std::uint32_t> class_by_size_;
    std::unordered_map<block_key, stored_block*> index_;
    std::deque<stored_block> headers_;
    std::vector<stored_block*> free_headers_;
};

}  // namespace sluice::detail
