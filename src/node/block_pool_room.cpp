// SPDX-License-Identifier: Apache-2.0
// Where blocks are placed, and what goes to make room for them.
#include <algorithm>
#include <cassert>
#include <utility>

#include <sluice/base/bytes.hpp>

#include "block_pool.hpp"

namespace sluice::node {
namespace {

using state = enum block_record::state;

constexpr std::uint64_t alignment = 64;
/// One slot in so many may stay free so that neighbours find room together.
constexpr std::uint64_t spare_share = 32;
/// Neighbours may go together if none is younger than the oldest block by more than this factor.
constexpr std::uint64_t old_share = 3;
/// How many blocks may be dropped for each one that is placed.
constexpr std::uint64_t patience = 2;
/// At how many of the oldest blocks such neighbours are looked for.
constexpr int tries = 8;
/// How many leases of removed blocks are ended at a time.
constexpr int reclaims = 256;

std::uint64_t slot_bytes_of(const block_pool::wish& w) noexcept {
    return round_up(std::max<std::uint64_t>(w.length, 1), alignment);
}

}  // namespace

void block_pool::reserve(std::span<const wish> wishes, std::uint64_t owner, time_point now,
                         std::span<grant> grants) {
    assert(grants.size() >= wishes.size());
    advance(now);
    reclaim();
    wanted_.clear();
    for (std::uint32_t i = 0; i < wishes.size(); ++i) {
        grants[i] = {};
        if (const std::uint32_t id = records_.find(wishes[i].key); id != none) {
            touch(id);
            grants[i].verdict = verdict::exists;
        } else if (wishes[i].length > largest_block()) {
            ++stats_.refused;
            grants[i].verdict = verdict::too_large;
        } else {
            wanted_.push_back(i);
        }
    }
    const auto size_of = [&](std::uint32_t i) { return slot_bytes_of(wishes[i]); };
    std::sort(wanted_.begin(), wanted_.end(), [&](std::uint32_t a, std::uint32_t b) {
        return std::pair(size_of(a), a) < std::pair(size_of(b), b);
    });
    for (auto from = wanted_.begin(); from != wanted_.end();) {
        const auto to = std::find_if(from, wanted_.end(),
                                     [&](std::uint32_t i) { return size_of(i) != size_of(*from); });
        place(wishes, {from, to}, owner, grants);
        from = to;
    }
}

/// Places the wishes of one size.
void block_pool::place(std::span<const wish> wishes, std::span<const std::uint32_t> which,
                       std::uint64_t owner, std::span<grant> grants) {
    const std::uint64_t slot_bytes = slot_bytes_of(wishes[which.front()]);
    owner_state& o = owners_[owner];
    auto next = std::find_if(o.next.begin(), o.next.end(),
                             [&](const next_place& n) { return n.slot_bytes == slot_bytes; });
    if (next == o.next.end()) {
        next = o.next.begin() + o.replaced;
        o.replaced = (o.replaced + 1) % static_cast<std::uint32_t>(o.next.size());
        *next = {.slot_bytes = slot_bytes, .at = {}};
    }
    while (!which.empty()) {
        const slabs::run run = take(slot_bytes, static_cast<std::uint32_t>(which.size()), next->at);
        if (run.count == 0) {
            stats_.refused += which.size();
            return;
        }
        for (std::uint32_t i = 0; i < run.count; ++i) {
            grant_slot(wishes[which[i]], {run.first.slab, run.first.slot + i}, owner, o,
                       grants[which[i]]);
        }
        next->at = {run.first.slab, run.first.slot + run.count};
        relist(run.first.slab);
        which = which.subspan(run.count);
    }
}

void block_pool::grant_slot(const wish& w, slabs::place at, std::uint64_t owner, owner_state& o,
                            grant& g) {
    const std::uint32_t id = records_.make();
    block_record& r = records_[id];
    r.state = block_record::state::reserved;
    r.number = (std::uint64_t{++reservations_} << 32) | id;
    r.owner_or_checksum = owner;
    r.at = at;
    r.key = w.key;
    r.padding = static_cast<std::uint8_t>(slabs_.slot_bytes(at.slab) - w.length);
    slabs_.set_user(at, id);
    o.reserved.push_back(record_uses(), id);
    stats_.reserved += slabs_.slot_bytes(at.slab);
    slab_use& s = slab_uses_[at.slab];
    ++s.reserved;
    s.last.tick = ++tick_;
    g = {verdict::granted, r.number, slabs_.offset(at), w.length};
}

/// Takes up to `want` neighbouring slots, as many as a slab has if there is any way to it.
slabs::run block_pool::take(std::uint64_t slot_bytes, std::uint32_t want, slabs::place next) {
    want = std::min(want, slabs_.slots_of(slot_bytes));
    bool tried = false;
    for (std::uint64_t dropped = 0;;) {
        const std::uint32_t c = slabs_.find_class(slot_bytes);
        if (c != none) {
            if (const slabs::run run = slabs_.take_whole(c, want, next); run.count > 0) {
                return run;
            }
        }
        if (slabs_.assign(slot_bytes, next.slab == none ? none : next.slab + 1)) {
            orders_.resize(
                std::max<std::size_t>(orders_.size(), slabs_.find_class(slot_bytes) + 1));
            continue;
        }
        const std::uint64_t free = c == none ? 0 : slabs_.free(c);
        if (free < want && (reclaim() || empty_older_slab(c))) {
            continue;
        }
        if (c != none && free >= want &&
            (dropped >= patience * want || free - want >= slabs_.slots(c) / spare_share)) {
            break;
        }
        if (!std::exchange(tried, true) && make_run(c, want, next)) {
            continue;
        }
        if (!evict_oldest(c)) {
            break;
        }
        ++dropped;
    }
    const std::uint32_t c = slabs_.find_class(slot_bytes);
    return c == none ? slabs::run{} : slabs_.take_some(c, want, next);
}

/// Empties the slab of another size that was used longest ago, if it is to go before the oldest
/// block of this size.
bool block_pool::empty_older_slab(std::uint32_t size_class) {
    const std::uint32_t slab = slab_order_.oldest(slab_uses(), now_);
    if (slab == none || slabs_.class_of(slab) == size_class) {
        return false;
    }
    const std::uint64_t own =
        size_class == none ? UINT64_MAX : orders_[size_class].oldest_tick(record_uses());
    const bool nothing = own == UINT64_MAX && (size_class == none || slabs_.free(size_class) == 0);
    if (nothing || (own != UINT64_MAX && slab_uses_[slab].last.tick < own)) {
        empty_slab(slab);
        return true;
    }
    return false;
}

/// Drops neighbours that are among the older blocks: behind the owner's last block if possible,
/// else where one of the oldest is.
bool block_pool::make_run(std::uint32_t size_class, std::uint32_t want, slabs::place next) {
    std::uint32_t id = oldest(size_class);
    if (id == none) {
        return false;
    }
    const std::uint64_t age = age_of(id) / old_share;
    if (next.slab != none && slabs_.class_of(next.slab) == size_class && clear(next, want, age)) {
        return true;
    }
    for (int i = 0; i < tries && id != none; ++i, id = records_[id].last.next) {
        slabs::place from = records_[id].at;
        from.slot = std::min(from.slot, slabs_.slots_in(from.slab) - want);
        if (clear(from, want, age)) {
            return true;
        }
    }
    return false;
}

bool block_pool::evict_oldest(std::uint32_t size_class) {
    const std::uint32_t id = oldest(size_class);
    if (id == none) {
        return false;
    }
    evict(id);
    return true;
}

std::uint32_t block_pool::oldest(std::uint32_t size_class) noexcept {
    return size_class == none ? none : orders_[size_class].oldest(record_uses(), now_);
}

/// Evicts what is in the way of `want` neighbours, if all of that may go and is of that age.
bool block_pool::clear(slabs::place from, std::uint32_t want, std::uint64_t age) {
    if (from.slot + want > slabs_.slots_in(from.slab)) {
        return false;
    }
    victims_.clear();
    for (slabs::place at = from; at.slot < from.slot + want;) {
        if (const std::uint32_t free = slabs_.free_from(at); free > 0) {
            at.slot += free;
            continue;
        }
        const std::uint32_t id = slabs_.user(at);
        if (!records_.known(id)) {
            return false;
        }
        const block_record& r = records_[id];
        if (r.state != state::visible || r.at != at || r.last.leased_until > now_ ||
            age_of(id) < age) {
            return false;
        }
        victims_.push_back(id);
        ++at.slot;
    }
    for (const std::uint32_t id : victims_) {
        evict(id);
    }
    return !victims_.empty();
}

/// Frees the slots of removed blocks whose lease has passed; \return whether there were any.
bool block_pool::reclaim() {
    int ended = 0;
    for (; ended < reclaims && !limbo_.empty() && limbo_.top().at <= now_; ++ended) {
        const std::uint32_t id = limbo_.top().id;
        limbo_.pop();
        stats_.limbo -= slabs_.slot_bytes(records_[id].at.slab);
        release(id);
    }
    return ended > 0;
}

/// \pre nothing in it is reserved, under a lease, or waits for one to end.
void block_pool::empty_slab(std::uint32_t slab) {
    victims_.clear();
    slabs_.users(slab, victims_);
    for (const std::uint32_t id : victims_) {
        evict(id);
    }
}

void block_pool::evict(std::uint32_t id) {
    assert(records_[id].state == state::visible && records_[id].last.leased_until <= now_);
    remove_visible(id);
    ++stats_.evicted;
}

}  // namespace sluice::node
