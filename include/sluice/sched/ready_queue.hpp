// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <unordered_map>
#include <vector>

#include <sluice/sched/indexed_heap.hpp>
#include <sluice/sched/policy.hpp>

namespace sluice {

/// A rank as one integer with the same order: the tier in the two highest bits, below it the 62
/// leading bits of an order-keeping image of the value. Values that differ in their last two of 53
/// binary digits may become equal, never swap. -0.0 equals 0.0, and NaN is last in its tier.
[[nodiscard]] std::uint64_t pack_rank(rank_value rank) noexcept;

/// A dispatcher's queue: the requests that have work at one stage, best first.
///
/// The order: the overdue ones by rank; then L1 holders, normal before hopeless; then the others,
/// normal before hopeless; then the background, L1 holders first. Within each of these last six
/// groups the flow with the smallest start tag goes first, then rank. Equal ranks go in arrival
/// order. With one flow there are no tags to compare, and it is a plain heap.
///
/// Flows share the stage by start-time fair queueing (Goyal, Vin, Cheng, SIGCOMM 1996): a flow that
/// gets work after it had none starts at the virtual time or at the end of what it was charged,
/// whichever is later; each charge moves it on by seconds over weight. While two flows both have
/// normal work of the same kind (both L1 holders or both not), their charges over weight differ by
/// at most the sum of each one's largest single charge over weight.
///
/// Ids are small integers chosen by the caller (an index that is used again); memory follows the
/// largest. Everything is O(log n); only `set` allocates, and only while it grows.
///
/// There is no iteration. A dispatcher whose best request cannot start now (no L2 slot, say) erases
/// it, goes on with the next `top()`, and sets it again when what it lacked may be there: it then
/// stands where it stood, at the cost of two O(log n) steps per pause.
class ready_queue {
 public:
    struct entry {
        std::uint64_t rank = 0;           ///< of `pack_rank`
        std::uint32_t arrival_order = 0;  ///< a counter; may wrap, see `set`
        bool holder = false;              ///< its L1 reservation has been granted
        std::uint32_t flow = 0;           ///< of `policy::flow`
        double weight = 1;                ///< of that flow; what is not positive counts as 1
    };

    ready_queue();

    /// Inserts `id`, or changes what is known of it. Arrival orders are compared as a counter that
    /// wraps, which is right as long as those queued at once span less than 2^31. The weight of a
    /// flow is the one last given.
    void set(std::uint32_t id, const entry& e);

    /// Takes `id` out; nothing happens if it is not there.
    void erase(std::uint32_t id) noexcept;

    /// Says that an operation of `id` starts, predicted to take `seconds` of the stage: its flow
    /// pays. Call it before the `erase` that follows when nothing of `id` is left; does nothing if
    /// `id` is not queued. A shared operation charges the one that started it.
    void charge(std::uint32_t id, double seconds) noexcept;

    [[nodiscard]] bool contains(std::uint32_t id) const noexcept {
        return id < items_.size() && items_[id].at != absent;
    }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }

    /// The best id. \pre not empty
    [[nodiscard]] std::uint32_t top() const noexcept {
        assert(size_ != 0);
        if (!overdue_.empty()) {
            return overdue_.front().id;
        }
        for (std::size_t g = 0; g + 1 < groups; ++g) {
            if (!order_[g].empty()) {
                return flows_[order_[g].top()].heaps[g].front().id;
            }
        }
        return flows_[order_[groups - 1].top()].heaps[groups - 1].front().id;
    }

    /// The best request that stands behind L1 holders only because it is none itself: its rank is
    /// better than the best holder's. `nobody` if there is no such request.
    [[nodiscard]] std::uint32_t held_back() const noexcept {
        const node* const holder = best_of(0);
        const node* const other = best_of(2);
        return holder != nullptr && other != nullptr && node_before(*other, *holder) ? other->id
                                                                                     : nobody;
    }
    static constexpr std::uint32_t nobody = std::numeric_limits<std::uint32_t>::max();

