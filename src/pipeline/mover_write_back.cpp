// SPDX-License-Identifier: Apache-2.0
// The way back: computed blocks go from L1 to L2 and from there to the store. It never waits for
// memory: a block that finds none at once is dropped and counted.
#include <cassert>
#include <utility>

#include "guard.hpp"
#include "mover.hpp"

namespace sluice::detail {

// Computed blocks in pages of the library's are cached there from now on.
void mover::publish_pages(request& r) {
    for (std::uint32_t n = 0; n < groups() * r.blocks; ++n) {
        const std::uint32_t g = n / r.blocks;
        const slot_id s = page(r, g, n % r.blocks);
        block_entry& e = table_[r.refs()[n].entry];
        if (s == no_slot || n % r.blocks < r.plan || e.l1_slot != no_slot ||
            l1_[g].owner(s) != slot_pool::no_owner) {
            continue;
        }
        e.l1 = level::present;
        e.l1_slot = s;
        ++l1_room_;
        l1_[g].set_owner(s, r.refs()[n].entry);
        l1_[g].set_whole(s, true);
    }
}

// A request that is only to be stored has been looked up. `stored` is its last event, so it counts
// as released; pages of the library's stay while they are read.
void mover::store_blocks(request& r) {
    forget_keys(r);
    r.at = phase::settled;
    r.released = true;
    r.slots = std::move(r.bound);
    for (std::size_t n = 0; library_owned() && n < r.slots.size(); ++n) {
        slot_pool& pool = l1_[n / r.per_group];
        if (r.slots[n] != no_slot && pool.users(r.slots[n]) > 0) {
            pool.retain(r.slots[n]);
        } else {
            r.slots[n] = no_slot;  // nobody has that page: what is in it is not the block
        }
    }
    ++stats_.outcomes;
    r.outcome_known.store(true, std::memory_order_release);
    tell_progress(r, tell::settled);
    begin_write_back(r);
    if (!r.outgoing) {
        events_.push(r, event_kind::stored, 0);
    }
    if (!r.pages_read()) {
        ungrant(r);
    }
    maybe_retire(r);
    publish_soon();
}

void mover::computed(request& r) {
    begin_write_back(r);
    if (r.write_back && !r.outgoing) {
        events_.push(r, event_kind::stored, 0);  // the engine may wait for it
    }
}

void mover::begin_write_back(request& r) {
    if (r.slots.empty()) {
        return;  // computed in pages that were never bound
    }
    if (library_owned()) {
        publish_pages(r);
    }
    if (!r.write_back) {
        return;
    }
    const double cap = options_.write_back_share * static_cast<double>(l2_.size());
    for (std::uint32_t n = 0; n < groups() * r.blocks; ++n) {
        const block_ref& ref = r.refs()[n];
        const std::uint32_t i = n % r.blocks;
        block_entry& e = table_[ref.entry];
        // Without a store, to be in L2 is to be stored.
        const bool have_all = store_ != nullptr ? ref.present : e.l2 == level::present;
        if (i < r.plan || i < r.resident || have_all || ref.state != want::none ||
            e.l2 == level::coming || page(r, n / r.blocks, i) == no_slot) {
            continue;
        }
        if (static_cast<double>(write_back_slots_) + 1 > cap) {
            ++stats_.store_drops;
            continue;
        }
        if (!r.outgoing) {
            r.outgoing = std::make_unique<write_back_state>();
            r.outgoing->copy_outs.resize(groups() * r.blocks);
            r.outgoing->puts.resize(groups() * r.blocks);
        }
        if (e.l2 == level::present) {
            l2_.retain(e.l2_slot);
            r.outgoing->puts.insert(n);
        } else {
            slot_id s = acquire_idle_l2(r, n);
            while (s == no_slot && stop_warming()) {
                s = acquire_idle_l2(r, n);
            }
            if (s == no_slot) {
                ++stats_.store_drops;
                continue;
            }
            e.l2 = level::coming;
            e.l2_slot = s;
            join_waiters(ref.entry, s, false);  // who was going to fetch it gets it from here
            e.stage = static_cast<std::uint8_t>(inbound_.size());  // it lands when copied out
            r.outgoing->copy_outs.insert(n);
            ++r.outgoing->pages_read;
        }
        ++write_back_slots_;
        ++r.outgoing->blocks_left;
    }
    if (!r.outgoing || r.outgoing->blocks_left == 0) {
        r.outgoing.reset();  // no memory for any of them
        return;
    }
    if (!r.outgoing->copy_outs.empty()) {
        copy_out_.run.ready(r.index, arrival_entry(r));
    }
    if (!r.outgoing->puts.empty()) {
        put_.run.ready(r.index, arrival_entry(r));
    }
}

taken mover::take_copy_out(std::uint32_t id, copy_op*& out) {
    request& r = at(id);
    const std::uint32_t n = r.outgoing->copy_outs.first();
    if (n == block_set::none) {
        return taken::nothing;
    }
    r.outgoing->copy_outs.erase(n);
    const std::uint32_t entry = r.refs()[n].entry;
    const block_entry& e = table_[entry];
    copy_op& op = copies_.take();
    begin_op(op, r, layout_.block_bytes(e.group), 0);
    op.entry = entry;
    op.index = n;
    op.l2_slot = e.l2_slot;
    op.group_index = e.group;
    op.host = l2_address(e.l2_slot);
    op.group = &layout_.groups()[e.group];
    op.slot = page(r, e.group, n % r.blocks);
    l2_.transfer_begins(e.l2_slot);
    out = &op;
    return taken::started;
}

void mover::start_copy_outs(std::span<copy_op* const> ops) {
    device_copy* batch[64];
    std::size_t n = 0;
    for (copy_op* op : ops) {
        op->on_completion(io_, [](operation& o) noexcept {
            auto& self = static_cast<copy_op&>(o);
            self.owner->copy_out_done(self);
        });
        batch[n++] = op;
    }
    device_.copy_out({batch, n});
}

void mover::copy_out_done(copy_op& op) {
    copy_out_.run.finished(op);
    request& r = at(op.starter);  // it is not buried before write-back has ended
    const std::uint32_t entry = op.entry;
    const bool ok = op.status().ok();
    left_stage(entry, op.l2_slot, op.status(), nullptr);  // the slot has this job as a user
    if (--r.outgoing->pages_read == 0 && r.released && !r.job_running) {
        ungrant(r);
    }
    if (ok && store_ != nullptr && !store_dead_) {
        r.outgoing->puts.insert(op.index);
        put_.run.ready(r.index, arrival_entry(r));
    } else {
        // Without a store, to be in L2 is to be stored.
        l2_left(entry, op.l2_slot, l2_.release(op.l2_slot));
        block_stored(r, ok && store_ == nullptr);
    }
    copies_.give_back(op);
    maybe_retire(r);
    publish_soon();
}

taken mover::take_put(std::uint32_t id, put_op*& out) {
    request& r = at(id);
    const std::uint32_t n = r.outgoing->puts.first();
    if (n == block_set::none) {
        return taken::nothing;
    }
    r.outgoing->puts.erase(n);
    if (store_dead_ || closing_) {
        drop_put(r, n);
        while (r.outgoing && !r.outgoing->puts.empty()) {
            const std::uint32_t next = r.outgoing->puts.first();
            r.outgoing->puts.erase(next);
            drop_put(r, next);
        }
        maybe_retire(r);
        return taken::nothing;
    }
    const std::uint32_t entry = r.refs()[n].entry;
    const block_entry& e = table_[entry];
    put_op& op = puts_.take();
    begin_op(op, r, layout_.block_bytes(e.group), 0);
    op.entry = entry;
    op.index = n;
    op.l2_slot = e.l2_slot;
    op.key = e.key;
    op.from = {l2_address(e.l2_slot), op.bytes};
    l2_.transfer_begins(e.l2_slot);
    out = &op;
    return taken::started;
}

void mover::drop_put(request& r, std::uint32_t n) {
    const std::uint32_t entry = r.refs()[n].entry;
    const slot_id s = table_[entry].l2_slot;
    l2_left(entry, s, l2_.release(s));
    block_stored(r, false);
}

void mover::start_puts(std::span<put_op* const> ops) {
    store_put* batch[64];
    std::size_t n = 0;
    for (put_op* op : ops) {
        op->on_completion(io_, [](operation& o) noexcept {
            auto& self = static_cast<put_op&>(o);
            self.owner->put_done(self);
        });
        arm_guard<store_put>(*op, io_, options_.fetch_hard_timeout,
                             [](guarded<store_put>& late) noexcept {
                                 ++late.owner->stats_.hard_timeouts;
                                 late.owner->store_->abort(late);
                             });
        batch[n++] = op;
    }
    store_->put({batch, n});
}

void mover::put_done(put_op& op) {
    disarm_guard(op, io_);
    put_.run.finished(op);
    request& r = at(op.starter);
    const bool ok = op.status().ok();
    l2_.transfer_ends(op.l2_slot);  // the job still uses it
    l2_left(op.entry, op.l2_slot, l2_.release(op.l2_slot));
    puts_.give_back(op);
    block_stored(r, ok);
    maybe_retire(r);
    publish_soon();
}

void mover::block_stored(request& r, bool ok) {
    --write_back_slots_;
    ++(ok ? stats_.stored_blocks : stats_.store_drops);
    r.outgoing->stored += ok ? 1 : 0;
    if (--r.outgoing->blocks_left == 0) {
        const std::uint32_t stored = std::exchange(r.outgoing, nullptr)->stored;
        // Without credit for another look the stages still have it, and may until it is buried.
        copy_out_.run.withdraw(r.index);
        put_.run.withdraw(r.index);
        events_.push(r, event_kind::stored, stored);
    }
}

}  // namespace sluice::detail
