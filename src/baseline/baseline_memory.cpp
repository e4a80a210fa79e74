// SPDX-License-Identifier: Apache-2.0
// The memory of a baseline, and what moves in it.
#include "baseline.hpp"

#include <algorithm>

namespace sluice::baselines {

// ---- L1

slot_id baseline::take_l1(std::uint32_t owner) {
    if (const slot_id s = l1_.acquire(owner); s != no_slot) {
        return s;
    }
    const slot_id s = l1_.victim();
    if (s != no_slot) {
        forget_l1(s);
        ++stats_.l1_evictions;
        l1_.reuse(s, owner);
    }
    return s;
}

void baseline::forget_l1(slot_id s) {
    block_entry& e = table_[l1_.owner(s)];
    e.l1 = level::absent;
    e.l1_slot = no_slot;
    table_.forget_if_unused(l1_.owner(s));
}

// All pages that the request will touch, or none. Blocks that are there, or on their way for
// somebody else, are shared.
bool baseline::reserve(request& r) {
    const std::uint32_t pages = r.pages_needed;
    r.plan = 0;
    while (r.plan < r.limit) {
        const block_entry& e = table_[r.entries[r.plan]];
        const bool at_hand = e.l1 != level::absent || e.l2 == level::present;
        if (!at_hand && (e.l2 == level::coming || r.found[r.plan] == 0)) {
            break;
        }
        ++r.plan;
    }
    r.pages.assign(pages, no_slot);
    r.own.clear();
    std::uint32_t fresh = pages;
    std::uint64_t shared_flights = 0;
    std::uint64_t hits = 0;
    for (std::uint32_t i = 0; i < r.plan; ++i) {
        const block_entry& e = table_[r.entries[i]];
        if (e.l1 != level::absent) {
            l1_.retain(e.l1_slot);
            r.pages[i] = e.l1_slot;
            --fresh;
            ++(e.l1 == level::coming ? shared_flights : hits);
        }
    }
    if (fresh > l1_.free() + l1_.cold()) {
        release_pages(r);
        return false;
    }
    for (std::uint32_t i = 0; i < pages; ++i) {
        if (r.pages[i] != no_slot) {
            continue;
        }
        const bool load = i < r.plan;
        const slot_id s = take_l1(load ? r.entries[i] : slot_pool::no_owner);
        r.pages[i] = s;
        if (load) {
            block_entry& e = table_[r.entries[i]];
            e.l1 = level::coming;
            e.l1_slot = s;
            r.own.push_back(i);
        }
    }
    stats_.l1_hits += hits;
    request_report& report = r.outcome.report;
    report.granted = home_.now();
    report.planned_blocks = r.plan;
    report.hit_blocks = std::max(report.hit_blocks, r.plan);
    report.bytes_deduplicated += shared_flights * block_bytes_;
    stats_.bytes_deduplicated += shared_flights * block_bytes_;
    return true;
}

void baseline::release_pages(request& r) {
    for (const slot_id s : r.pages) {
        if (s != no_slot) {
            l1_.release(s);
        }
    }
    r.pages.clear();
}

void baseline::give_up_pages(request& r) {
    release_pages(r);
    room_.set();
    may_admit_.set();
}

// What was computed is cached from now on.
void baseline::publish(request& r) {
    for (std::uint32_t i = r.plan; i < r.entries.size(); ++i) {
        block_entry& e = table_[r.entries[i]];
        if (e.l1 == level::absent) {
            e.l1 = level::present;
            e.l1_slot = r.pages[i];
            l1_.set_owner(r.pages[i], r.entries[i]);
            l1_.set_whole(r.pages[i], true);
        }
    }
}

// ---- loading

bool baseline::in_place(const request& r, std::uint32_t i) {
    const block_entry& e = table_[r.entries[i]];
    return e.l1 == level::present && e.l1_slot == r.pages[i];
}

bool baseline::still_comes(const request& r, std::uint32_t i) {
    const block_entry& e = table_[r.entries[i]];
    return e.l1 == level::coming && e.l1_slot == r.pages[i];
}

// Fetches what the request has to bring itself, all of it, then copies all of it, then waits for
// what others bring. False: blocks were lost, and with them the reservation; a new one will be for
// fewer.
task<bool> baseline::bring(request& r) {
    request_report& report = r.outcome.report;
    r.pending.clear();
    for (const std::uint32_t i : r.own) {
        const block_entry& e = table_[r.entries[i]];
        if (e.l2 == level::present) {
            l2_.retain(e.l2_slot);
            ++stats_.l2_hits;
        } else {
            r.pending.push_back(i);
        }
    }
    const bool fetches = !r.pending.empty();
    co_await run(r, fetch_);
    if (fetches) {
        report.fetched = home_.now();
    }
    for (const std::uint32_t i : r.own) {
        if (still_comes(r, i)) {
            r.pending.push_back(i);
        }
    }
    co_await run(r, copy_);
    std::uint32_t ready = 0;
    while (ready < r.plan) {
        if (in_place(r, ready)) {
            ++ready;
        } else if (still_comes(r, ready)) {
            r.moved.reset();
            co_await r.moved;
        } else {
            break;
        }
    }
    if (ready < r.plan) {
        r.limit = ready;
        give_up_pages(r);
        co_return false;
    }
    report.loaded = home_.now();
    co_return true;
}

// A block could not be had: whoever counted on it looks again.
void baseline::lose(request& r, std::uint32_t i) {
    block_entry& e = table_[r.entries[i]];
    e.l1 = level::absent;
    e.l1_slot = no_slot;
    l1_.set_owner(r.pages[i], slot_pool::no_owner);
}

void baseline::ended(request& r) {
    --r.in_flight;
    r.moved.set();
    for (request* const other : admitted_) {  // few: those that load or wait for compute
        if (!other->landed) {
            other->moved.set();
        }
    }
}

// ---- L2

slot_id baseline::take_l2(std::uint32_t entry) {
    if (const slot_id s = l2_.acquire(entry); s != no_slot) {
        return s;
    }
    const slot_id s = l2_.victim();
    if (s != no_slot) {
        forget_l2(s);
        ++stats_.l2_evictions;
        l2_.reuse(s, entry);
    }
    return s;
}

void baseline::forget_l2(slot_id s) {
    block_entry& e = table_[l2_.owner(s)];
    e.l2 = level::absent;
    e.l2_slot = no_slot;
    table_.forget_if_unused(l2_.owner(s));
}

void baseline::let_go_of_l2(slot_id s) {
    const std::uint32_t entry = l2_.owner(s);
    if (l2_.release(s) == slot_pool::left::freed) {
        table_[entry].l2 = level::absent;
        table_[entry].l2_slot = no_slot;
    }
    if (fetch_.waits_for_memory()) {
        fetch_.unpark([](std::uint32_t) { return ready_queue::entry{}; });
    }
}

void baseline::drop_caches() {
    const auto drop = [](slot_pool& pool, slot_id s) {
        pool.reuse(s, slot_pool::no_owner);
        pool.release(s);
    };
    for (slot_id s = l1_.victim(); s != no_slot; s = l1_.victim()) {
        forget_l1(s);
        drop(l1_, s);
    }
    for (slot_id s = l2_.victim(); s != no_slot; s = l2_.victim()) {
        forget_l2(s);
        drop(l2_, s);
    }
}

}  // namespace sluice::baselines