    /// Makes room for the ids 0 to `ids` - 1 in one flow and group.
    void reserve(std::size_t ids) { items_.reserve(ids); }

    /// Flows that are remembered: those with work, and some that had some.
    [[nodiscard]] std::size_t flows() const noexcept { return slots_.size(); }

 private:
    static constexpr std::uint32_t absent = std::numeric_limits<std::uint32_t>::max();
    // Holders normal, holders hopeless, others normal, others hopeless, holders background, others
    // background. The overdue stand apart: they go oldest first, whoever pays.
    static constexpr std::size_t groups = 6;
    static constexpr std::uint32_t overdue_group = groups;

    struct node {
        std::uint64_t rank;
        std::uint32_t order;
        std::uint32_t id;
    };
    using heap = detail::heap_array<node>;

    static bool node_before(const node& a, const node& b) noexcept {
        // No branches: in a heap each outcome is as likely as the other.
        const bool less = a.rank < b.rank;
        const bool equal = a.rank == b.rank;
        return less | (equal & (static_cast<std::int32_t>(a.order - b.order) < 0));
    }

    // Where an id is queued.
    struct item {
        std::uint32_t at = absent;     // in its heap
        std::uint32_t slot_group = 0;  // flow slot << 3 | group

        [[nodiscard]] std::uint32_t slot() const noexcept { return slot_group >> 3; }
        [[nodiscard]] std::uint32_t group() const noexcept { return slot_group & 7; }
    };

    struct flow_state {
        std::array<heap, groups> heaps;
        double tag = 0;  // queued: the start tag of its next operation; else its last finish tag
        double weight = 1;
        std::uint32_t flow = 0;
        std::uint32_t queued = 0;  // ids in any group, the overdue included
    };

    // What flows are ordered by: the tag, then their best request. Of the only flow of a group it
    // may be out of date: nothing is compared with it.
    struct flow_key {
        double tag;
        node best;
    };
    struct flow_before {
        bool operator()(const flow_key& a, const flow_key& b) const noexcept {
            return a.tag != b.tag ? a.tag < b.tag : node_before(a.best, b.best);
        }
    };
    using flow_heap = indexed_heap<flow_key, flow_before>;

    // The best node of a group or else of the one behind it.
    [[nodiscard]] const node* best_of(std::size_t group) const noexcept {
        for (const std::size_t g : {group, group + 1}) {
            if (!order_[g].empty()) {
                return &flows_[order_[g].top()].heaps[g].front();
            }
        }
        return nullptr;
    }
    [[nodiscard]] static std::uint32_t group_of(std::uint32_t tier, bool holder) noexcept;
    [[nodiscard]] heap& heap_of(const item& it) noexcept {
        return it.group() == overdue_group ? overdue_ : flows_[it.slot()].heaps[it.group()];
    }
    std::uint32_t slot_of(std::uint32_t flow);
    std::uint32_t add_flow(std::uint32_t flow);
    void forget_idle_flows() noexcept;
    void insert(std::uint32_t id, const node& n, std::uint32_t slot, std::uint32_t group);
    void remove(std::uint32_t id) noexcept;
    void refresh(std::uint32_t slot, std::size_t group) noexcept;

    std::vector<item> items_;  // by id
    heap overdue_;
    std::array<flow_heap, groups> order_;  // by flow slot: the flows that have work in the group
    std::vector<flow_state> flows_;        // by slot
    std::vector<std::uint32_t> free_slots_;
    std::unordered_map<std::uint32_t, std::uint32_t> slots_;  // by flow
    std::uint32_t last_slot_ = 0;
    std::size_t active_flows_ = 0;  // those with work
    std::size_t sweep_at_ = 64;     // flows, when to look for some to forget
    std::size_t size_ = 0;
    double virtual_time_ = 0;
};

}  // namespace sluice
