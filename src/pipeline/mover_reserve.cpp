// SPDX-License-Identifier: Apache-2.0
// L1: whole reservations, granted in rank order.
#include <algorithm>
#include <cassert>
#include <utility>

#include "mover.hpp"

namespace sluice::detail {

// ---- when to ask for L1 memory

mover::wants_turn::wants_turn(mover& m) noexcept
    : work([](work& w) noexcept {
          auto& self = static_cast<wants_turn&>(w);
          self.posted = false;
          self.owner.consider_wants();
      }),
      owner(m) {}

void mover::want_soon(request& r, bool fetch_stuck) {
    r.fetch_stuck = r.fetch_stuck || fetch_stuck;
    if (r.wants_l1 || r.holder || r.at != phase::loading || !wants_now(r)) {
        return;
    }
    wants_.requests.emplace_back(r.index, r.epoch);
    if (!wants_.posted) {
        wants_.posted = true;
        io_.post(wants_);
    }
}

// Holders go first so that what has memory finishes; a better request must be able to become one.
void mover::fetch_held_back(std::uint32_t id) {
    request& r = at(id);
    if (!r.wants_l1 && options_.reservation != reservation_mode::late) {
        want_soon(r, true);
    }
}

void mover::consider_wants() {
    std::vector<std::pair<std::uint32_t, std::uint32_t>> now;
    now.swap(wants_.requests);
    for (const auto& [index, epoch] : now) {
        request* const r = starter_of(index, epoch);
        if (r == nullptr || r->wants_l1 || r->holder || r->at != phase::loading || !wants_now(*r)) {
            continue;
        }
        if (r->prewarm && !library_owned()) {
            check_warm(*r);
        } else {
            want_l1(*r);
        }
    }
    now.clear();
    if (wants_.requests.empty()) {
        wants_.requests.swap(now);  // keep the memory
    }
    publish_soon();
}

bool mover::wants_now(const request& r) const {
    if (r.prewarm && !library_owned()) {
        return r.fetching == 0;  // it ends in L2
    }
    const bool bound_early = !r.slots.empty();  // the engine's pages are of no use to others now
    if (r.fetching == 0 || r.fetch_stuck || bound_early) {
        return true;
    }
    switch (options_.reservation) {
    case reservation_mode::proactive: return r.report.first_fetch != never;
    case reservation_mode::late: return false;
    case reservation_mode::just_in_time: break;
    }
    if (r.report.first_fetch == never) {
        return false;
    }
    if (r.landed.empty() && r.fetch_per_byte == 0) {
        return false;  // until one of the two is known
    }
    // The rest of the fetch at the pace so far, or as predicted while nothing has landed.
    const double per_block =
        r.landed.empty()
            ? static_cast<double>(r.fetch_per_byte) * static_cast<double>(layout_.max_block_bytes())
            : to_seconds(io_.now() - r.report.first_fetch) / r.landed.size();
    const double copy =
        static_cast<double>(r.copy_per_byte) * static_cast<double>(r.counts.copy_left);
    return per_block * r.fetching <= copy + mean_grant_wait_;
}

void mover::want_l1(request& r) {
    r.wants_l1 = true;
    r.wanted_at = io_.now();
    if (library_owned()) {
        l1_queue_.set(r.index, key_of(r, rank_copy));
        ++l1_room_;  // a request that was here before may have had another plan
        grant_all();
    } else if (!r.slots.empty()) {
        granted(r);  // bound before it was asked for
    } else {
        events_.push(r, event_kind::want_pages);
    }
}

void mover::bind_pages(request& r) {
    r.slots = std::move(r.bound);
    if (r.at == phase::loading && !r.holder) {
        granted(r);
    }
}

// ---- grants

void mover::grant_all() {
    if (granting_ || l1_queue_.empty()) {
        return;
    }
    granting_ = true;
    while (!l1_queue_.empty()) {
        request& r = at(l1_queue_.top());
        const l1_attempt attempt{r.index, l1_room_, l1_order_};
        const bool full = attempt.request == l1_failed_.request && l1_room_ == l1_failed_.room;
        if ((full && l1_order_ == l1_failed_.order) ||
            ((full || !can_grant(r)) && !revoke_for(r))) {
            l1_failed_ = attempt;
            break;
        }
        if (!grant(r)) {
            l1_failed_ = {r.index, l1_room_, l1_order_};
            break;
        }
    }
    granting_ = false;
}

bool mover::can_grant(const request& r) {
    for (std::uint32_t g = 0; g < groups(); ++g) {
        std::uint32_t fresh = 0;
        std::uint32_t shared_cold = 0;
        for (std::uint32_t i = 0; i < r.per_group; ++i) {
            const block_ref* ref = i < r.blocks ? &r.refs()[g * r.blocks + i] : nullptr;
            if (ref != nullptr && is_waiting(ref->state)) {
                const slot_id s = table_[ref->entry].l1_slot;
                if (s == no_slot) {
                    ++fresh;
                } else if (l1_[g].users(s) == 0 && l1_[g].transfers(s) == 0) {
                    ++shared_cold;
                }
            } else if (i >= r.plan && !r.prewarm) {
                ++fresh;
            }
        }
        if (fresh + shared_cold > l1_[g].free() + l1_[g].cold()) {
            return false;
        }
    }
    return true;
}

bool mover::revoke_for(request& r) {
    constexpr std::uint8_t at_most = 4;  // per request, so that no policy can make it starve
    if (r.prewarm) {
        return false;
    }
    if (revoke_warm(r)) {
        return true;
    }
    std::vector<std::uint32_t> chosen;
    std::vector<std::uint64_t> room;  // by group, if the chosen give back what they have
    bool enough = false;
    while (!enough && !revocable_.empty()) {
        request& worst = at(revocable_.top());
        if (!(key_of(r, rank_copy) < key_of(worst, rank_copy))) {
            break;
        }
        revocable_.pop();
        if (worst.revoked >= at_most) {
            continue;
        }
        chosen.push_back(worst.index);
        enough = true;
        for (std::uint32_t g = 0; g < groups(); ++g) {
            if (room.size() == g) {
                room.push_back(std::uint64_t{l1_[g].free()} + l1_[g].cold());
            }
            for (std::uint32_t i = 0; i < r.per_group && i < worst.per_group; ++i) {
                const slot_id s = page(worst, g, i);  // nobody else uses it, or it frees nothing
                room[g] += s != no_slot && l1_[g].users(s) == 1 && l1_[g].transfers(s) == 0;
            }
            enough = enough && r.per_group <= room[g];
        }
    }
    for (const std::uint32_t index : chosen) {
        request& victim = at(index);
        if (!enough) {
            revocable_.set(index, key_of(victim, rank_copy));
            continue;
        }
        ++victim.revoked;
        ++stats_.revocations;
        ungrant(victim);
        want_l1(victim);
    }
    return enough && can_grant(r);
}

// False: one that prewarms found less than there was, and waits on.
bool mover::grant(request& r) {
    l1_queue_.erase(r.index);
    r.slots.assign(std::size_t{groups()} * r.per_group, no_slot);
    // Shared pages first, so that making room for the others does not evict them.
    for (std::uint32_t n = 0; n < groups() * r.blocks; ++n) {
        block_ref& ref = r.refs()[n];
        block_entry& e = table_[ref.entry];
        if (!is_waiting(ref.state) || e.l1_slot == no_slot) {
            continue;
        }
        const std::uint32_t g = e.group;
        l1_[g].retain(e.l1_slot);
        page(r, g, n - g * r.blocks) = e.l1_slot;
    }
    for (std::uint32_t g = 0; g < groups(); ++g) {
        for (std::uint32_t i = 0; i < r.per_group; ++i) {
            block_ref* ref = i < r.blocks ? &r.refs()[g * r.blocks + i] : nullptr;
            const bool load = ref != nullptr && is_waiting(ref->state);
            if (page(r, g, i) != no_slot || (!load && (i < r.plan || r.prewarm))) {
                continue;
            }
            if (load && table_[ref->entry].l1_slot != no_slot) {
                // A key that the request names twice: its page was taken a moment ago.
                l1_[g].retain(table_[ref->entry].l1_slot);
                page(r, g, i) = table_[ref->entry].l1_slot;
                continue;
            }
            const slot_id s = take_page(g, load ? ref->entry : slot_pool::no_owner, r.prewarm);
            if (s == no_slot) {
                for (std::size_t n = 0; n < r.slots.size(); ++n) {
                    give_back_page(static_cast<std::uint32_t>(n / r.per_group), r.slots[n]);
                }
                r.slots.clear();
                l1_queue_.set(r.index, key_of(r, rank_copy));
                return false;
            }
            page(r, g, i) = s;
            if (load) {
                table_[ref->entry].l1_slot = s;
                table_[ref->entry].l1 = level::coming;
            }
        }
    }
    granted(r);
    return true;
}

void mover::granted(request& r) {
    r.wants_l1 = false;
    r.holder = true;
    r.copied_once = false;
    r.report.granted = io_.now();
    warm_holders_ += r.prewarm ? 1 : 0;
    if (r.wanted_at != never && !r.prewarm) {
        const double waited = to_seconds(io_.now() - r.wanted_at);
        mean_grant_wait_ += 0.1 * (waited - mean_grant_wait_);
    }
    note_victim(r);
    if (library_owned()) {
        revocable_.set(r.index, key_of(r, rank_copy));
    }
    for (std::uint32_t n = 0; n < groups() * r.blocks; ++n) {
        block_ref& ref = r.refs()[n];
        const block_entry& e = table_[ref.entry];
        if (!is_waiting(ref.state)) {
            continue;
        }
        if (library_owned() && e.l1 == level::present) {
            finish_ref(r, ref);
        } else if (ref.state == want::landed && e.copying && library_owned()) {
            ref.state = want::copying;
            r.landed.erase(ref.index);
        }
    }
    if (!r.landed.empty()) {
        copy_.run.ready(r.index, entry_of(r, rank_copy));
    }
    rerank_fetch(r);
    l2_room();  // it may take more than before
    tell_progress(r, tell::served);
    check_loaded(r);
}

void mover::ungrant(request& r) {
    if (!r.copied_once && r.holder) {
        stats_.l1_idle_slot_seconds +=
            static_cast<double>(r.slots.size()) * to_seconds(io_.now() - r.report.granted);
    }
    warm_holders_ -= r.holder && r.prewarm ? 1 : 0;
    r.holder = false;
    revocable_.erase(r.index);
    if (library_owned()) {
        for (std::size_t n = 0; n < r.slots.size(); ++n) {
            give_back_page(static_cast<std::uint32_t>(n / r.per_group), r.slots[n]);
        }
    }
    {
        const std::scoped_lock lock(pages_mutex_);
        r.slots.clear();
    }
    if (r.at == phase::loading) {
        bool lost_one = false;
        for (std::uint32_t n = 0; n < groups() * r.blocks; ++n) {
            block_ref& ref = r.refs()[n];
            if (ref.state == want::copying) {
                land(r, ref);  // and the copy goes on, for whoever comes next
            } else if (ref.state == want::loaded) {
                ref.state = want::none;
                lost_one |= !begin_ref(r, ref);
            }
        }
        rerank_fetch(r);  // it stands behind the L1 holders again
        note_victim(r);
        if (fetch_.run.waits_for_memory()) {
            l2_room();  // its L2 slots may be taken now
        }
        if (lost_one) {
            shorten(r, r.plan);
        }
        want_soon(r, false);
    }
    grant_all();
}

// ---- pages

// `spare`: only one that no request counts on. What one counts on has been used just now, as far
// as eviction goes.
slot_id mover::take_page(std::uint32_t group, std::uint32_t owner, bool spare) {
    slot_pool& pool = l1_[group];
    slot_id s = pool.acquire(owner);
    if (s == no_slot) {
        s = pool.victim();
        for (std::uint32_t left = pool.cold();
             spare && s != no_slot && is_counted_on(pool.owner(s)); s = pool.victim()) {
            if (left-- == 0) {
                return no_slot;
            }
            pool.retain(s);
            pool.release(s);
        }
        if (s != no_slot) {
            const std::uint32_t old = pool.owner(s);
            pool.reuse(s, owner);
            ++stats_.l1_evictions;
            unmap_l1(old);
        }
    }
    return s;
}

// The block is in L1 no more: who counted on that needs another way.
void mover::unmap_l1(std::uint32_t entry) {
    block_entry& e = table_[entry];
    e.l1 = level::absent;
    e.l1_slot = no_slot;
    ++e.users;  // keeps it while its waiters change
    for (block_ref* w = e.waiters; w != nullptr;) {
        block_ref* const next = w->next;
        if (w->state == want::cached) {
            request& r = at(request_index(*w));
            detach_ref(r, *w);
            if (!begin_ref(r, *w)) {
                shorten(r, r.plan);
                w = e.waiters;  // others of the list may have gone
                continue;
            }
        }
        w = next;
    }
    table_.release(entry);
}

void mover::give_back_page(std::uint32_t group, slot_id s) {
    if (s != no_slot) {
        ++l1_room_;  // or who uses the page now is the last one, and may have to give it up
        const std::uint32_t owner = l1_[group].owner(s);
        l1_left(group, owner, s, l1_[group].release(s));
    }
}

void mover::l1_left(std::uint32_t, std::uint32_t entry, slot_id, slot_pool::left what) {
    l1_room_ += what == slot_pool::left::in_use ? 0 : 1;
    if (what == slot_pool::left::freed && entry != slot_pool::no_owner) {
        block_entry& e = table_[entry];
        e.l1 = level::absent;
        e.l1_slot = no_slot;
        table_.forget_if_unused(entry);
    }
}

// Blocks `from` to `to` will not be loaded. False: it needs other pages than those it has.
bool mover::keep_pages(request& r, std::uint32_t from, std::uint32_t to) {
    for (std::uint32_t g = 0; g < groups(); ++g) {
        if (layout_.groups()[g].rule == hit_rule::last_n) {
            return false;  // its window has moved to blocks for which no page was reserved
        }
    }
    return r.prewarm || make_private(r, from, to);
}

// Pages of blocks that the request will compute after all: nobody else may read or write them.
bool mover::make_private(request& r, std::uint32_t from, std::uint32_t to) {
    for (std::uint32_t g = 0; g < groups(); ++g) {
        slot_pool& pool = l1_[g];
        for (std::uint32_t i = from; i < to; ++i) {
            const slot_id s = page(r, g, i);
            const std::uint32_t entry = pool.owner(s);
            if (entry == slot_pool::no_owner) {
                continue;
            }
            if (pool.users(s) == 1 && pool.transfers(s) == 0) {
                pool.set_owner(s, slot_pool::no_owner);
                pool.set_whole(s, false);
                unmap_l1(entry);
                continue;
            }
            const slot_id other = take_page(g, slot_pool::no_owner);
            if (other == no_slot) {
                return false;
            }
            page(r, g, i) = other;
            give_back_page(g, s);
        }
    }
    return true;
}

}  // namespace sluice::detail
