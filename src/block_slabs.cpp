// SPDX-License-Identifier: Apache-2.0
#include "block_slabs.hpp"

#include <algorithm>

#include <sluice/base/bytes.hpp>

#include "pages.hpp"

namespace sluice::detail {
namespace {

constexpr std::uint64_t alignment = 64;
constexpr std::uint64_t largest_slab = 16 * mib;

}  // namespace

block_slabs::~block_slabs() {
    for (const slab& s : slabs_) {
        unmap_pages(s.pages);
    }
}

stored_block* block_slabs::find(const block_key& key) noexcept {
    const auto at = index_.find(key);
    return at == index_.end() ? nullptr : at->second;
}

void block_slabs::touch(stored_block& b) noexcept {
    unlink(b);
    link(b);
}

stored_block* block_slabs::reserve(const block_key& key, std::uint64_t length) {
    if (length == 0 || length > capacity_ || round_up(length, alignment) > capacity_) {
        return nullptr;
    }
    const std::uint32_t c = class_of(round_up(length, alignment));
    while (classes_[c].free.empty() && !grow(c)) {
        if (release_unused_slab()) {
            continue;
        }
        stored_block* const old = evict_ ? victim(c) : nullptr;
        if (old == nullptr) {
            return nullptr;
        }
        drop(*old);
        ++evicted_;
    }
    const slot s = classes_[c].free.back();
    classes_[c].free.pop_back();
    if (slabs_[s.slab].used++ == 0) {
        --unused_slabs_;
    }

    stored_block* b = nullptr;
    if (free_headers_.empty()) {
        b = &headers_.emplace_back();
    } else {
        b = free_headers_.back();
        free_headers_.pop_back();
    }
    *b =
        stored_block{.key = key, .data = s.data, .length = length, .size_class = c, .slab = s.slab};
    return b;
}

void block_slabs::commit(stored_block& b) {
    if (!index_.try_emplace(b.key, &b).second) {
        abandon(b);
        return;
    }
    bytes_ += b.length;
    link(b);
}

void block_slabs::abandon(stored_block& b) noexcept {
    classes_[b.size_class].free.push_back({b.data, b.slab});
    if (--slabs_[b.slab].used == 0) {
        ++unused_slabs_;
    }
    free_headers_.push_back(&b);
}

void block_slabs::drop(stored_block& b) noexcept {
    index_.erase(b.key);
    bytes_ -= b.length;
    unlink(b);
    abandon(b);
}

std::uint32_t block_slabs::class_of(std::uint64_t slot_bytes) {
    const auto [at, fresh] =
        class_by_size_.try_emplace(slot_bytes, static_cast<std::uint32_t>(classes_.size()));
    if (fresh) {
        classes_.push_back({.slot_bytes = slot_bytes});
    }
    return at->second;
}

// Doubles what the class has: a size that occurs once does not take a large slab for itself.
bool block_slabs::grow(std::uint32_t c) {
    size_class& cls = classes_[c];
    const std::uint64_t room = (capacity_ - charged_) / cls.slot_bytes;
    const std::uint64_t most = std::max<std::uint64_t>(largest_slab / cls.slot_bytes, 1);
    const std::uint64_t slots = std::min({std::max<std::uint64_t>(cls.slots, 1), most, room});
    if (slots == 0) {
        return false;
    }
    const std::uint64_t charged = slots * cls.slot_bytes;
    const std::span<std::byte> pages = map_pages(static_cast<std::size_t>(charged));
    if (pages.empty()) {
        return false;
    }
    const auto gone =
        std::find_if(slabs_.begin(), slabs_.end(), [](const slab& s) { return s.pages.empty(); });
    const auto id = static_cast<std::uint32_t>(gone - slabs_.begin());
    if (gone == slabs_.end()) {
        slabs_.emplace_back();
    }
    slabs_[id] = {.pages = pages, .charged = charged, .size_class = c, .used = 0};
    ++unused_slabs_;
    charged_ += charged;
    cls.slots += slots;
    // From the back of the list the first slot goes first: neighbours in time become neighbours.
    for (std::uint64_t i = slots; i-- > 0;) {
        cls.free.push_back({pages.data() + i * cls.slot_bytes, id});
    }
    return true;
}

bool block_slabs::release_unused_slab() noexcept {
    if (unused_slabs_ == 0) {
        return false;
    }
    const auto at = std::find_if(slabs_.begin(), slabs_.end(),
                                 [](const slab& s) { return s.used == 0 && !s.pages.empty(); });
    --unused_slabs_;
    const auto id = static_cast<std::uint32_t>(at - slabs_.begin());
    size_class& cls = classes_[at->size_class];
    std::erase_if(cls.free, [id](const slot& s) { return s.slab == id; });
    cls.slots -= at->charged / cls.slot_bytes;
    charged_ -= at->charged;
    unmap_pages(at->pages);
    *at = {};
    return true;
}

stored_block* block_slabs::victim(std::uint32_t c) noexcept {
    if (classes_[c].oldest != nullptr) {
        return classes_[c].oldest;
    }
    stored_block* oldest = nullptr;
    for (const size_class& cls : classes_) {
        if (cls.oldest != nullptr && (oldest == nullptr || cls.oldest->used_at < oldest->used_at)) {
            oldest = cls.oldest;
        }
    }
    return oldest;
}

void block_slabs::link(stored_block& b) noexcept {
    size_class& cls = classes_[b.size_class];
    b.used_at = ++tick_;
    b.newer = nullptr;
    b.older = cls.newest;
    (cls.newest == nullptr ? cls.oldest : cls.newest->newer) = &b;
    cls.newest = &b;
}

void block_slabs::unlink(stored_block& b) noexcept {
    size_class& cls = classes_[b.size_class];
    (b.older == nullptr ? cls.oldest : b.older->newer) = b.newer;
    (b.newer == nullptr ? cls.newest : b.newer->older) = b.older;
}

}  // namespace sluice::detail
