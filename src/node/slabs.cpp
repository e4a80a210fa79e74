// SPDX-License-Identifier: Apache-2.0
#include "slabs.hpp"

#include <algorithm>
#include <bit>

namespace sluice::node {
namespace {

constexpr std::uint32_t run_bit = std::uint32_t{1} << 31;
/// How many runs of about the right length are looked at.
constexpr int looks = 8;
/// A run this many times too long is shared with the one who is to go on at its start.
constexpr std::uint32_t ample = 8;

/// The number of the highest bit; of 0 as of 1.
std::uint32_t bucket_of(std::uint32_t count) noexcept {
    return 31 - static_cast<std::uint32_t>(std::countl_zero(count | 1));
}

}  // namespace

slabs::slabs(std::uint64_t memory_bytes, std::uint64_t slab_bytes)
    : slab_bytes_(slab_bytes), slabs_(static_cast<std::size_t>(memory_bytes / slab_bytes)) {
    for (std::uint32_t s = 0; s < size(); ++s) {
        unused_.insert(unused_.end(), s);
    }
}

std::uint32_t slabs::find_class(std::uint64_t slot_bytes) const noexcept {
    const auto at = class_by_size_.find(slot_bytes);
    return at == class_by_size_.end() ? none : at->second;
}

bool slabs::assign(std::uint64_t slot_bytes, std::uint32_t near) {
    auto from = unused_.find(near);
    if (from == unused_.end()) {
        from = unused_.begin();
    }
    if (from == unused_.end()) {
        return false;
    }
    const std::uint32_t id = *from;
    unused_.erase(from);

    std::uint32_t c = find_class(slot_bytes);
    if (c == none) {
        if (unused_classes_.empty()) {
            unused_classes_.push_back(static_cast<std::uint32_t>(classes_.size()));
            classes_.emplace_back();
        }
        c = unused_classes_.back();
        unused_classes_.pop_back();
        classes_[c] = {.slot_bytes = slot_bytes};
        classes_[c].heads.fill(none);
        class_by_size_.emplace(slot_bytes, c);
    }
    slab& s = slabs_[id];
    s.slot_bytes = slot_bytes;
    s.size_class = c;
    s.slots = slots_of(slot_bytes);
    s.at.resize(s.slots);
    classes_[c].slots += s.slots;
    classes_[c].free += s.slots;
    add_run({id, 0}, s.slots, false);
    return true;
}

slabs::run slabs::take_whole(std::uint32_t size_class, std::uint32_t want, place next) {
    if (const std::uint32_t r = run_from(next);
        r != none && class_of(next.slab) == size_class && runs_[r].count >= want) {
        return carve(r, 0, want);
    }
    const auto& c = classes_[size_class];
    // The runs of the same power of two may be a little too short; all longer ones do.
    const std::uint32_t same = bucket_of(want);
    std::uint32_t best = none;
    std::uint32_t r = c.heads[same];
    for (int i = 0; i < looks && r != none; ++i, r = runs_[r].next) {
        if (runs_[r].count >= want && (best == none || runs_[r].count < runs_[best].count)) {
            best = r;
        }
    }
    if (best == none) {
        const std::uint32_t longer = c.filled & ~((std::uint32_t{2} << same) - 1);
        if (longer == 0) {
            return {};
        }
        best = c.heads[static_cast<std::uint32_t>(std::countr_zero(longer))];
    }
    const bool share = runs_[best].followed && runs_[best].count / ample >= want;
    return carve(best, share ? runs_[best].count / 2 : 0, want);
}

slabs::run slabs::take_some(std::uint32_t size_class, std::uint32_t want, place next) {
    std::uint32_t best = run_from(next);
    if (best == none || class_of(next.slab) != size_class) {
        const auto& c = classes_[size_class];
        if (c.filled == 0) {
            return {};
        }
        best = none;
        std::uint32_t r = c.heads[bucket_of(c.filled)];  // the highest bit: the longest runs
        for (int i = 0; i < looks && r != none; ++i, r = runs_[r].next) {
            if (best == none || runs_[r].count > runs_[best].count) {
                best = r;
            }
        }
    }
    return carve(best, 0, std::min(want, runs_[best].count));
}

std::uint32_t slabs::free_from(place at) const noexcept {
    const std::uint32_t r = run_from(at);
    return r == none ? 0 : runs_[r].count;
}

void slabs::give_back(place at) {
    slab& s = slabs_[at.slab];
    --s.taken;
    ++classes_[s.size_class].free;
    place first = at;
    std::uint32_t count = 1;
    bool followed = false;
    const std::uint32_t before = at.slot == 0 ? none : run_up_to({at.slab, at.slot - 1});
    const std::uint32_t after = run_from({at.slab, at.slot + 1});
    if (before != none) {
        first = runs_[before].first;
        followed = runs_[before].followed;
        count += runs_[before].count;
        drop_run(before);
    }
    if (after != none) {
        count += runs_[after].count;
        drop_run(after);
    }
    if (s.taken > 0) {
        add_run(first, count, followed);
    } else {
        release(at.slab);
    }
}

void slabs::users(std::uint32_t slab, std::vector<std::uint32_t>& out) const {
    for (std::uint32_t slot = 0; slot < slabs_[slab].slots;) {
        const std::uint32_t r = run_from({slab, slot});
        if (r != none) {
            slot += runs_[r].count;
        } else {
            out.push_back(slabs_[slab].at[slot++]);
        }
    }
}

// A mark is right if the run that it names says so too: marks inside runs are old.
std::uint32_t slabs::tagged_run(place at) const noexcept {
    if (at.slab >= size() || !in_use(at.slab) || at.slot >= slabs_[at.slab].slots) {
        return none;
    }
    const std::uint32_t mark = slabs_[at.slab].at[at.slot];
    const std::uint32_t r = mark & ~run_bit;
    return (mark & run_bit) != 0 && runs_[r].count > 0 && runs_[r].first.slab == at.slab ? r : none;
}

std::uint32_t slabs::run_from(place at) const noexcept {
    const std::uint32_t r = tagged_run(at);
    return r != none && runs_[r].first.slot == at.slot ? r : none;
}

std::uint32_t slabs::run_up_to(place at) const noexcept {
    const std::uint32_t r = tagged_run(at);
    return r != none && runs_[r].first.slot + runs_[r].count - 1 == at.slot ? r : none;
}

void slabs::add_run(place first, std::uint32_t count, bool followed) {
    std::uint32_t id = unused_run_;
    if (id == none) {
        id = runs_.grow();
    } else {
        unused_run_ = runs_[id].next;
    }
    slab& s = slabs_[first.slab];
    auto& c = classes_[s.size_class];
    const std::uint32_t b = bucket_of(count);
    runs_[id] = {.first = first, .count = count, .next = c.heads[b], .followed = followed};
    if (c.heads[b] != none) {
        runs_[c.heads[b]].previous = id;
    }
    c.heads[b] = id;
    c.filled |= std::uint32_t{1} << b;
    s.at[first.slot] = id | run_bit;
    s.at[first.slot + count - 1] = id | run_bit;
}

void slabs::drop_run(std::uint32_t id) noexcept {
    free_run& r = runs_[id];
    auto& c = classes_[class_of(r.first.slab)];
    const std::uint32_t b = bucket_of(r.count);
    (r.previous == none ? c.heads[b] : runs_[r.previous].next) = r.next;
    if (r.next != none) {
        runs_[r.next].previous = r.previous;
    }
    if (c.heads[b] == none) {
        c.filled &= ~(std::uint32_t{1} << b);
    }
    r.count = 0;
    r.next = unused_run_;
    unused_run_ = id;
}

slabs::run slabs::carve(std::uint32_t r, std::uint32_t skip, std::uint32_t count) {
    const free_run whole = runs_[r];
    drop_run(r);
    const place first{whole.first.slab, whole.first.slot + skip};
    if (skip > 0) {
        add_run(whole.first, skip, whole.followed);
    }
    if (const std::uint32_t rest = whole.count - skip - count; rest > 0) {
        add_run({first.slab, first.slot + count}, rest, true);
    }
    slabs_[first.slab].taken += count;
    classes_[class_of(first.slab)].free -= count;
    return {first, count};
}

void slabs::release(std::uint32_t id) noexcept {
    slab& s = slabs_[id];
    auto& c = classes_[s.size_class];
    c.slots -= s.slots;
    c.free -= s.slots;
    if (c.slots == 0) {
        class_by_size_.erase(c.slot_bytes);
        unused_classes_.push_back(s.size_class);
    }
    s.size_class = none;
    unused_.insert(id);
}

}  // namespace sluice::node
