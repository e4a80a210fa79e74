// SPDX-License-Identifier: Apache-2.0
// L2: whose memory a fetch may take, and what becomes of a slot that somebody leaves.
#include <algorithm>
#include <cassert>
#include <utility>

#include "mover.hpp"

namespace sluice::detail {

// A free or cold slot, behind that of the block before if that may go: neighbours are read
// together.
slot_id mover::acquire_idle_l2(const request& r, std::uint32_t index) {
    const slot_id last = index == 0 ? no_slot : table_[r.refs()[index - 1].entry].l2_slot;
    const slot_id s = l2_.next(last);
    if (s != no_slot) {
        if (l2_.is_cold(s)) {
            evict_l2(s);
        }
        l2_.take(s, r.refs()[index].entry);
    }
    return s;
}

slot_id mover::acquire_l2(request& r, std::uint32_t index) {
    slot_id s = acquire_idle_l2(r, index);
    if (s == no_slot && (s = steal_l2(r)) != no_slot) {
        evict_l2(s);
        l2_.reuse(s, r.refs()[index].entry);
    }
    return s;
}

bool mover::may_take(const request& taker, std::uint32_t entry) {
    const block_entry& e = table_[entry];
    if (l2_.transfers(e.l2_slot) > 0) {
        return false;
    }
    std::uint32_t waiters = 0;
    for (const block_ref* w = e.waiters; w != nullptr; w = w->next) {
        const request& other = at(request_index(*w));
        if (w->state != want::landed) {
            continue;
        }
        ++waiters;
        // One that prewarms takes from its like only, and holds on to nothing.
        const bool holds = other.holder && (!other.prewarm || taker.prewarm);
        if (holds || (taker.prewarm && !other.prewarm) || &other == &taker ||
            (!taker.holder && !(key_of(taker, rank_fetch) < key_of(other, rank_fetch)))) {
            return false;
        }
    }
    return waiters == l2_.users(e.l2_slot);  // nobody else (write-back) uses it
}

// The worst-ranked request without L1 gives up its last block that nobody better waits for.
slot_id mover::steal_l2(request& r) {
    constexpr int tries = 8;
    std::uint32_t passed_over[tries];
    int n = 0;
    slot_id found = no_slot;
    while (n < tries && !victims_.empty() && found == no_slot) {
        request& victim = at(victims_.top());
        if (!r.holder && !(key_of(r, rank_fetch) < key_of(victim, rank_fetch))) {
            break;
        }
        const bool may = !r.prewarm || (victim.prewarm && !victim.holder);  // so not itself
        for (std::uint32_t i = may ? victim.landed.last() : block_set::none;
             i != block_set::none && found == no_slot; i = victim.landed.before(i)) {
            const std::uint32_t entry = victim.refs()[i].entry;
            found = may_take(r, entry) ? table_[entry].l2_slot : no_slot;
        }
        passed_over[n++] = victim.index;
        victims_.pop();
    }
    for (int i = 0; i < n; ++i) {
        note_victim(at(passed_over[i]));
    }
    if (found == no_slot) {
        return no_slot;
    }
    ++stats_.l2_steals;
    const std::uint32_t entry = l2_.owner(found);
    block_entry& e = table_[entry];
    const std::uint64_t bytes = layout_.block_bytes(e.group);
    for (block_ref* w = e.waiters; w != nullptr; w = w->next) {
        if (w->state != want::landed) {
            continue;
        }
        request& other = at(request_index(*w));
        w->state = want::queued;
        other.landed.erase(w->index);
        ++other.fetching;
        other.counts.fetch_left += bytes;
        note_victim(other);
        l2_.release(found);
        queue_inbound(other, 0, w->index);
    }
    return found;  // cold now
}

void mover::evict_l2(slot_id s) {
    const std::uint32_t entry = l2_.owner(s);
    block_entry& e = table_[entry];
    e.l2 = level::absent;
    e.l2_slot = no_slot;
    ++stats_.l2_evictions;
    table_.forget_if_unused(entry);
}

void mover::l2_left(std::uint32_t entry, slot_id s, slot_pool::left what) {
    switch (what) {
    case slot_pool::left::quarantined: return;
    case slot_pool::left::in_use:
        if (l2_.transfers(s) > 0) {
            return;
        }
        break;  // somebody better may take it now
    case slot_pool::left::cold: break;
    case slot_pool::left::freed: {
        block_entry& e = table_[entry];
        e.l2 = level::absent;
        e.stage = 0;
        e.overdue = false;
        e.l2_slot = no_slot;
        table_.forget_if_unused(entry);
        break;
    }
    }
    if (fetch_.run.waits_for_memory()) {
        l2_room();
    }
}

void mover::l2_room() {
    fetch_.run.unpark([this](std::uint32_t id) { return entry_of(at(id), rank_fetch); });
}

void mover::note_victim(request& r) {
    if ((!r.holder || r.prewarm) && !r.landed.empty() && !r.settled()) {
        victims_.set(r.index, key_of(r, rank_fetch));
    } else {
        victims_.erase(r.index);
    }
}

}  // namespace sluice::detail
