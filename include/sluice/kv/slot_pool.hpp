// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cassert>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include <sluice/kv/layout.hpp>

namespace sluice {

/// Which cold slot a pool gives up first: the seam for other orders than least recently used.
/// Called on the pool's thread only.
class eviction_order {
 public:
    eviction_order() = default;
    eviction_order(const eviction_order&) = delete;
    eviction_order& operator=(const eviction_order&) = delete;
    virtual ~eviction_order() = default;

    /// `slot` holds a block that nobody uses any more.
    virtual void became_cold(slot_id slot) = 0;
    /// `slot` is used again, or given up.
    virtual void no_longer_cold(slot_id slot) noexcept = 0;
    /// The slot to give up next, or `no_slot`. It stays cold.
    [[nodiscard]] virtual slot_id victim() const noexcept = 0;
    /// Whether `slot`, which is cold, may go now although it is not its turn, because its
    /// neighbour goes: blocks that lie next to each other are read together. Must not take long.
    /// The default keeps to the order of `victim`.
    [[nodiscard]] virtual bool may_go_early(slot_id slot) const noexcept {
        static_cast<void>(slot);
        return false;
    }
};

/// The default: the slot that has been cold longest.
///
/// A neighbour may go with it if it has been cold at least a third as long, counted in slots that
/// became cold since. So what was used lately stays, and what was loaded together goes together.
class least_recently_used final : public eviction_order {
 public:
    explicit least_recently_used(std::uint32_t slots) : links_(std::size_t{slots} + 1) {
        links_[0] = {};
    }
    void became_cold(slot_id slot) override {
        const std::uint32_t at = slot + 1;  // 0 is the ring's head
        links_[at] = {links_[0].previous, 0, ++turns_};
        links_[links_[0].previous].next = at;
        links_[0].previous = at;
    }
    void no_longer_cold(slot_id slot) noexcept override {
        const link& gone = links_[slot + 1];
        links_[gone.previous].next = gone.next;
        links_[gone.next].previous = gone.previous;
    }
    [[nodiscard]] slot_id victim() const noexcept override {
        return links_[0].next == 0 ? no_slot : links_[0].next - 1;
    }
    [[nodiscard]] bool may_go_early(slot_id slot) const noexcept override {
        constexpr std::uint64_t old_share = 3;
        const std::uint64_t age = turns_ - links_[slot + 1].since;
        return old_share * age >= turns_ - links_[links_[0].next].since;
    }

 private:
    struct link {
        std::uint32_t previous = 0;
        std::uint32_t next = 0;
        std::uint64_t since = 0;
    };
    std::vector<link> links_;
    std::uint64_t turns_ = 0;  // slots that became cold so far
};

/// Equal slots of memory with users and transfers counted, and a cache of what nobody uses.
///
/// A slot is *free*; *in use* (users > 0); *cold* (no user, holds a whole block: may be used again
/// or given up); or *quarantined* (no user, but a transfer may still touch it; it becomes free or
/// cold when the transfer is quiet, and is not given out before). Each slot has an owner, a number
/// that means something to the caller.
///
/// Blocks that are read together are read fastest into neighbouring slots. Who wants that takes
/// slots by `next` and `take`; `acquire`, `victim` and `reuse` do not look at neighbours.
///
/// \par Thread safety
/// None: belongs to one loop.
class slot_pool {
 public:
    static constexpr std::uint32_t no_owner = UINT32_MAX;

    /// What became of a slot when its last user left.
    enum class left : std::uint8_t { in_use, cold, freed, quarantined };

    explicit slot_pool(std::uint32_t slots, std::unique_ptr<eviction_order> order = nullptr)
        : slots_(slots),
          order_(order ? std::move(order) : std::make_unique<least_recently_used>(slots)) {
        free_.reserve(slots);
        for (slot_id s = slots; s-- > 0;) {
            enlist(s);
        }
    }

    [[nodiscard]] std::uint32_t size() const noexcept {
        return static_cast<std::uint32_t>(slots_.size());
    }
    [[nodiscard]] std::uint32_t free() const noexcept {
        return static_cast<std::uint32_t>(free_.size());
    }
    [[nodiscard]] std::uint32_t cold() const noexcept { return cold_; }
    [[nodiscard]] std::uint32_t quarantined() const noexcept { return quarantined_; }

    /// A free slot with one user, or `no_slot`.
    [[nodiscard]] slot_id acquire(std::uint32_t owner) noexcept {
        if (free_.empty()) {
            return no_slot;
        }
        const slot_id s = free_.back();
        take(s, owner);
        return s;
    }

    /// The cold slot to give up next, or `no_slot`.
    [[nodiscard]] slot_id victim() const noexcept { return order_->victim(); }

