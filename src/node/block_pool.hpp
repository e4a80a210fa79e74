// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <queue>
#include <span>
#include <unordered_map>
#include <vector>

#include <sluice/base/clock.hpp>
#include <sluice/kv/block_key.hpp>

#include "block_records.hpp"
#include "slabs.hpp"
#include "use_order.hpp"

namespace sluice::node {

/// Where a block is in the pool.
struct block_place {
    std::uint64_t offset = 0;      ///< bytes from the start of the memory, a multiple of 64
    std::uint64_t length = 0;      ///< bytes
    std::uint64_t generation = 0;  ///< never given twice
    std::uint64_t checksum = 0;
};

struct pool_options {
    std::span<std::byte> memory;  ///< only its size is used here; offsets count from its start
    /// Bytes of a slab and of the largest block, rounded up to 64, at most 64 GiB; 0: about a 64th
    /// of the memory, between 4 and 64 MiB where the memory is larger than that. What is left
    /// behind the last whole slab is not used.
    std::uint64_t slab_bytes = 0;
    duration lease = std::chrono::seconds(10);  ///< 0: nobody reads without asking
};

/// What a pool holds and has done. All bytes but `bytes` are those of slots: rounded up to 64.
struct pool_stats {
    std::uint64_t blocks = 0;    ///< that can be found
    std::uint64_t bytes = 0;     ///< of these, not rounded
    std::uint64_t capacity = 0;  ///< of all slabs
    std::uint64_t reserved = 0;  ///< for blocks that are not committed yet
    std::uint64_t limbo = 0;     ///< of removed blocks that may still be read
    std::uint64_t evicted = 0;   ///< blocks dropped to make room
    std::uint64_t refused = 0;   ///< wishes for which there was no room, or that were too large
};

/// The node's blocks: which key lies where, what may be rewritten, what goes first when it is full.
/// Pure bookkeeping: it touches no byte of the memory, and time is passed in; an instant earlier
/// than one before counts as that one.
///
/// *Leases.* The slot of a block that was found under a lease is not given out again before the
/// lease has passed, also when the block has been removed meanwhile: readers read without asking
/// again. Every other slot can be given out again at once.
///
/// *Room.* A slab has slots of one size, which is a block's length rounded up to 64; it changes its
/// size when it is empty only. When all slabs are taken, the block of the needed size goes that was
/// not used for the longest time. A slab of another size is emptied instead if all of it was last
/// used before that, or if the needed size has neither a block nor a free slot. Nothing goes that
/// is reserved or under a lease.
///
/// *Neighbours.* Blocks of one size that are reserved together lie next to each other if any slab
/// has room for that, and behind what their owner reserved last if that place is free. In a full
/// pool, neighbours that are all at least a third as old as the oldest block (in uses of the pool)
/// are dropped together to that end, behind the owner's last block or around one of the oldest.
/// Where there are none, room comes piece by piece, the longest pieces first; up to a 32nd of a
/// size's slots stays free rather than being used as single holes. Against dropping the oldest
/// only, the test of churn has runs of 10 blocks rather than 1.2, for one hit in a hundred.
///
/// Every call costs a constant time per block (logarithmic for leases of removed blocks),
/// amortised: emptying a slab is paid for by what filled it. Takes about 96 bytes per block.
///
/// \par Thread safety
/// None: belongs to one loop.
class block_pool {
 public:
    enum class verdict : std::uint8_t {
        granted,
        exists,     ///< the key is visible; counts as a use of it
        no_room,    ///< all that could go is reserved or under a lease
        too_large,  ///< longer than `largest_block()`
    };
    struct wish {
        block_key key;             ///< not empty
        std::uint64_t length = 0;  ///< bytes, at least 1
    };
    struct grant {
        enum verdict verdict = verdict::no_room;
        std::uint64_t token = 0;  ///< the rest is set if granted
        std::uint64_t offset = 0;
        std::uint64_t length = 0;
    };
    enum class committed : std::uint8_t {
        stored,
        exists,   ///< somebody else committed the key first; that block stays, this room is free
        unknown,  ///< no reservation of this owner
    };

    explicit block_pool(const pool_options& options);
    block_pool(const block_pool&) = delete;
    block_pool& operator=(const block_pool&) = delete;
    ~block_pool() = default;

    /// A block to be read. With `lease` it may be read from its place until `now` and the pool's
    /// lease have passed. Counts as a use.
    [[nodiscard]] std::optional<block_place> find(const block_key& key, time_point now, bool lease);
    /// The same without any effect.
    [[nodiscard]] std::optional<block_place> peek(const block_key& key) const;
    [[nodiscard]] bool contains(const block_key& key) const noexcept {
        return records_.find(key) != none;
    }

