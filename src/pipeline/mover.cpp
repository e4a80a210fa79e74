// SPDX-License-Identifier: Apache-2.0
// A request's way through the mover, from submit to burial. Moving blocks is in the files beside.
#include "mover.hpp"

#include <algorithm>
#include <cassert>
#include <utility>

#include "guard.hpp"

namespace sluice::detail {

mover::publish_turn::publish_turn(mover& m) noexcept
    : work([](work& w) noexcept {
          auto& self = static_cast<publish_turn&>(w);
          self.posted = false;
          self.owner.update_quiet();
      }),
      owner(m) {}

mover::mover(const pipeline_options& options, loop& io, loop& control, event_queue& events,
             std::span<std::byte> l2_memory, std::uint64_t l2_stride,
             std::unique_ptr<eviction_order> l2_eviction)
    : options_(options),
      layout_(*options.l1),
      owner_(options.owner),
      store_(options.store),
      device_(*options.device),
      io_(io),
      control_(control),
      events_(events),
      l2_memory_(l2_memory),
      l2_stride_(l2_stride),
      l2_(static_cast<std::uint32_t>(l2_memory.size() / l2_stride), std::move(l2_eviction)),
      lookup_(io, stage_limits{64, mib}, *this),
      fetch_(io, options.fetch, *this),
      copy_(io, options.copy, *this),
      compute_(io, stage_limits{options.concurrent_computes, UINT64_MAX}, *this),
      copy_out_(io, options.write_back, *this),
      put_(io, options.write_back, *this),
      publish_(*this),
      plans_(*this),
      wants_(*this) {
    if (library_owned()) {
        for (std::uint32_t g = 0; g < groups(); ++g) {
            l1_.emplace_back(layout_.slots(g));
        }
    }
    for (std::size_t i = 0; i < options.inbound.size(); ++i) {
        inbound_.emplace_back(io, options.inbound[i]->limits(), *this,
                              static_cast<std::uint8_t>(i + 1));
    }
    stats_.l2_slots = l2_.size();
    update_quiet();  // so that a fresh pipeline says what is free
}

mover::~mover() = default;

// ---- signals

// How long a request waits, after its lookup, for the policy to rank it. Much more than a hop.
constexpr duration plan_patience = std::chrono::milliseconds(5);

void mover::look(void* self, request& r, std::uint32_t flags) noexcept {
    auto& m = *static_cast<mover*>(self);
    if ((flags & tell::bury) != 0 || r.at == phase::buried) {
        r.at = phase::buried;
        m.bury(r);
        return;
    }
    if ((flags & tell::attach) != 0) {
        m.attach(r);
    }
    if ((flags & tell::plan) != 0 && r.at == phase::planning) {
        m.begin_plan(r, r.plan_blocks);
    }
    if ((flags & (tell::plan | tell::ranks)) != 0) {
        m.rerank(r);
    }
    if ((flags & tell::plan) != 0) {
        m.want_soon(r, false);  // now it is known how long the rest of its fetch takes
    }
    if ((flags & tell::from_engine) != 0) {
        m.obey(r, flags);
    }
}

void mover::obey(request& r, std::uint32_t flags) {
    if ((flags & tell::bind) != 0 && !r.settled()) {
        bind_pages(r);
    }
    if ((flags & tell::rank) != 0 && !r.settled()) {
        tell_progress(r, tell::ranked);
    }
    if ((flags & tell::detach) != 0) {
        stop_loading(r);
    }
    if ((flags & tell::done) != 0 && r.settled() && !r.released) {
        if (r.compute_seconds_told > 0) {
            r.to_control.raise(tell::engine_computed);
        }
        events_.withdraw(r);
        computed(r);
    }
    if ((flags & (tell::cancel | tell::release)) != 0 && !r.settled()) {
        settle(r, event_kind::cancelled);
    }
    if ((flags & tell::release) != 0 && !r.released) {
        r.released = true;
        events_.withdraw(r);
        if (!r.pages_read() && !r.job_running) {
            ungrant(r);
        }
    }
    maybe_retire(r);
    publish_soon();
}

void mover::tell_progress(request& r, std::uint32_t what) {
    if (r.retired && what != tell::retire) {
        return;  // control has been told the last thing: it may be gone before the next look
    }
    r.to_control.raise(what);
}

// Its rank has changed, or whether it is an L1 holder.
void mover::rerank_fetch(const request& r) {
    fetch_.run.rerank(r.index, entry_of(r, rank_fetch));
    for (auto& s : inbound_) {
        s.run.rerank(r.index, entry_of(r, rank_fetch));
    }
}

void mover::rerank(request& r) {
    if (r.settled()) {
        events_.rerank(r, rank_of(r, rank_compute));
        return;
    }
    rerank_fetch(r);
    copy_.run.rerank(r.index, entry_of(r, rank_copy));
    compute_.run.rerank(r.index, entry_of(r, rank_compute));
    if (victims_.contains(r.index)) {
        victims_.set(r.index, key_of(r, rank_fetch));
    }
    if (revocable_.contains(r.index)) {
        const rank_key key = key_of(r, rank_copy);
        l1_order_ += revocable_.key(r.index) < key ? 1 : 0;
        revocable_.set(r.index, key);
    }
    if (l1_queue_.contains(r.index)) {
        l1_queue_.set(r.index, key_of(r, rank_copy));
        l1_order_ += l1_queue_.top() == r.index ? 1 : 0;
        grant_all();
    }
    if (fetch_.run.waits_for_memory()) {
        l2_room();  // who may take whose slot has changed
    }
}

// ---- attach and lookup

void mover::attach(request& r) {
    if (r.index >= requests_.size()) {
        requests_.resize(std::size_t{r.index} + 1, nullptr);
    }
    requests_[r.index] = &r;
    ++live_;
    warm_ += r.prewarm ? 1 : 0;

    const std::uint32_t named = groups() * r.blocks;
    r.blocks_wanted.assign(named, block_ref{}, r.index);
    r.attached = true;
    bool all_here = true;
    constexpr std::uint32_t ahead = 8;
    for (std::uint32_t n = 0; n < named; ++n) {
        if (n + ahead < named) {
            table_.prefetch(r.keys[n + ahead], static_cast<std::uint8_t>((n + ahead) / r.blocks));
        }
        block_ref& ref = r.refs()[n];
        ref.index = n & 0xffffffU;
        ref.entry = table_.intern(r.keys[n], static_cast<std::uint8_t>(n / r.blocks));
        const block_entry& e = table_[ref.entry];
        // What is cached here need not be loaded, but the store may still be without it.
        ref.present = !r.storing && (e.l2 != level::absent || e.l1 == level::present);
        all_here = all_here && ref.present;
    }
    if (r.load_timeout > duration{0}) {
        if (load_timers_.size() <= r.index) {
            load_timers_.resize(std::size_t{r.index} + 1);
        }
        if (!load_timers_[r.index]) {
            load_timers_[r.index] = std::make_unique<load_timer>(*this, r.index);
        }
        io_.arm(*load_timers_[r.index], saturating_add(io_.now(), r.load_timeout));
    }
    if (all_here || store_ == nullptr || store_dead_ || r.max_load == 0 || r.timed_out) {
        looked_up(r);
        return;
    }
    r.at = phase::looking_up;
    lookup_.run.ready(r.index, arrival_entry(r));
}

taken mover::take_lookup(std::uint32_t id, lookup_op*& out) {
    request& r = at(id);
    if (r.at != phase::looking_up || r.lookup_running) {
        return taken::nothing;
    }
    lookup_op& op = lookups_.take();
    op.owner = this;
    op.starter = id;
    op.bytes = 1;
    op.charge = 0;
    op.found.assign(r.keys.size(), 0);
    op.keys = r.keys;
    op.present = op.found;
    r.lookup_running = true;
    out = &op;
    return taken::started;
}

void mover::start_lookups(std::span<lookup_op* const> ops) {
    for (lookup_op* op : ops) {
        op->on_completion(io_, [](operation& o) noexcept {
            auto& self = static_cast<lookup_op&>(o);
            self.owner->lookup_done(self);
        });
        arm_guard<store_lookup>(*op, io_, options_.fetch_hard_timeout,
                                [](guarded<store_lookup>& late) noexcept {
                                    ++late.owner->stats_.hard_timeouts;
                                    late.owner->store_->abort(late);
                                });
        store_->lookup(*op);
    }
}

void mover::lookup_done(lookup_op& op) {
    disarm_guard(op, io_);
    lookup_.run.finished(op);
    request& r = at(op.starter);
    r.lookup_running = false;
    const bool ok = op.status().ok();
    if (r.at == phase::looking_up) {
        for (std::uint32_t n = 0; n < op.found.size(); ++n) {
            block_ref& ref = r.refs()[n];
            if (ok && op.found[n] != 0) {
                ref.present = 1;
            }
        }
        looked_up(r);
    }
    forget_keys(r);
    lookups_.give_back(op);
    maybe_retire(r);
    publish_soon();
}

// Entries have the keys; a waiting request does not carry them twice.
void mover::forget_keys(request& r) {
    if (!r.lookup_running) {
        r.keys.clear();
    }
}

void mover::looked_up(request& r) {
    if (r.storing) {
        store_blocks(r);
        return;
    }
    r.at = phase::planning;
    r.report.looked_up = io_.now();
    const std::uint32_t limit = std::min(r.blocks, r.max_load);
    r.report.hit_blocks = usable(r, limit);
    r.hits = r.report.hit_blocks + 1;
    forget_keys(r);
    // What a plan of all the hits would move; control scales it for shorter ones.
    r.planned_fetch = 0;
    r.planned_copy = 0;
    for (std::uint32_t g = 0; g < groups(); ++g) {
        for (std::uint32_t i = r.resident; i < r.report.hit_blocks; ++i) {
            if (!layout_.needed(g, i, r.report.hit_blocks)) {
                continue;
            }
            const block_entry& e = table_[r.refs()[g * r.blocks + i].entry];
            if (!library_owned() || e.l1 != level::present) {
                r.planned_copy += layout_.block_bytes(g);
                r.planned_fetch += e.l2 == level::absent ? layout_.block_bytes(g) : 0;
            }
        }
    }
    // Control looks at these when it admits, which is before the plan sets them: nothing left would
    // be the best rank of all.
    r.counts.fetch_left = r.planned_fetch;
    r.counts.copy_left = r.planned_copy;
    tell_progress(r, tell::looked_up);
    if (r.tell_lookup) {
        events_.push(r, event_kind::looked_up);
    }
    plans_.asked(r, io_.now());
}

std::uint32_t mover::usable(const request& r, std::uint32_t limit) const {
    if (groups() == 1 && layout_.groups()[0].rule == hit_rule::all_blocks) {
        std::uint32_t k = r.resident < limit ? r.resident : limit;
        while (k < limit && r.refs()[k].present) {
            ++k;
        }
        return k;
    }
    std::vector<std::uint8_t> present(std::size_t{groups()} * limit);
    for (std::uint32_t g = 0; g < groups(); ++g) {
        for (std::uint32_t i = 0; i < limit; ++i) {
            present[std::size_t{g} * limit + i] =
                i < r.resident || r.refs()[g * r.blocks + i].present ? 1 : 0;
        }
    }
    return layout_.usable_prefix(present, limit);
}

// ---- plan and load

mover::awaited_plans::awaited_plans(mover& m) noexcept
    : timer([](timer& t) noexcept {
          auto& self = static_cast<awaited_plans&>(t);
          self.go_without(self.owner.io_.now());
      }),
      owner(m) {}

void mover::awaited_plans::asked(const request& r, time_point now) {
    waiters.push_back({r.index, r.epoch, saturating_add(now, plan_patience)});
    if (waiting++ == 0) {
        owner.io_.arm(*this, waiters.back().until);
    }
}

void mover::awaited_plans::answered() {
    if (--waiting == 0) {
        waiters.clear();
        owner.io_.disarm(*this);
    }
}

// All their hits, behind what is ranked, until they are ranked too.
void mover::awaited_plans::go_without(time_point now) {
    const auto early =
        std::ranges::find_if(waiters, [&](const waiter& w) { return w.until > now; });
    const std::vector<waiter> late(waiters.begin(), early);
    waiters.erase(waiters.begin(), early);
    for (const waiter& w : late) {
        request* const r = owner.starter_of(w.index, w.epoch);
        if (r != nullptr && r->at == phase::planning) {
            owner.begin_plan(*r, r->report.hit_blocks);
        }
    }
    if (!waiters.empty() && !armed()) {
        owner.io_.arm(*this, waiters.front().until);
    }
}

void mover::begin_plan(request& r, std::uint32_t blocks) {
    assert(r.at == phase::planning);
    r.at = phase::loading;
    plans_.answered();
    if (!inbound_.empty() && !r.custom) {
        r.custom = std::make_unique<block_set[]>(inbound_.size());
    }
    for (std::uint8_t s = 0; s <= inbound_.size(); ++s) {
        r.inbound(s).resize(groups() * r.blocks);
    }
    r.landed.resize(groups() * r.blocks);
    r.counts.fetch_left = 0;
    r.counts.copy_left = 0;
    // The hits may have changed since lookup; a smaller k may not satisfy every group.
    const std::uint32_t k = usable(r, r.timed_out ? 0 : blocks);
    r.report.planned_blocks = k;
    set_plan(r, k);
    if (r.settled()) {
        return;
    }
    want_soon(r, false);
    check_loaded(r);
    publish_soon();
}

void mover::set_plan(request& r, std::uint32_t k) {
    const std::uint32_t old = r.plan;
    r.plan = k;
    ++l1_room_;
    bool lost_one = false;
    for (std::uint32_t g = 0; g < groups(); ++g) {
        const group_layout& group = layout_.groups()[g];
        const std::uint32_t back = group.rule == hit_rule::last_n ? group.last_n : 0;
        const std::uint32_t lowest = std::min(old, k);
        const std::uint32_t from = std::max(r.resident, lowest > back ? lowest - back : 0);
        for (std::uint32_t i = from; i < std::max(old, k); ++i) {
            block_ref& ref = r.refs()[g * r.blocks + i];
            const bool needed = layout_.needed(g, i, k);
            if (needed && ref.state == want::none) {
                lost_one |= !begin_ref(r, ref);
            } else if (!needed && is_waiting(ref.state)) {
                drop_ref(r, ref);
            } else if (!needed && ref.state == want::loaded) {
                ref.state = want::none;
            }
        }
    }
    tell_progress(r, tell::served);
    if (lost_one) {
        shorten(r, k);
    }
}

void mover::check_loaded(request& r) {
    if (r.prewarm) {
        check_warm(r);
        return;
    }
    if (r.at != phase::loading || !r.holder || r.waiting > 0 || r.draining > 0) {
        return;
    }
    revocable_.erase(r.index);
    r.report.loaded = io_.now();
    r.report.loaded_blocks = r.plan;
    if (load_timers_.size() > r.index && load_timers_[r.index]) {
        io_.disarm(*load_timers_[r.index]);
    }
    if (options_.compute == nullptr) {
        settle(r, r.timed_out ? event_kind::detached : event_kind::ready);
        return;
    }
    r.at = phase::queued;
    r.pages_known.store(true, std::memory_order_release);
    events_.push(r, event_kind::loaded, r.plan);
    compute_.run.ready(r.index, entry_of(r, rank_compute));
    tell_progress(r, tell::served);
}

void mover::load_timed_out(request& r) {
    ++stats_.soft_timeouts;
    stop_loading(r);
}

void mover::stop_loading(request& r) {
    if (r.settled() || r.at > phase::loading || r.timed_out || r.storing) {
        return;
    }
    r.timed_out = true;
    if (r.at != phase::loading) {
        if (r.at == phase::looking_up) {
            looked_up(r);  // with what is known; the lookup's answer comes too late
        }
        return;  // planning: the plan will be to load nothing
    }
    // What has arrived: the longest prefix that is usable with what is in L1.
    std::uint32_t arrived = std::min<std::uint32_t>(r.resident, r.plan);
    const bool warms_l2 = r.prewarm && !library_owned();
    const want near = warms_l2 ? want::landed : want::loaded;
    if ((r.holder || warms_l2) && r.plan > arrived) {
        std::vector<std::uint8_t> here(std::size_t{groups()} * r.plan);
        for (std::uint32_t g = 0; g < groups(); ++g) {
            for (std::uint32_t i = 0; i < r.plan; ++i) {
                here[std::size_t{g} * r.plan + i] =
                    i < r.resident || r.refs()[g * r.blocks + i].state == near;
            }
        }
        arrived = layout_.usable_prefix(here, r.plan);
    }
    shorten(r, arrived);
    if (!r.settled() && !library_owned() && options_.compute == nullptr) {
        // Answered at once, in pages of the engine's: copies under way are its to wait for.
        r.report.loaded_blocks = r.plan;
        settle(r, event_kind::detached);
    }
    publish_soon();
}

}  // namespace sluice::detail