    /// Gives up what a cold slot holds; it then has one user. The old owner must have let go.
    void reuse(slot_id s, std::uint32_t owner) noexcept {
        assert(is_cold(s));
        take(s, owner);
    }

    /// The slot to `take` for the block that follows the one in `last` (`no_slot`: there is none):
    /// a free slot, or if none is free a cold one; or `no_slot`. It is the one behind `last` if
    /// that is free, or none is free and it is cold and may go (`eviction_order::may_go_early`).
    /// Else it begins a run of such slots if there is one at the slot that `acquire` or `victim`
    /// names.
    [[nodiscard]] slot_id next(slot_id last) const noexcept;

    /// Gives a free or cold slot one user. A cold slot's old owner must have let go.
    void take(slot_id s, std::uint32_t owner) noexcept {
        if (is_cold(s)) {
            leave_cold(s);
        } else {
            unlist(s);
        }
        slots_[s] = slot{owner, 1, 0, 0, false};
    }

    /// One more user.
    void retain(slot_id s) noexcept {
        if (is_cold(s)) {
            leave_cold(s);
        } else if (slots_[s].users == 0) {
            --quarantined_;
        }
        ++slots_[s].users;
    }

    /// One user less.
    left release(slot_id s) noexcept {
        assert(slots_[s].users > 0);
        if (--slots_[s].users > 0) {
            return left::in_use;
        }
        if (slots_[s].transfers > 0) {
            ++quarantined_;
            return left::quarantined;
        }
        return settle(s);
    }

    /// A transfer starts to touch the slot.
    void transfer_begins(slot_id s) noexcept {
        assert(slots_[s].users > 0);
        ++slots_[s].transfers;
    }

    /// A transfer is quiet. Says what became of a slot that only waited for that.
    left transfer_ends(slot_id s) noexcept {
        assert(slots_[s].transfers > 0);
        if (--slots_[s].transfers > 0 || slots_[s].users > 0) {
            return slots_[s].users > 0 ? left::in_use : left::quarantined;
        }
        --quarantined_;
        return settle(s);
    }

    /// Whether the slot holds a whole block, so that it is worth keeping.
    void set_whole(slot_id s, bool whole) noexcept {
        assert(!is_cold(s));
        slots_[s].whole = whole;
    }
    /// Gives a slot in use to somebody else, or to nobody.
    void set_owner(slot_id s, std::uint32_t owner) noexcept { slots_[s].owner = owner; }

    [[nodiscard]] std::uint32_t owner(slot_id s) const noexcept { return slots_[s].owner; }
    [[nodiscard]] std::uint32_t users(slot_id s) const noexcept { return slots_[s].users; }
    [[nodiscard]] std::uint32_t transfers(slot_id s) const noexcept { return slots_[s].transfers; }
    [[nodiscard]] bool whole(slot_id s) const noexcept { return slots_[s].whole; }
    [[nodiscard]] bool is_free(slot_id s) const noexcept { return is_idle(s) && !slots_[s].whole; }
    [[nodiscard]] bool is_cold(slot_id s) const noexcept { return is_idle(s) && slots_[s].whole; }

 private:
    struct slot {
        std::uint32_t owner = no_owner;
        std::uint32_t users = 0;
        std::uint32_t transfers = 0;
        std::uint32_t listed = 0;  // where it is in `free_`, if it is there
        bool whole = false;
    };

    [[nodiscard]] bool is_idle(slot_id s) const noexcept {
        return slots_[s].users == 0 && slots_[s].transfers == 0;
    }
    [[nodiscard]] bool may_take(slot_id s) const noexcept;
    [[nodiscard]] slot_id begin_run(slot_id at) const noexcept;
    void enlist(slot_id s) noexcept {
        slots_[s].listed = static_cast<std::uint32_t>(free_.size());
        free_.push_back(s);
    }
    void unlist(slot_id s) noexcept {
        assert(is_free(s));
        const slot_id moved = free_.back();
        free_[slots_[s].listed] = moved;
        slots_[moved].listed = slots_[s].listed;
        free_.pop_back();
    }
    void leave_cold(slot_id s) noexcept {
        order_->no_longer_cold(s);
        --cold_;
    }
    left settle(slot_id s) noexcept {
        if (slots_[s].whole) {
            order_->became_cold(s);
            ++cold_;
            return left::cold;
        }
        slots_[s].owner = no_owner;
        enlist(s);
        return left::freed;
    }

    std::vector<slot> slots_;
    std::vector<slot_id> free_;
    std::unique_ptr<eviction_order> order_;
    std::uint32_t cold_ = 0;
    std::uint32_t quarantined_ = 0;
};

}  // namespace sluice
