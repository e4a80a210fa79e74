// SPDX-License-Identifier: Apache-2.0
#include "block_records.hpp"

#include <span>

#include <xxhash.h>

#include "../wire/secret.hpp"

namespace sluice::node {
namespace {

constexpr std::uint32_t first_buckets = 64;

}  // namespace

block_records::block_records() : mask_(first_buckets - 1) {
    wire::fill_random(std::as_writable_bytes(std::span(&seed_, 1)));
    for (std::uint32_t i = 0; i < first_buckets; ++i) {
        buckets_.grow();
    }
}

std::uint32_t block_records::make() {
    if (unused_ == none) {
        return records_.grow();
    }
    const std::uint32_t id = unused_;
    unused_ = records_[id].chain;
    records_[id] = block_record{};
    return id;
}

void block_records::drop(std::uint32_t id) noexcept {
    records_[id].state = block_record::state::unused;
    records_[id].chain = unused_;
    unused_ = id;
}

std::uint32_t block_records::find(const block_key& key) const noexcept {
    for (std::uint32_t at = buckets_[bucket_of(key)]; at != 0;) {
        const block_record& r = records_[at - 1];
        if (r.key == key) {
            return at - 1;
        }
        at = r.chain;
    }
    return none;
}

void block_records::insert(std::uint32_t id) {
    if (visible_ >= buckets_.size()) {
        add_bucket();
    }
    block_record& r = records_[id];
    std::uint32_t& bucket = buckets_[bucket_of(r.key)];
    r.chain = bucket;
    bucket = id + 1;
    ++visible_;
}

void block_records::erase(std::uint32_t id) noexcept {
    std::uint32_t* at = &buckets_[bucket_of(records_[id].key)];
    while (*at != id + 1) {
        at = &records_[*at - 1].chain;
    }
    *at = records_[id].chain;
    --visible_;
}

// Linear hashing: the buckets up to a power of two have been split already, the others not yet.
std::uint32_t block_records::bucket_of(const block_key& key) const noexcept {
    // With a seed of its own: clients choose the keys, and must not choose the buckets.
    const std::span<const std::byte> bytes = key.bytes();
    const auto hash = XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed_);
    const std::uint32_t at = static_cast<std::uint32_t>(hash) & mask_;
    return at < buckets_.size() ? at : at & (mask_ >> 1);
}

void block_records::add_bucket() {
    const std::uint32_t added = buckets_.grow();
    if (added > mask_) {
        mask_ = mask_ * 2 + 1;
    }
    std::uint32_t* keep = &buckets_[added & (mask_ >> 1)];
    std::uint32_t* move = &buckets_[added];
    for (std::uint32_t at = *keep; at != 0;) {
        block_record& r = records_[at - 1];
        std::uint32_t*& to = bucket_of(r.key) == added ? move : keep;
        *to = at;
        to = &r.chain;
        at = r.chain;
    }
    *keep = 0;
    *move = 0;
}

}  // namespace sluice::node
