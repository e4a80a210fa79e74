// SPDX-License-Identifier: Apache-2.0
#include "read.hpp"

#include <cstddef>
#include <span>
#include <utility>

#include "structs.hpp"
#include "text.hpp"

namespace sluice::capi {

absl::Status check_array(const void* array, std::uint64_t n, std::string_view name) {
    return n > 0 && array == nullptr ? null_argument(name) : absl::OkStatus();
}

absl::Status read_keys(const void* keys, std::uint32_t key_size, std::uint64_t n,
                       std::vector<block_key>& out) {
    constexpr std::uint64_t most = 1U << 24;
    out.clear();
    if (n == 0) {
        return absl::OkStatus();
    }
    if (absl::Status s = check_array(keys, n, "keys"); !s.ok()) {
        return s;
    }
    if (key_size == 0 || key_size > block_key::max_size) {
        return invalid("key_size is {}; a key has 1 to {} bytes", key_size, block_key::max_size);
    }
    if (n > most) {
        return invalid("{} keys; at most {} are possible", n, most);
    }
    out.reserve(n);
    const auto* at = static_cast<const std::byte*>(keys);
    for (std::uint64_t i = 0; i < n; ++i, at += key_size) {
        const absl::StatusOr<block_key> key = block_key::from_bytes({at, key_size});
        if (!key.ok()) {
            return key.status();
        }
        out.push_back(*key);
    }
    return absl::OkStatus();
}

absl::StatusOr<layout> read_layout(const sluice_group* groups, std::uint32_t n_groups) {
    constexpr std::uint32_t most_groups = 255;
    constexpr std::uint32_t most_regions = 1U << 20;
    if (groups == nullptr || n_groups == 0 || n_groups > most_groups) {
        return invalid("groups: {} groups{}; 1 to {} describe L1", n_groups,
                       groups == nullptr ? " at NULL" : "", most_groups);
    }
    std::vector<group_layout> read;
    read.reserve(n_groups);
    for (const sluice_group& g : std::span(groups, n_groups)) {
        const std::size_t index = read.size();
        if (g.regions == nullptr || g.n_regions == 0 || g.n_regions > most_regions) {
            return invalid("groups[{}]: {} regions{}; 1 to {} are possible", index, g.n_regions,
                           g.regions == nullptr ? " at NULL" : "", most_regions);
        }
        if (g.hit_rule > SLUICE_HIT_LAST_N || g.reserved != 0) {
            return invalid(
                "groups[{}]: hit_rule is {} and reserved is {}; SLUICE_HIT_* and 0 are "
                "possible",
                index, g.hit_rule, g.reserved);
        }
        group_layout& to = read.emplace_back();
        to.rule = g.hit_rule == SLUICE_HIT_LAST_N ? hit_rule::last_n : hit_rule::all_blocks;
        to.last_n = g.last_n;
        to.regions.reserve(g.n_regions);
        for (const sluice_region& r : std::span(g.regions, g.n_regions)) {
            to.regions.push_back(
                {static_cast<std::uintptr_t>(r.base), r.stride, r.bytes, r.slots, r.layer});
        }
    }
    return layout::create(std::move(read));
}

}  // namespace sluice::capi
