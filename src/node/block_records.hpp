// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include <sluice/kv/block_key.hpp>

#include "paged.hpp"
#include "slabs.hpp"
#include "use_order.hpp"

namespace sluice::node {

/// What a taken slot is for.
struct block_record {
    enum class state : std::uint8_t {
        unused,    ///< no slot: the record is free
        reserved,  ///< for a block that somebody is about to put; in its owner's list
        visible,   ///< holds a block that can be found; in its size's order of use
        limbo,     ///< gone, but somebody may still read it; in the queue of leases to end
    };

    use last;
    std::uint64_t number = 0;             ///< reserved: the token; visible: the generation
    std::uint64_t owner_or_checksum = 0;  ///< reserved: the owner; visible: the checksum
    slabs::place at;
    std::uint32_t chain = none;  ///< the next of its bucket + 1, or the next unused one
    block_key key;
    enum state state = state::unused;
    std::uint8_t padding = 0;  ///< bytes of the slot behind the block
};

static_assert(sizeof(block_record) == 88);

/// The records, and the visible ones by key. Grows by one bucket at a time, so that no insertion
/// takes long; does not shrink.
class block_records {
 public:
    block_records();

    [[nodiscard]] block_record& operator[](std::uint32_t id) noexcept { return records_[id]; }
    [[nodiscard]] const block_record& operator[](std::uint32_t id) const noexcept {
        return records_[id];
    }
    /// Whether there has ever been a record of this number.
    [[nodiscard]] bool known(std::uint64_t id) const noexcept { return id < records_.size(); }

    /// A record that nobody uses, as block_record{} is.
    [[nodiscard]] std::uint32_t make();
    /// \pre not in the index.
    void drop(std::uint32_t id) noexcept;

    /// The visible block of a key, or `none`.
    [[nodiscard]] std::uint32_t find(const block_key& key) const noexcept;
    /// \pre its key is not in the index.
    void insert(std::uint32_t id);
    void erase(std::uint32_t id) noexcept;
    [[nodiscard]] std::uint64_t visible() const noexcept { return visible_; }

 private:
    [[nodiscard]] std::uint32_t bucket_of(const block_key& key) const noexcept;
    void add_bucket();

    paged<block_record> records_;
    paged<std::uint32_t> buckets_;  // the first record of each, + 1
    std::uint32_t mask_;            // the buckets rounded up to a power of two, - 1
    std::uint64_t visible_ = 0;
    std::uint64_t seed_ = 0;
    std::uint32_t unused_ = none;
};

}  // namespace sluice::node
