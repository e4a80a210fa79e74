// SPDX-License-Identifier: Apache-2.0
#include "block_pool.hpp"

#include <algorithm>

#include <sluice/base/bytes.hpp>

namespace sluice::node {
namespace {

using state = enum block_record::state;

constexpr std::uint64_t alignment = 64;
constexpr std::uint64_t largest_slab = 64 * gib;

std::uint64_t slab_bytes_of(const pool_options& o) {
    const std::uint64_t memory = o.memory.size() / alignment * alignment;
    std::uint64_t bytes = round_up(std::min(o.slab_bytes, largest_slab), alignment);
    if (bytes == 0) {
        // As many slabs of the same size as divide the memory with nothing left.
        const std::uint64_t about = std::clamp(memory / 64, 4 * mib, 64 * mib);
        const std::uint64_t count = std::max<std::uint64_t>(memory / about, 1);
        bytes = std::min(memory / count / alignment * alignment, largest_slab);
    }
    return std::max(std::min(bytes, memory), alignment);
}

}  // namespace

block_pool::block_pool(const pool_options& options)
    : lease_(options.lease),
      slabs_(options.memory.size(), slab_bytes_of(options)),
      slab_uses_(slabs_.size()) {
    stats_.capacity = slabs_.size() * slabs_.slab_bytes();
}

std::optional<block_place> block_pool::find(const block_key& key, time_point now, bool lease) {
    advance(now);
    const std::uint32_t id = records_.find(key);
    if (id == none) {
        return std::nullopt;
    }
    const time_point until = lease ? saturating_add(now_, lease_) : now_;
    if (until <= now_) {
        touch(id);
        return place_of(records_[id]);
    }
    const block_record& r = records_[id];
    order_of(r).lease(record_uses(), id, ++tick_, until);
    slab_use& s = slab_uses_[r.at.slab];
    if (s.listed) {
        slab_order_.lease(slab_uses(), r.at.slab, tick_, until);
    } else {
        s.last.tick = tick_;
        s.last.leased_until = until;
    }
    return place_of(r);
}

std::optional<block_place> block_pool::peek(const block_key& key) const {
    const std::uint32_t id = records_.find(key);
    if (id == none) {
        return std::nullopt;
    }
    return place_of(records_[id]);
}

std::optional<block_pool::grant> block_pool::reservation(std::uint64_t token,
                                                         std::uint64_t owner) const {
    const std::uint32_t id = find_reserved(token, owner);
    if (id == none) {
        return std::nullopt;
    }
    const block_record& r = records_[id];
    return grant{verdict::granted, token, slabs_.offset(r.at), length_of(r)};
}

block_pool::committed block_pool::commit(std::uint64_t token, std::uint64_t owner,
                                         std::uint64_t checksum, time_point now) {
    advance(now);
    const std::uint32_t id = find_reserved(token, owner);
    if (id == none) {
        return committed::unknown;
    }
    block_record& r = records_[id];
    if (const std::uint32_t first = records_.find(r.key); first != none) {
        touch(first);
        end_reservation(id);
        release(id);
        return committed::exists;
    }
    end_reservation(id);
    r.state = state::visible;
    r.number = ++generations_;
    r.owner_or_checksum = checksum;
    r.last = {.tick = ++tick_};
    records_.insert(id);
    order_of(r).add(record_uses(), id);
    slab_uses_[r.at.slab].last.tick = tick_;
    relist(r.at.slab);
    ++stats_.blocks;
    stats_.bytes += length_of(r);
    return committed::stored;
}

bool block_pool::abandon(std::uint64_t token, std::uint64_t owner) {
    const std::uint32_t id = find_reserved(token, owner);
    if (id == none) {
        return false;
    }
    end_reservation(id);
    release(id);
    return true;
}

void block_pool::abandon_all(std::uint64_t owner) {
    const auto at = owners_.find(owner);
    if (at == owners_.end()) {
        return;
    }
    while (at->second.reserved.first != none) {
        const std::uint32_t id = at->second.reserved.first;
        end_reservation(id);
        release(id);
    }
    owners_.erase(at);
}

bool block_pool::remove(const block_key& key, time_point now) {
    advance(now);
    const std::uint32_t id = records_.find(key);
    if (id == none) {
        return false;
    }
    remove_visible(id);
    return true;
}

bool block_pool::drop(const block_key& key, std::uint64_t generation, time_point now) {
    advance(now);
    const std::uint32_t id = records_.find(key);
    if (id == none || records_[id].number != generation) {
        return false;
    }
    remove_visible(id);
    return true;
}

pool_stats block_pool::stats() const noexcept { return stats_; }

block_place block_pool::place_of(const block_record& r) const noexcept {
    return {.offset = slabs_.offset(r.at),
            .length = length_of(r),
            .generation = r.number,
            .checksum = r.owner_or_checksum};
}

// A token is the number of its record, which nobody checks for us, and a count of reservations.
std::uint32_t block_pool::find_reserved(std::uint64_t token, std::uint64_t owner) const noexcept {
    const auto id = static_cast<std::uint32_t>(token);
    if (!records_.known(id)) {
        return none;
    }
    const block_record& r = records_[id];
    return r.state == state::reserved && r.number == token && r.owner_or_checksum == owner ? id
                                                                                           : none;
}

void block_pool::touch(std::uint32_t id) noexcept {
    const block_record& r = records_[id];
    order_of(r).touch(record_uses(), id, ++tick_, now_);
    slab_use& s = slab_uses_[r.at.slab];
    if (s.listed) {
        slab_order_.touch(slab_uses(), r.at.slab, tick_, now_);
    } else {
        s.last.tick = tick_;
    }
}

/// The record has its slot still, but belongs to nobody; its slab is to be put in order again.
void block_pool::end_reservation(std::uint32_t id) {
    const block_record& r = records_[id];
    owners_.find(r.owner_or_checksum)->second.reserved.unlink(record_uses(), id);
    --slab_uses_[r.at.slab].reserved;
    stats_.reserved -= slabs_.slot_bytes(r.at.slab);
}

void block_pool::remove_visible(std::uint32_t id) {
    block_record& r = records_[id];
    records_.erase(id);
    order_of(r).remove(record_uses(), id);
    --stats_.blocks;
    stats_.bytes -= length_of(r);
    if (r.last.leased_until > now_) {
        r.state = state::limbo;
        stats_.limbo += slabs_.slot_bytes(r.at.slab);
        limbo_.push({r.last.leased_until, id});
    } else {
        release(id);
    }
}

/// Gives the slot of a record back that is in no list.
void block_pool::release(std::uint32_t id) {
    const std::uint32_t slab = records_[id].at.slab;
    slabs_.give_back(records_[id].at);
    records_.drop(id);
    relist(slab);
}

/// A slab that comes back under a lease goes behind those that it may outlive: it is emptied a
/// little later than it might be, never earlier.
void block_pool::relist(std::uint32_t slab) noexcept {
    slab_use& s = slab_uses_[slab];
    const bool list = slabs_.in_use(slab) && s.reserved == 0;
    if (list && !s.listed) {
        slab_order_.add(slab_uses(), slab);
    } else if (!list && s.listed) {
        slab_order_.remove(slab_uses(), slab);
    }
    s.listed = list;
    if (!slabs_.in_use(slab)) {
        s.last = use{};
    }
}

}  // namespace sluice::node
