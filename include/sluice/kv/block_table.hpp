// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <vector>

#include <sluice/kv/block_key.hpp>
#include <sluice/kv/layout.hpp>

namespace sluice {

/// Where one request's wish for one block stands.
enum class want : std::uint8_t {
    none,      ///< not to be loaded
    cached,    ///< in L1, not held yet: the reservation takes it
    queued,    ///< waits for a stage on the way to L2
    moving,    ///< a stage on the way to L2 works on it, for whoever waits
    landed,    ///< in L2
    copying,   ///< L2 to L1
    loaded,    ///< in L1, held
    draining,  ///< given up, but a copy to the request's own page is still under way
};

constexpr bool is_waiting(want w) noexcept { return w >= want::cached && w <= want::copying; }

/// One block of one request. Lives in an array of its request, at `index`; while it waits for the
/// block it is linked into the block's entry.
struct block_ref {
    block_ref* previous = nullptr;
    block_ref* next = nullptr;
    std::uint32_t entry = UINT32_MAX;
    std::uint32_t index : 24 = 0;
    std::uint32_t present : 1 = 0;  ///< lookup found it, and it has not been lost since
    want state : 7 = want::none;
};

/// What is known of one block, whoever asks: where it is, and who waits for it.
struct block_entry {
    enum class level : std::uint8_t { absent, coming, present };

    block_key key;
    std::uint8_t group = 0;
    std::uint8_t stage = 0;  ///< the stage on the way to L2 that it is at, while `l2` is coming
    bool moving = false;     ///< and that stage works on it
    bool overdue = false;    ///< and its soft timeout has passed: not worth waiting for
    bool copying = false;    ///< a copy to `l1_slot` is under way
    level l2 = level::absent;
    level l1 = level::absent;  ///< coming: a slot is reserved for it
    slot_id l2_slot = no_slot;
    slot_id l1_slot = no_slot;
    std::uint32_t hash = 0;   // of key and group; of an unused entry: the next one, index + 1
    std::uint32_t users = 0;  ///< requests that name it
    block_ref* waiters = nullptr;
};

/// The residency index: every block that is in L1 or L2, on its way, or named by a request.
///
/// Entries are named by number and do not move. An entry lives while somebody names it or a slot
/// holds it. Belongs to one loop.
class block_table {
 public:
    block_table() : places_(64) {}

    /// The entry of a block of a group, made if there is none; has one user more.
    std::uint32_t intern(const block_key& key, std::uint8_t group) {
        const std::uint32_t hash = hash_of(key, group);
        std::size_t at = hash & mask();
        for (; places_[at].entry != 0; at = (at + 1) & mask()) {
            if (places_[at].hash != hash) {
                continue;
            }
            block_entry& e = (*this)[places_[at].entry - 1];
            if (e.key == key && e.group == group) {
                ++e.users;
                return places_[at].entry - 1;
            }
        }
        const std::uint32_t id = take();
        block_entry& e = (*this)[id];
        e = block_entry{};
        e.key = key;
        e.group = group;
        e.hash = hash;
        e.users = 1;
        places_[at] = {id + 1, hash};
        if (8 * ++size_ > 7 * places_.size()) {
            grow();
        }
        return id;
    }

    /// That a block will soon be interned.
    void prefetch(const block_key& key, std::uint8_t group) const noexcept {
        __builtin_prefetch(&places_[hash_of(key, group) & mask()]);
    }

    [[nodiscard]] block_entry& operator[](std::uint32_t id) noexcept {
        return pages_[id / page_size][id % page_size];
    }

    /// One user less; forgets the entry when nothing needs it.
    void release(std::uint32_t id) noexcept {
        assert((*this)[id].users > 0);
        --(*this)[id].users;
        forget_if_unused(id);
    }

    /// To be called when a slot has let go of the block.
    void forget_if_unused(std::uint32_t id) noexcept {
        block_entry& e = (*this)[id];
        if (e.users > 0 || e.l2_slot != no_slot || e.l1_slot != no_slot) {
            return;
        }
        assert(e.waiters == nullptr);
        std::size_t at = e.hash & mask();
        while (places_[at].entry != id + 1) {
            at = (at + 1) & mask();
        }
        close_gap(at);
        e.hash = unused_;
        unused_ = id + 1;
        --size_;
    }

    /// \name Waiters
    ///@{
    void link(block_ref& ref) noexcept {
        block_entry& e = (*this)[ref.entry];
        ref.previous = nullptr;
        ref.next = e.waiters;
        if (e.waiters != nullptr) {
            e.waiters->previous = &ref;
        }
        e.waiters = &ref;
    }
    void unlink(block_ref& ref) noexcept {
        if (ref.previous != nullptr) {
            ref.previous->next = ref.next;
        } else {
            (*this)[ref.entry].waiters = ref.next;
        }
        if (ref.next != nullptr) {
            ref.next->previous = ref.previous;
        }
        ref.previous = nullptr;
        ref.next = nullptr;
    }
    ///@}

    [[nodiscard]] std::size_t size() const noexcept { return size_; }

 private:
    static constexpr std::uint32_t page_size = 512;

    // Where an entry is found: open addressing, linear probing. The hashes here and in the entries
    // spare a look at entries that are not meant: each would be a line of memory of its own.
    struct place {
        std::uint32_t entry = 0;  // index + 1; 0: empty
        std::uint32_t hash = 0;
    };

    [[nodiscard]] static std::uint32_t hash_of(const block_key& key, std::uint8_t group) noexcept {
        return static_cast<std::uint32_t>(key.hash()) + group;
    }
    [[nodiscard]] std::size_t mask() const noexcept { return places_.size() - 1; }

    std::uint32_t take() {
        if (unused_ != 0) {
            const std::uint32_t id = unused_ - 1;
            unused_ = (*this)[id].hash;
            return id;
        }
        if (made_ == pages_.size() * page_size) {
            pages_.push_back(std::make_unique<block_entry[]>(page_size));
        }
        return made_++;
    }

    // Empties a place, and moves up those behind it that could not be found past a gap.
    void close_gap(std::size_t gap) noexcept {
        for (std::size_t at = (gap + 1) & mask(); places_[at].entry != 0; at = (at + 1) & mask()) {
            const std::size_t home = places_[at].hash & mask();
            if (((at - home) & mask()) >= ((at - gap) & mask())) {
                places_[gap] = places_[at];
                gap = at;
            }
        }
        places_[gap] = {};
    }

    void grow() {
        std::vector<place> old(places_.size() * 2);
        old.swap(places_);
        for (const place& p : old) {
            if (p.entry == 0) {
                continue;
            }
            std::size_t at = p.hash & mask();
            while (places_[at].entry != 0) {
                at = (at + 1) & mask();
            }
            places_[at] = p;
        }
    }

    std::vector<place> places_;  // a power of two, at most seven eighths taken
    std::vector<std::unique_ptr<block_entry[]>> pages_;
    std::uint32_t made_ = 0;
    std::uint32_t unused_ = 0;  // index + 1, chained
    std::size_t size_ = 0;
};

static_assert(sizeof(block_entry) == 64 && sizeof(block_ref) == 24);

}  // namespace sluice
