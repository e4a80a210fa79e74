// SPDX-License-Identifier: Apache-2.0
#include "options_check.hpp"

#include <algorithm>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include <sluice/stage/block_stage.hpp>

namespace sluice::detail {

namespace {

constexpr std::uint32_t max_refs = 1U << 24;  // a block_ref counts its place in 24 bits
// Each slot is accounted for, in some 40 bytes; far above any machine's memory in KV blocks.
constexpr std::uint64_t max_slots = 1U << 28;

template <class... Args>
absl::Status invalid(fmt::format_string<Args...> text, Args&&... args) {
    return absl::InvalidArgumentError(fmt::format(text, std::forward<Args>(args)...));
}

absl::Status check_limits(std::string_view name, const stage_limits& l) {
    if (l.operations == 0 || l.bytes == 0) {
        return invalid("pipeline: limits of {}: operations and bytes in flight are at least 1",
                       name);
    }
    return absl::OkStatus();
}

absl::Status check_keys(std::string_view what, std::span<const block_key> keys,
                        std::size_t groups) {
    if (keys.size() % groups != 0) {
        return invalid("{}: {} keys for {} groups; every group has a key per block", what,
                       keys.size(), groups);
    }
    if (keys.size() >= max_refs) {
        return invalid("{}: {} keys; fewer than {} are possible", what, keys.size(), max_refs);
    }
    for (std::size_t i = 0; i < keys.size(); ++i) {
        if (keys[i].empty()) {
            return invalid("{}: key {} is empty", what, i);
        }
    }
    return absl::OkStatus();
}

}  // namespace

absl::Status check_options(const pipeline_options& o) {
    if (o.l1 == nullptr || o.device == nullptr) {
        return invalid("pipeline: a layout (l1) and a device are required");
    }
    if (o.block_tokens == 0) {
        return invalid("pipeline: block_tokens is 0; a block holds at least one token");
    }
    if (o.concurrent_computes == 0 || o.max_requests == 0) {
        return invalid("pipeline: concurrent_computes and max_requests are at least 1");
    }
    for (const auto& [name, limits] : {std::pair<std::string_view, stage_limits>{"fetch", o.fetch},
                                       {"copy", o.copy},
                                       {"write_back", o.write_back}}) {
        if (absl::Status s = check_limits(name, limits); !s.ok()) {
            return s;
        }
    }
    if (o.inbound.size() > 8) {
        return invalid("pipeline: {} inbound stages; at most 8", o.inbound.size());
    }
    for (const block_stage* s : o.inbound) {
        if (s == nullptr) {
            return invalid("pipeline: an inbound stage is null");
        }
        if (absl::Status status = check_limits(s->name(), s->limits()); !status.ok()) {
            return status;
        }
    }
    if (o.l1->groups().size() > 255) {
        return invalid("pipeline: {} cache groups; at most 255", o.l1->groups().size());
    }
    constexpr std::uint64_t max_block = std::uint64_t{1} << 48;
    if (o.l1->max_block_bytes() > max_block) {
        return invalid("pipeline: a block of {} bytes; at most {} are possible",
                       o.l1->max_block_bytes(), max_block);
    }
    if (o.l2_bytes / round_up(o.l1->max_block_bytes(), 64) == 0) {
        return invalid("pipeline: l2_bytes is {}, less than one block of {} bytes", o.l2_bytes,
                       o.l1->max_block_bytes());
    }
    if (o.l2_bytes / round_up(o.l1->max_block_bytes(), 64) > max_slots) {
        return invalid("pipeline: l2_bytes is {}, more than {} blocks of {} bytes", o.l2_bytes,
                       max_slots, o.l1->max_block_bytes());
    }
    for (std::size_t g = 0; g < o.l1->groups().size(); ++g) {
        if (o.l1->slots(g) > max_slots) {
            return invalid("pipeline: group {} of L1 has {} slots; at most {} are possible", g,
                           o.l1->slots(g), max_slots);
        }
    }
    if (!(o.write_back_share >= 0 && o.write_back_share <= 1) ||
        !(o.quarantine_share >= 0 && o.quarantine_share <= 1)) {
        return invalid("pipeline: write_back_share and quarantine_share are between 0 and 1");
    }
    if (o.fetch_hard_timeout <= duration{0} || o.fetch_soft_timeout < duration{0} ||
        o.load_timeout < duration{0}) {
        return invalid("pipeline: a timeout is negative, or the hard one is 0");
    }
    return absl::OkStatus();
}

absl::StatusOr<request_shape> check_spec(const pipeline_options& o, const request_spec& spec) {
    const std::size_t groups = o.l1->groups().size();
    if (spec.prompt_tokens == 0 && !spec.prewarm) {
        return invalid("submit: prompt_tokens is 0");
    }
    if (absl::Status s = check_keys("submit", spec.keys, groups); !s.ok()) {
        return s;
    }
    const std::uint64_t blocks = spec.keys.size() / groups;
    if (spec.prewarm && blocks == 0) {
        return invalid("submit: there is nothing to prewarm; name blocks");
    }
    if (spec.application != app_handle{} && o.applications == nullptr) {
        return invalid("submit: an application is named, but none are tracked here (applications)");
    }
    if (blocks * o.block_tokens > spec.prompt_tokens && !spec.prewarm) {
        return invalid("submit: {} blocks of {} tokens are more than the prompt's {} tokens",
                       blocks, o.block_tokens, spec.prompt_tokens);
    }
    if (o.owner == l1_owner::library && spec.resident_blocks > 0) {
        return invalid("submit: resident_blocks is for engine-owned L1");
    }
    if (spec.resident_blocks > blocks) {
        return invalid("submit: {} resident blocks of {}", spec.resident_blocks, blocks);
    }
    if (!(spec.tenant_weight > 0) || !std::isfinite(spec.tenant_weight)) {
        return invalid("submit: tenant_weight is {}, not a positive number", spec.tenant_weight);
    }
    if (std::isnan(spec.rank.value)) {
        return invalid("submit: rank is not a number");
    }
    if (spec.load_timeout < duration{0}) {
        return invalid("submit: load_timeout is negative");
    }
    const std::uint64_t for_prompt =
        spec.prompt_tokens / o.block_tokens + (spec.prompt_tokens % o.block_tokens != 0 ? 1 : 0);
    if (spec.pages != 0 && spec.pages < for_prompt && !spec.prewarm) {
        return invalid("submit: {} pages, but the prompt alone takes {}", spec.pages, for_prompt);
    }
    const std::uint64_t pages = spec.prewarm ? blocks : spec.pages != 0 ? spec.pages : for_prompt;
    const bool takes_pages = !spec.prewarm || o.owner == l1_owner::library;
    for (std::size_t g = 0; takes_pages && g < groups; ++g) {
        if (pages > o.l1->slots(g)) {
            return absl::OutOfRangeError(
                fmt::format("submit: {} pages can never fit into the {} slots of group {}", pages,
                            o.l1->slots(g), g));
        }
    }
    const std::uint64_t loadable =
        spec.prewarm ? blocks
        : spec.prompt_tokens > spec.min_query_tokens
            ? (spec.prompt_tokens - spec.min_query_tokens) / o.block_tokens
            : 0;
    return request_shape{static_cast<std::uint32_t>(blocks), static_cast<std::uint32_t>(pages),
                         static_cast<std::uint32_t>(std::min(blocks, loadable))};
}

void describe(const request_spec& spec, time_point now, request_view& v) noexcept {
    v.user = spec.user;
    v.arrival = spec.arrival == never ? now : spec.arrival;
    v.deadline = spec.deadline;
    v.priority = spec.priority;
    v.tenant = spec.tenant;
    v.tenant_weight = spec.tenant_weight;
    v.rank = spec.rank.value;
    v.tier = spec.rank.tier;
    v.prompt_tokens = spec.prompt_tokens;
}

absl::StatusOr<std::uint32_t> check_stored(const pipeline_options& o,
                                           std::span<const block_key> keys,
                                           std::span<const slot_id> pages) {
    const std::size_t groups = o.l1->groups().size();
    if (absl::Status s = check_keys("store_blocks", keys, groups); !s.ok()) {
        return s;
    }
    if (keys.empty() || keys.size() != pages.size()) {
        return invalid(
            "store_blocks: {} keys and {} pages; as many of each, at least one per group",
            keys.size(), pages.size());
    }
    const auto blocks = static_cast<std::uint32_t>(keys.size() / groups);
    if (absl::Status s = check_pages("store_blocks", *o.l1, blocks, pages); !s.ok()) {
        return s;
    }
    return blocks;
}

absl::Status check_pages(std::string_view what, const layout& l1, std::uint32_t per_group,
                         std::span<const slot_id> pages) {
    const std::size_t groups = l1.groups().size();
    if (pages.size() != groups * per_group) {
        return invalid("{}: {} pages for {} groups of {}", what, pages.size(), groups, per_group);
    }
    for (std::size_t n = 0; n < pages.size(); ++n) {
        if (pages[n] != no_slot && pages[n] >= l1.slots(n / per_group)) {
            return invalid("{}: page {} of group {} is slot {}, but there are {}", what,
                           n % per_group, n / per_group, pages[n], l1.slots(n / per_group));
        }
    }
    return absl::OkStatus();
}

}  // namespace sluice::detail
