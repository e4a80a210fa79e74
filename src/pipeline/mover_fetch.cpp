// SPDX-License-Identifier: Apache-2.0
// Blocks on their way into L2: flights, their waiters, and the memory that they may take.
#include <algorithm>
#include <cassert>
#include <utility>

#include "guard.hpp"
#include "mover.hpp"

namespace sluice::detail {

// ---- a request's wish for a block: begins, and ends by being loaded, dropped or lost

bool mover::begin_ref(request& r, block_ref& ref) {
    block_entry& e = table_[ref.entry];
    const std::uint64_t bytes = layout_.block_bytes(e.group);
    const bool fetchable = e.l2 != level::absent ? !e.overdue : store_ != nullptr && !store_dead_;
    const bool in_l1 = library_owned() && e.l1 == level::present;
    if (!in_l1 && !fetchable) {
        ref.present = 0;
        return false;
    }
    table_.link(ref);
    ++r.waiting;
    if (in_l1) {
        ref.state = want::cached;
        ++stats_.l1_hits;
        return true;
    }
    r.counts.copy_left += bytes;
    if (e.l2 == level::present) {
        l2_.retain(e.l2_slot);
        land(r, ref);
        ++stats_.l2_hits;
        note_victim(r);
        return true;
    }
    ++r.fetching;
    if (e.l2 == level::coming) {
        l2_.retain(e.l2_slot);
        ref.state = e.moving ? want::moving : want::queued;
    } else {
        ref.state = want::queued;
        r.counts.fetch_left += bytes;
    }
    if (ref.state == want::queued) {
        queue_inbound(r, e.stage, ref.index);
    }
    return true;
}

void mover::detach_ref(request& r, block_ref& ref) {
    block_entry& e = table_[ref.entry];
    const std::uint64_t bytes = layout_.block_bytes(e.group);
    const want was = ref.state;
    assert(is_waiting(was));
    table_.unlink(ref);
    ref.state = want::none;
    --r.waiting;
    if (was == want::cached) {
        l1_room_ += warm_ > 0 ? 1 : 0;  // nobody may count on the page any more
        return;
    }
    r.counts.copy_left -= bytes;
    if (was == want::queued || was == want::moving) {
        --r.fetching;
    }
    if (was == want::queued) {
        r.inbound(e.stage).erase(ref.index);
        r.counts.fetch_left -= e.l2 == level::absent ? bytes : 0;
    }
    if (was == want::landed) {
        r.landed.erase(ref.index);
        note_victim(r);
    }
    if (e.l2 != level::absent) {
        l2_left(ref.entry, e.l2_slot, l2_.release(e.l2_slot));
    }
}

void mover::drop_ref(request& r, block_ref& ref) {
    const bool to_its_own_page = ref.state == want::copying && !library_owned();
    detach_ref(r, ref);
    if (to_its_own_page) {
        ref.state = want::draining;
        ++r.draining;
    }
}

void mover::lose_ref(request& r, block_ref& ref) {
    ref.present = 0;
    drop_ref(r, ref);
    shorten(r, r.plan);
}

void mover::shorten(request& r, std::uint32_t limit) {
    const std::uint32_t k = usable(r, std::min<std::uint32_t>(limit, r.plan));
    if (r.settled() || k >= r.plan) {
        return;
    }
    if (!r.timed_out && !r.prewarm && options_.on_load_failure == load_failure::fail) {
        settle(r, event_kind::failed,
               absl::UnavailableError("a cached block could not be loaded; the request may be "
                                      "submitted again, or the pipeline be told to recompute"));
        return;
    }
    const std::uint32_t old = r.plan;
    set_plan(r, k);
    if (r.settled() || r.plan != k) {
        return;  // it became shorter still, and that has done the rest
    }
    if (library_owned() && r.holder && !keep_pages(r, k, old)) {
        ungrant(r);
        if (r.timed_out) {
            set_plan(r, 0);
        }
    }
    want_soon(r, false);
    check_loaded(r);
}

void mover::queue_inbound(request& r, std::uint8_t stage, std::uint32_t index) {
    r.inbound(stage).insert(index);
    if (r.inbound(stage).size() > 1) {
        return;  // it is queued, or parked, there
    }
    const ready_queue::entry e = entry_of(r, rank_fetch);
    if (stage == 0) {
        fetch_.run.ready(r.index, e);
    } else {
        inbound_[stage - 1U].run.ready(r.index, e);
    }
}

// ---- fetch

taken mover::take_fetch(std::uint32_t id, fetch_op*& out) {
    request& r = at(id);
    std::uint32_t index = r.fetches.first();
    while (store_dead_ && index != block_set::none) {
        lose_ref(r, r.refs()[index]);
        index = r.fetches.first();
    }
    if (index == block_set::none) {
        return taken::nothing;
    }
    block_ref& ref = r.refs()[index];
    block_entry& e = table_[ref.entry];
    const slot_id s = acquire_l2(r, index);
    if (s == no_slot && r.prewarm && !library_owned()) {
        // What it has already is all that it could wait for.
        for (; index != block_set::none; index = r.fetches.first()) {
            lose_ref(r, r.refs()[index]);
        }
        return taken::nothing;
    }
    if (s == no_slot) {
        want_soon(r, true);
        // Whoever is ranked behind may take no more than this one, unless it holds L1.
        const bool overdue_only = !r.holder && (rank_of(r, rank_fetch) >> 62) == 0;
        return overdue_only ? taken::blocked : taken::starved;
    }
    const std::uint64_t bytes = layout_.block_bytes(e.group);
    fetch_op& op = fetches_.take();
    begin_op(op, r, bytes, r.fetch_per_byte);
    op.entry = ref.entry;
    op.l2_slot = s;
    op.overdue = false;
    op.key = e.key;
    op.into = {l2_address(s), bytes};
    e.l2 = level::coming;
    e.l2_slot = s;
    start_moving(ref.entry, s);
    if (r.report.first_fetch == never) {
        r.report.first_fetch = io_.now();
        want_soon(r, false);
    }
    out = &op;
    // It holds nobody back who may have to become an L1 holder before the next fetch.
    return r.fetches.first() == block_set::none ? taken::last : taken::started;
}

void mover::start_fetches(std::span<fetch_op* const> ops) {
    store_get* batch[64];
    std::size_t n = 0;
    for (fetch_op* op : ops) {
        op->on_completion(io_, [](operation& o) noexcept {
            auto& self = static_cast<fetch_op&>(o);
            self.owner->fetch_done(self);
        });
        // What is in flight before it on the link delays it too.
        const double predicted = op->charge / static_cast<double>(op->bytes) *
                                 static_cast<double>(fetch_.run.bytes_in_flight());
        duration soft = options_.fetch_soft_timeout;
        if (soft <= duration{0}) {
            soft = std::max<duration>(std::chrono::milliseconds(250), from_seconds(4 * predicted));
        }
        arm_guard<store_get>(
            *op, io_, std::min(soft, options_.fetch_hard_timeout),
            [](guarded<store_get>& late) noexcept { late.owner->fetch_overdue(late); });
        batch[n++] = op;
    }
    store_->get({batch, n});
}

void mover::fetch_overdue(fetch_op& op) {
    if (op.overdue) {
        ++stats_.hard_timeouts;
        store_->abort(op);
        return;
    }
    op.overdue = true;
    ++overdue_fetches_;
    ++stats_.soft_timeouts;
    io_.arm(op.guard, saturating_add(op.started, options_.fetch_hard_timeout));
    table_[op.entry].overdue = true;
    fetch_.run.give_back(op);
    lost(op.entry);
    check_store();
    publish_soon();
}

void mover::fetch_done(fetch_op& op) {
    disarm_guard(op, io_);
    const duration service = fetch_.run.finished(op);
    request* const starter = starter_of(op.starter, op.starter_epoch);
    if (starter != nullptr) {
        starter->counts.fetch_ns += service.count();
        if (!starter->settled()) {
            starter->report.bytes_fetched += op.bytes;
        }
    }
    overdue_fetches_ -= op.overdue ? 1 : 0;
    stats_.blocks_verified += op.status().ok() ? 1 : 0;
    left_stage(op.entry, op.l2_slot, op.status(), starter);
    fetches_.give_back(op);
    if (starter != nullptr) {
        tell_progress(*starter, tell::served);
    }
    publish_soon();
}

void mover::check_store() {
    const double cap = options_.quarantine_share * static_cast<double>(l2_.size());
    if (store_dead_ || overdue_fetches_ <= std::max(1.0, cap)) {
        return;
    }
    // Memory that hung transfers may write is running out: stop asking, and close what is open.
    store_dead_ = true;
    abort_all();
    l2_room();
}

void mover::count_failure(const absl::Status& why) {
    switch (why.code()) {
    case absl::StatusCode::kNotFound: ++stats_.blocks_missed; break;
    case absl::StatusCode::kDataLoss: ++stats_.blocks_corrupt; break;
    default: ++stats_.blocks_failed; break;
    }
}

// ---- stages of the user's

taken mover::take_inbound(std::uint8_t stage, std::uint32_t id, inbound_op*& out) {
    request& r = at(id);
    const std::uint32_t index = r.inbound(stage).first();
    if (index == block_set::none) {
        return taken::nothing;
    }
    block_ref& ref = r.refs()[index];
    block_entry& e = table_[ref.entry];
    const std::uint64_t bytes = layout_.block_bytes(e.group);
    inbound_op& op = inbounds_.take();
    begin_op(op, r, bytes, 0);
    op.entry = ref.entry;
    op.l2_slot = e.l2_slot;
    op.key = e.key;
    op.group = e.group;
    op.memory = {l2_address(e.l2_slot), bytes};
    start_moving(ref.entry, e.l2_slot);
    out = &op;
    return taken::started;
}

void mover::start_inbound(std::uint8_t stage, std::span<inbound_op* const> ops) {
    block_op* batch[64];
    std::size_t n = 0;
    for (inbound_op* op : ops) {
        op->on_completion(io_, [](operation& o) noexcept {
            auto& self = static_cast<inbound_op&>(o);
            self.owner->inbound_done(self);
        });
        batch[n++] = op;
    }
    options_.inbound[stage - 1U]->start({batch, n});
}

void mover::inbound_done(inbound_op& op) {
    inbound_[table_[op.entry].stage - 1U].run.finished(op);
    left_stage(op.entry, op.l2_slot, op.status(), starter_of(op.starter, op.starter_epoch));
    inbounds_.give_back(op);
    publish_soon();
}

// ---- flights and their waiters

void mover::start_moving(std::uint32_t entry, slot_id s) {
    l2_.transfer_begins(s);
    // The first waiter's use came with the slot.
    join_waiters(entry, s, table_[entry].stage == 0);
}

// Those who wait in the queue of the block's stage wait for this transfer now, and use its slot.
void mover::join_waiters(std::uint32_t entry, slot_id s, bool first) {
    block_entry& e = table_[entry];
    const std::uint64_t bytes = layout_.block_bytes(e.group);
    e.moving = true;
    for (block_ref* w = e.waiters; w != nullptr; w = w->next) {
        if (w->state != want::queued) {
            continue;
        }
        request& r = at(request_index(*w));
        w->state = want::moving;
        r.inbound(e.stage).erase(w->index);
        if (e.stage == 0) {
            r.counts.fetch_left -= bytes;
            if (!std::exchange(first, false)) {
                l2_.retain(s);
            }
            if (r.report.first_fetch == never) {
                r.report.first_fetch = io_.now();
                want_soon(r, false);
            }
        }
    }
}

// The operation of a stage on the way to L2 has ended.
void mover::left_stage(std::uint32_t entry, slot_id s, const absl::Status& status,
                       const request* starter) {
    block_entry& e = table_[entry];
    const bool last = e.stage == inbound_.size();
    e.moving = false;
    if (status.ok() && last) {
        e.l2 = level::present;
        e.stage = 0;  // also if nobody waits: it may be evicted and fetched again
        l2_.set_whole(s, true);
    }
    if (!status.ok()) {
        count_failure(status);
    }
    if (const slot_pool::left what = l2_.transfer_ends(s); what != slot_pool::left::in_use) {
        e.overdue = false;  // late: whole, it may still serve others
        l2_left(entry, s, what);
    } else if (!status.ok()) {
        lost(entry);
    } else if (last) {
        landed(entry, starter);
    } else {
        ++e.stage;
        for (block_ref* w = e.waiters; w != nullptr; w = w->next) {
            if (w->state == want::moving) {
                w->state = want::queued;
                queue_inbound(at(request_index(*w)), e.stage, w->index);
            }
        }
    }
}

void mover::landed(std::uint32_t entry, const request* starter) {
    block_entry& e = table_[entry];
    const std::uint64_t bytes = layout_.block_bytes(e.group);
    for (block_ref* w = e.waiters; w != nullptr; w = w->next) {
        if (w->state != want::moving) {
            continue;
        }
        request& r = at(request_index(*w));
        land(r, *w);
        if (--r.fetching == 0) {
            r.report.fetched = io_.now();
        }
        if (&r != starter) {
            r.report.bytes_deduplicated += bytes;
            stats_.bytes_deduplicated += bytes;
        }
        if (!r.holder) {
            note_victim(r);
            want_soon(r, false);
        }
    }
    if (fetch_.run.waits_for_memory()) {
        l2_room();  // somebody better may take the slot
    }
}

void mover::lost(std::uint32_t entry) {
    table_[entry].overdue = true;  // a shorter plan must not ask for it again
    // Those that count on L1 have lost nothing.
    const auto next = [&]() -> block_ref* {
        block_ref* w = table_[entry].waiters;
        while (w != nullptr && w->state == want::cached) {
            w = w->next;
        }
        return w;
    };
    // Losing a block may drop others of the same request: start anew until none is left.
    while (block_ref* const w = next()) {
        lose_ref(at(request_index(*w)), *w);
    }
}

}  // namespace sluice::detail
