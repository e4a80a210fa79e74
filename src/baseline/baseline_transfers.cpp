// SPDX-License-Identifier: Apache-2.0
// The operations of a baseline: how each is taken from its request, started and ended.
#include "baseline.hpp"

namespace sluice::baselines {

template <class Op>
Op* baseline::next_op(request& r, op_pool<Op>& pool) {
    Op& op = pool.take();
    op.owner = this;
    op.of = &r;
    op.index = r.pending[r.next_pending++];
    op.l2_slot = table_[r.entries[op.index]].l2_slot;
    op.bytes = block_bytes_;
    return &op;
}

taken baseline::take_fetch(request& r, fetch_op*& out) {
    if (r.next_pending == r.pending.size()) {
        return taken::nothing;
    }
    const std::uint32_t entry = r.entries[r.pending[r.next_pending]];
    const slot_id s = take_l2(entry);
    if (s == no_slot) {
        return taken::starved;  // strictly in order: nobody behind goes first
    }
    block_entry& e = table_[entry];
    e.l2 = level::coming;
    e.l2_slot = s;
    out = next_op(r, fetch_ops_);
    out->key = e.key;
    out->into = {l2_at(s), block_bytes_};
    if (r.outcome.report.first_fetch == never) {
        r.outcome.report.first_fetch = home_.now();
    }
    return taken::started;
}

void baseline::start_fetches(std::span<fetch_op* const> ops) {
    std::vector<store_get*> batch;
    for (fetch_op* const op : ops) {
        op->on_completion(home_, [](operation& o) noexcept {
            auto& self = static_cast<fetch_op&>(o);
            self.owner->fetched(self);
        });
        batch.push_back(op);
    }
    o_.store->get(batch);
}

void baseline::fetched(fetch_op& op) {
    request& r = *op.of;
    r.outcome.report.attained.fetch += to_seconds(fetch_.finished(op));
    if (op.status().ok()) {
        ++stats_.blocks_verified;
        r.outcome.report.bytes_fetched += block_bytes_;
        table_[r.entries[op.index]].l2 = level::present;
        l2_.set_whole(op.l2_slot, true);
    } else {
        switch (op.status().code()) {
        case absl::StatusCode::kNotFound: ++stats_.blocks_missed; break;
        case absl::StatusCode::kDataLoss: ++stats_.blocks_corrupt; break;
        default: ++stats_.blocks_failed; break;
        }
        let_go_of_l2(op.l2_slot);
        lose(r, op.index);
    }
    fetch_ops_.unused.push_back(&op);
    ended(r);
}

taken baseline::take_copy(request& r, copy_op*& out) {
    if (r.next_pending == r.pending.size()) {
        return taken::nothing;
    }
    out = next_op(r, copy_ops_);
    out->host = l2_at(out->l2_slot);
    out->group = &o_.l1->groups()[0];
    out->slot = r.pages[out->index];
    if (r.outcome.report.first_copy == never) {
        r.outcome.report.first_copy = home_.now();
    }
    return taken::started;
}

void baseline::start_copies(std::span<copy_op* const> ops) {
    std::vector<device_copy*> batch;
    for (copy_op* const op : ops) {
        op->on_completion(home_, [](operation& o) noexcept {
            auto& self = static_cast<copy_op&>(o);
            self.owner->copied(self);
        });
        batch.push_back(op);
    }
    o_.device->copy_in(batch);
}

void baseline::copied(copy_op& op) {
    request& r = *op.of;
    r.outcome.report.attained.copy += to_seconds(copy_.finished(op));
    if (op.status().ok()) {
        table_[r.entries[op.index]].l1 = level::present;
        l1_.set_whole(r.pages[op.index], true);
    } else {
        ++stats_.blocks_failed;
        lose(r, op.index);
    }
    let_go_of_l2(op.l2_slot);
    copy_ops_.unused.push_back(&op);
    ended(r);
}

taken baseline::take_copy_out(request& r, copy_op*& out) { return take_copy(r, out); }

void baseline::start_copy_outs(std::span<copy_op* const> ops) {
    std::vector<device_copy*> batch;
    for (copy_op* const op : ops) {
        op->on_completion(home_, [](operation& o) noexcept {
            auto& self = static_cast<copy_op&>(o);
            self.owner->copied_out(self);
        });
        batch.push_back(op);
    }
    o_.device->copy_out(batch);
}

void baseline::copied_out(copy_op& op) {
    request& r = *op.of;
    copy_out_.finished(op);
    if (op.status().ok()) {
        table_[r.entries[op.index]].l2 = level::present;
        l2_.set_whole(op.l2_slot, true);
    } else {
        ++stats_.store_drops;
        let_go_of_l2(op.l2_slot);
    }
    copy_ops_.unused.push_back(&op);
    ended(r);
}

taken baseline::take_put(request& r, put_op*& out) {
    if (r.next_pending == r.pending.size()) {
        return taken::nothing;
    }
    out = next_op(r, put_ops_);
    out->key = table_[r.entries[out->index]].key;
    out->from = {l2_at(out->l2_slot), block_bytes_};
    return taken::started;
}

void baseline::start_puts(std::span<put_op* const> ops) {
    std::vector<store_put*> batch;
    for (put_op* const op : ops) {
        op->on_completion(home_, [](operation& o) noexcept {
            auto& self = static_cast<put_op&>(o);
            self.owner->put_ended(self);
        });
        batch.push_back(op);
    }
    o_.store->put(batch);
}

void baseline::put_ended(put_op& op) {
    put_.finished(op);
    ++(op.status().ok() ? stats_.stored_blocks : stats_.store_drops);
    let_go_of_l2(op.l2_slot);
    request& r = *op.of;
    put_ops_.unused.push_back(&op);
    ended(r);
}

}  // namespace sluice::baselines