    /// Asks for room for blocks that are going to be put; may drop others. Where there is room for
    /// some only, the first of each size get it. A key may be reserved several times: the first
    /// commit wins.
    /// \param owner   who alone can commit or abandon, for example a connection
    /// \param grants  one per wish
    /// \pre `grants` is not shorter than `wishes`. Bounding what an owner reserves is the caller's.
    void reserve(std::span<const wish> wishes, std::uint64_t owner, time_point now,
                 std::span<grant> grants);
    /// What a token stands for, so that the bytes can be written; nothing if this owner has no
    /// such reservation.
    [[nodiscard]] std::optional<grant> reservation(std::uint64_t token, std::uint64_t owner) const;
    /// Makes a reserved block, whose bytes are in place, visible.
    committed commit(std::uint64_t token, std::uint64_t owner, std::uint64_t checksum,
                     time_point now);
    /// Gives a reservation back. \return false if this owner has no such reservation.
    bool abandon(std::uint64_t token, std::uint64_t owner);
    /// Gives back all that an owner has reserved, and forgets the owner. To be called once for
    /// every owner that has reserved.
    void abandon_all(std::uint64_t owner);

    /// \return false if the block was not there.
    bool remove(const block_key& key, time_point now);
    /// Removes a block if it still is the one of this generation. \return whether it was.
    bool drop(const block_key& key, std::uint64_t generation, time_point now);

    [[nodiscard]] std::uint64_t largest_block() const noexcept {
        return slabs_.size() == 0 ? 0 : slabs_.slab_bytes();
    }
    [[nodiscard]] pool_stats stats() const noexcept;

 private:
    /// Where an owner's next block of a size would lie behind its last one.
    struct next_place {
        std::uint64_t slot_bytes = 0;
        slabs::place at;
    };
    struct owner_state {
        use_list reserved;
        std::array<next_place, 4> next;  // a model's blocks have few sizes
        std::uint32_t replaced = 0;
    };
    /// A slab is in the order of use while it holds blocks and nothing in it is reserved.
    struct slab_use {
        use last;
        std::uint32_t reserved = 0;
        bool listed = false;
    };
    struct lease_end {
        time_point at;
        std::uint32_t id = none;
        friend bool operator>(const lease_end& a, const lease_end& b) { return a.at > b.at; }
    };

    [[nodiscard]] auto record_uses() noexcept {
        return [this](std::uint32_t id) -> use& { return records_[id].last; };
    }
    [[nodiscard]] auto slab_uses() noexcept {
        return [this](std::uint32_t slab) -> use& { return slab_uses_[slab].last; };
    }
    [[nodiscard]] use_order& order_of(const block_record& r) noexcept {
        return orders_[slabs_.class_of(r.at.slab)];
    }
    [[nodiscard]] std::uint64_t length_of(const block_record& r) const noexcept {
        return slabs_.slot_bytes(r.at.slab) - r.padding;
    }
    [[nodiscard]] block_place place_of(const block_record& r) const noexcept;
    [[nodiscard]] std::uint32_t find_reserved(std::uint64_t token,
                                              std::uint64_t owner) const noexcept;

    // In block_pool.cpp.
    void advance(time_point now) noexcept { now_ = now > now_ ? now : now_; }
    void touch(std::uint32_t id) noexcept;
    void end_reservation(std::uint32_t id);
    void remove_visible(std::uint32_t id);
    void release(std::uint32_t id);
    void relist(std::uint32_t slab) noexcept;

    // In block_pool_room.cpp.
    void place(std::span<const wish> wishes, std::span<const std::uint32_t> which,
               std::uint64_t owner, std::span<grant> grants);
    void grant_slot(const wish& w, slabs::place at, std::uint64_t owner, owner_state& o, grant& g);
    [[nodiscard]] slabs::run take(std::uint64_t slot_bytes, std::uint32_t want, slabs::place next);
    bool empty_older_slab(std::uint32_t size_class);
    bool make_run(std::uint32_t size_class, std::uint32_t want, slabs::place next);
    bool evict_oldest(std::uint32_t size_class);
    [[nodiscard]] std::uint32_t oldest(std::uint32_t size_class) noexcept;
    bool clear(slabs::place from, std::uint32_t want, std::uint64_t age);
    [[nodiscard]] std::uint64_t age_of(std::uint32_t id) const noexcept {
        return tick_ - records_[id].last.tick;
    }
    bool reclaim();
    void empty_slab(std::uint32_t slab);
    void evict(std::uint32_t id);

    const duration lease_;
    slabs slabs_;
    block_records records_;
    std::vector<slab_use> slab_uses_;
    use_order slab_order_;
    std::vector<use_order> orders_;  // of the visible blocks of each size class
    std::unordered_map<std::uint64_t, owner_state> owners_;
    std::priority_queue<lease_end, std::vector<lease_end>, std::greater<>> limbo_;
    time_point now_ = time_point::min();
    std::uint64_t tick_ = 0;
    std::uint64_t generations_ = 0;
    std::uint32_t reservations_ = 0;
    pool_stats stats_;
    std::vector<std::uint32_t> wanted_;   // wishes to be placed; kept for its memory
    std::vector<std::uint32_t> victims_;  // the same
};

}  // namespace sluice::node
