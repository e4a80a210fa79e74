// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include <sluice/kv/block_key.hpp>
#include <sluice/kv/layout.hpp>

#include "dice.hpp"
#include "history.hpp"

namespace sluice::histories {

/// \name Contents
/// What a block holds is a function of its key, and begins with the key itself. Stages of the
/// user's see it in other forms: form n has passed n stages less than form 0, which is what L1 is
/// to hold.
///@{
inline std::byte content_at(std::uint64_t key, std::size_t i, std::uint32_t form = 0) noexcept {
    const std::uint64_t word = i < 8 ? key : mixed(key * 0x10001 + i / 8);
    return static_cast<std::byte>((word >> (8 * (i % 8))) ^ (0x5bU * form));
}
inline void fill_block(std::span<std::byte> to, std::uint64_t key,
                       std::uint32_t form = 0) noexcept {
    for (std::size_t i = 0; i < to.size(); ++i) {
        to[i] = content_at(key, i, form);
    }
}
inline bool holds_block(std::span<const std::byte> of, std::uint64_t key,
                        std::uint32_t form = 0) noexcept {
    for (std::size_t i = 0; i < of.size(); ++i) {
        if (of[i] != content_at(key, i, form)) {
            return false;
        }
    }
    return true;
}
/// The key that the memory claims to hold.
inline std::uint64_t claimed_key(std::span<const std::byte> of) noexcept {
    std::uint64_t key = 0;
    std::memcpy(&key, of.data(), sizeof key);
    return key;
}
inline void scribble(std::span<std::byte> over) noexcept {
    std::memset(over.data(), 0xdd, over.size());
}
inline std::uint64_t value_of(const block_key& key) noexcept { return claimed_key(key.bytes()); }
///@}

/// The pages of L1: real memory under the history's layout.
class l1_memory {
 public:
    explicit l1_memory(const std::vector<group_config>& groups) {
        std::size_t total = 0;
        for (const group_config& g : groups) {
            for (const std::uint32_t piece : g.pieces) {
                total += std::size_t{piece} * g.slots;
            }
        }
        bytes_.resize(total, std::byte{0xee});
        auto base = reinterpret_cast<std::uintptr_t>(bytes_.data());
        std::vector<group_layout> made;
        for (const group_config& g : groups) {
            group_layout out;
            out.rule = g.rule;
            out.last_n = g.last_n;
            std::uint64_t all = 0;
            for (const std::uint32_t piece : g.pieces) {
                all += piece;
            }
            std::uint64_t before = 0;
            std::int32_t layer = 0;
            for (const std::uint32_t piece : g.pieces) {
                out.regions.push_back({g.together ? base + before : base + before * g.slots,
                                       g.together ? all : piece, piece, g.slots, layer++});
                before += piece;
            }
            base += all * g.slots;
            made.push_back(std::move(out));
        }
        layout_.emplace_back(*layout::create(std::move(made)));
    }

    [[nodiscard]] const layout& form() const noexcept { return layout_.front(); }
    [[nodiscard]] std::size_t group_index(const group_layout* g) const noexcept {
        return static_cast<std::size_t>(g - form().groups().data());
    }
    /// Visits the bytes of a page in the order of its block: `visit(std::byte&, index)`.
    template <class Visit>
    void for_each(std::size_t group, slot_id slot, Visit visit) {
        std::size_t i = 0;
        for (const region& r : form().groups()[group].regions) {
            auto* const piece = reinterpret_cast<std::byte*>(r.base + r.stride * slot);
            for (std::uint64_t b = 0; b < r.bytes; ++b) {
                visit(piece[b], i++);
            }
        }
    }
    void read(std::size_t group, slot_id slot, std::span<std::byte> to) {
        for_each(group, slot, [&](std::byte& b, std::size_t i) { to[i] = b; });
    }
    void write(std::size_t group, slot_id slot, std::span<const std::byte> from) {
        for_each(group, slot, [&](std::byte& b, std::size_t i) { b = from[i]; });
    }
    void scribble_over(std::size_t group, slot_id slot) {
        for_each(group, slot, [](std::byte& b, std::size_t) { b = std::byte{0xdd}; });
    }
    void fill(std::size_t group, slot_id slot, std::uint64_t key) {
        for_each(group, slot, [&](std::byte& b, std::size_t i) { b = content_at(key, i); });
    }
    [[nodiscard]] bool holds(std::size_t group, slot_id slot, std::uint64_t key) {
        bool same = true;
        for_each(group, slot,
                 [&](std::byte& b, std::size_t i) { same = same && b == content_at(key, i); });
        return same;
    }
    [[nodiscard]] std::uint64_t claims(std::size_t group, slot_id slot) {
        std::uint64_t key = 0;
        for_each(group, slot, [&](std::byte& b, std::size_t i) {
            key |= i < 8 ? std::uint64_t{std::to_integer<std::uint8_t>(b)} << (8 * i) : 0;
        });
        return key;
    }

 private:
    std::vector<std::byte> bytes_;
    std::vector<layout> layout_;  // one; it has no default
};

}  // namespace sluice::histories
