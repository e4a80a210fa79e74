// SPDX-License-Identifier: Apache-2.0
// Blocks on their way from L2 into reserved pages of L1.
#include <cassert>
#include <utility>

#include "mover.hpp"

namespace sluice::detail {

// The block is in L2. An L1 holder is queued here while it has such blocks.
void mover::land(request& r, block_ref& ref) {
    ref.state = want::landed;
    r.landed.insert(ref.index);
    if (r.holder && r.landed.size() == 1) {
        copy_.run.ready(r.index, entry_of(r, rank_copy));
    }
}

void mover::finish_ref(request& r, block_ref& ref) {
    detach_ref(r, ref);
    ref.state = want::loaded;
}

taken mover::take_copy(std::uint32_t id, copy_op*& out) {
    request& r = at(id);
    std::uint32_t index = r.holder && r.at == phase::loading ? r.landed.first() : block_set::none;
    const auto no_page = [&](std::uint32_t n) {
        return page(r, n / r.blocks, n % r.blocks) == no_slot;
    };
    while (index != block_set::none && no_page(index)) {
        lose_ref(r, r.refs()[index]);  // the engine bound a hole where a block was to be loaded
        index = r.at == phase::loading ? r.landed.first() : block_set::none;
    }
    if (index == block_set::none) {
        return taken::nothing;
    }
    block_ref& first = r.refs()[index];
    block_entry& e = table_[first.entry];
    const std::uint32_t g = e.group;
    copy_op& op = copies_.take();
    begin_op(op, r, layout_.block_bytes(g), r.copy_per_byte);
    op.entry = first.entry;
    op.index = index;
    op.l2_slot = e.l2_slot;
    op.group_index = g;
    op.host = l2_address(e.l2_slot);
    op.group = &layout_.groups()[g];
    op.slot = page(r, g, index - g * r.blocks);
    l2_.transfer_begins(e.l2_slot);
    if (library_owned()) {
        l1_[g].transfer_begins(op.slot);
        e.copying = true;
    }
    for (block_ref* w = e.waiters; w != nullptr; w = w->next) {
        request& holder = at(request_index(*w));
        const bool served = library_owned() ? holder.holder : w == &first;
        if (w->state != want::landed || !served) {
            continue;
        }
        w->state = want::copying;
        holder.landed.erase(w->index);
        if (holder.prewarm) {
            note_victim(holder);
        } else {
            revocable_.erase(holder.index);
        }
        if (!std::exchange(holder.copied_once, true)) {
            holder.report.first_copy = io_.now();
            stats_.l1_idle_slot_seconds += static_cast<double>(holder.slots.size()) *
                                           to_seconds(io_.now() - holder.report.granted);
        }
    }
    out = &op;
    return taken::started;
}

void mover::start_copies(std::span<copy_op* const> ops) {
    device_copy* batch[64];
    std::size_t n = 0;
    for (copy_op* op : ops) {
        op->on_completion(io_, [](operation& o) noexcept {
            auto& self = static_cast<copy_op&>(o);
            self.owner->copy_done(self);
        });
        batch[n++] = op;
    }
    device_.copy_in({batch, n});
}

void mover::copy_done(copy_op& op) {
    const duration service = copy_.run.finished(op);
    const bool ok = op.status().ok();
    const std::uint32_t entry = op.entry;
    block_entry& e = table_[entry];
    request* const starter = starter_of(op.starter, op.starter_epoch);
    if (starter != nullptr) {
        starter->counts.copy_ns += service.count();
        if (!starter->settled()) {
            starter->copied_bytes += op.bytes;
        }
    }
    if (!ok) {
        count_failure(op.status());
    }
    ++e.users;  // keeps it while its waiters and slots change
    l2_left(entry, op.l2_slot, l2_.transfer_ends(op.l2_slot));
    if (library_owned()) {
        e.copying = false;
        if (ok) {
            l1_[op.group_index].set_whole(op.slot, true);
            e.l1 = level::present;
        }
        const auto next_served = [&e]() -> block_ref* {
            for (block_ref* w = e.waiters; w != nullptr; w = w->next) {
                if (w->state == want::copying) {
                    return w;
                }
            }
            return nullptr;
        };
        while (block_ref* const w = next_served()) {
            request& r = at(request_index(*w));
            if (ok) {
                finish_ref(r, *w);
                check_loaded(r);
                if (&r != starter) {
                    tell_progress(r, tell::served);
                }
            } else {
                lose_ref(r, *w);
            }
        }
        l1_left(op.group_index, entry, op.slot, l1_[op.group_index].transfer_ends(op.slot));
    } else if (starter != nullptr) {
        block_ref& ref = starter->refs()[op.index];
        if (ref.state == want::draining) {
            ref.state = want::none;
            --starter->draining;
            check_loaded(*starter);
            maybe_quiesced(*starter);
        } else if (ok) {
            finish_ref(*starter, ref);
            check_loaded(*starter);
        } else {
            land(*starter, ref);  // nothing is under way any more: not to be drained
            lose_ref(*starter, ref);
        }
    }
    copies_.give_back(op);
    table_.release(entry);
    if (starter != nullptr) {
        tell_progress(*starter, tell::served);
        maybe_retire(*starter);
    }
    grant_all();
    publish_soon();
}

}  // namespace sluice::detail
