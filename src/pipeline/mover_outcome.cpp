// SPDX-License-Identifier: Apache-2.0
// The end of a request's way: compute, its outcome, and its burial.
#include <cassert>
#include <utility>

#include "mover.hpp"

namespace sluice::detail {

// ---- compute

taken mover::take_compute(std::uint32_t id, compute_op*& out) {
    request& r = at(id);
    if (r.at != phase::queued) {
        return taken::nothing;
    }
    compute_op& op = computes_.take();
    op.owner = this;
    op.starter = id;
    op.bytes = 1;
    op.charge = double(r.predicted[rank_compute]);
    op.request = r.handle();
    op.user = r.view.user;
    op.loaded_blocks = r.plan;
    op.context_tokens = std::min<std::uint64_t>(std::uint64_t{r.plan} * options_.block_tokens,
                                                r.view.prompt_tokens);
    op.query_tokens = r.view.prompt_tokens - op.context_tokens;
    op.pages = r.slots;
    op.pages_per_group = r.per_group;
    r.at = phase::computing;
    r.job_running = true;
    r.counts.compute_begin = io_.now().time_since_epoch().count();
    out = &op;
    return taken::started;
}

void mover::start_computes(std::span<compute_op* const> ops) {
    for (compute_op* op : ops) {
        op->on_completion(io_, [](operation& o) noexcept {
            auto& self = static_cast<compute_op&>(o);
            self.owner->compute_done(self);
        });
        options_.compute->start(*op);
    }
}

void mover::compute_done(compute_op& op) {
    const duration service = compute_.run.finished(op);
    request& r = at(op.starter);
    r.job_running = false;
    r.counts.compute_ns += service.count();
    const absl::Status status = op.status();
    computes_.give_back(op);
    if (r.settled()) {  // cancelled meanwhile
        if (!r.pages_read()) {
            ungrant(r);
        }
        maybe_quiesced(r);
    } else if (!status.ok()) {
        settle(r, event_kind::failed,
               status.message().empty() ? absl::Status(status.code(), "the compute function failed")
                                        : status);
    } else {
        r.first_token_ns = io_.now().time_since_epoch().count();
        settle(r, event_kind::computed);
        computed(r);
    }
    maybe_retire(r);
    publish_soon();
}

// ---- the end

void mover::settle(request& r, event_kind kind, absl::Status status) {
    assert(!r.settled());
    const bool good = kind != event_kind::cancelled && kind != event_kind::failed;
    if (r.at == phase::planning) {
        plans_.answered();
    }
    r.at = phase::settled;
    warm_ -= r.prewarm && r.attached ? 1 : 0;
    if (load_timers_.size() > r.index && load_timers_[r.index]) {
        io_.disarm(*load_timers_[r.index]);
    }
    if (r.attached) {
        lookup_.run.withdraw(r.index);
        compute_.run.withdraw(r.index);
        l1_queue_.erase(r.index);
        revocable_.erase(r.index);
        r.wants_l1 = false;
        for (std::uint32_t n = 0; n < groups() * r.blocks; ++n) {
            block_ref& ref = r.refs()[n];
            if (is_waiting(ref.state)) {
                drop_ref(r, ref);
            }
        }
        fetch_.run.withdraw(r.index);
        copy_.run.withdraw(r.index);
        for (auto& s : inbound_) {
            s.run.withdraw(r.index);
        }
        victims_.erase(r.index);
    }
    if (!good || r.prewarm) {
        r.released = true;
        if (r.holder && !r.job_running) {
            ungrant(r);
        }
    }
    const bool busy = r.draining > 0 || r.job_running;
    r.quiesce_owed = busy;
    ++stats_.outcomes;
    const bool offered = good && options_.compute == nullptr && !r.prewarm;
    if (offered) {
        r.pages_known.store(true, std::memory_order_release);
    }
    r.outcome_known.store(true, std::memory_order_release);
    // Who is told, by next_ready or by the event, may do all that is due then; and who has the
    // event finds the request by next_ready.
    if (offered) {
        events_.offer(r, rank_of(r, rank_compute));
    }
    events_.push_outcome(r, kind, good ? r.report.loaded_blocks : 0, busy, std::move(status));
    tell_progress(r, tell::settled);
    grant_all();
    l2_room();
    publish_soon();
}

void mover::maybe_quiesced(request& r) {
    if (r.quiesce_owed && r.draining == 0 && !r.job_running) {
        r.quiesce_owed = false;
        events_.push(r, event_kind::quiesced);
    }
}

void mover::maybe_retire(request& r) {
    if (r.retired || !r.settled() || !r.released || r.job_running || r.lookup_running ||
        r.draining > 0 || r.outgoing || events_.waiting(r)) {
        return;
    }
    r.retired = true;
    events_.withdraw(r);
    for (std::uint32_t n = 0; r.attached && n < groups() * r.blocks; ++n) {
        table_.release(r.refs()[n].entry);
    }
    tell_progress(r, tell::retire);
}

void mover::bury(request& r) {
    const std::uint32_t index = r.index;
    if (r.to_io.pending() || !on_buried(r)) {
        return;  // its last look comes yet, and calls here again
    }
    // Its memory may be another request's by now.
    if (index < requests_.size() && requests_[index] == &r) {
        requests_[index] = nullptr;
        --live_;
    }
    publish_soon();
}

void mover::begin_close() {
    closing_ = true;
    abort_all();
    publish_soon();
}

void mover::abort_all() {
    if (store_ == nullptr) {
        return;
    }
    const auto abort = [this](auto& op) {
        if (op.running) {
            store_->abort(op);
        }
    };
    lookups_.for_each(abort);
    fetches_.for_each(abort);
    puts_.for_each(abort);
}

void mover::publish_soon() noexcept {
    if (!publish_.posted) {
        publish_.posted = true;
        io_.post(publish_);
    }
}

void mover::update_quiet() {
    pipeline_stats& s = stats_;
    s.fetch = fetch_.run.counters();
    s.copy = copy_.run.counters();
    s.compute = compute_.run.counters();
    s.copy_out = copy_out_.run.counters();
    s.put = put_.run.counters();
    s.inbound = {};
    for (const auto& stage : inbound_) {
        const stage_counters c = stage.run.counters();
        s.inbound.operations += c.operations;
        s.inbound.bytes += c.bytes;
        s.inbound.busy += c.busy;
    }
    s.l2_free = l2_.free();
    s.l2_cold = l2_.cold();
    s.l2_quarantined = l2_.quarantined();
    s.l1_free = s.l1_cold = s.l1_quarantined = 0;
    for (const slot_pool& p : l1_) {
        s.l1_free += p.free();
        s.l1_cold += p.cold();
        s.l1_quarantined += p.quarantined();
    }
    s.live_requests = live_;
    s.store_dead = store_dead_;
    const bool quiet = live_ == 0 && lookups_.in_use() + fetches_.in_use() + inbounds_.in_use() +
                                             copies_.in_use() + computes_.in_use() +
                                             puts_.in_use() ==
                                         0;
    {
        const std::scoped_lock lock(stats_mutex_);
        published_ = s;
    }
    quiet_.store(quiet, std::memory_order_release);
    if (quiet && on_quiet) {
        on_quiet();
    }
}

pipeline_stats mover::stats() const {
    const std::scoped_lock lock(stats_mutex_);
    return published_;
}

}  // namespace sluice::detail
