// SPDX-License-Identifier: Apache-2.0
#include <tiny_llm/paged_kv.hpp>

#include <algorithm>
#include <utility>

#include <absl/status/status.h>
#include <absl/strings/str_cat.h>

namespace tiny_llm {
namespace {

constexpr std::size_t cache_line = 64;
// Far above any use, far below where products of sizes overflow.
constexpr std::size_t max_dimension = std::size_t{1} << 16;
constexpr std::size_t max_arena_bytes = std::size_t{1} << 46;

std::size_t regions_of(kv_layout layout, std::size_t layers) {
    switch (layout) {
    case kv_layout::split_per_layer: return 2 * layers;
    case kv_layout::fused_per_layer: return layers;
    case kv_layout::cross_layer: return 1;
    }
    return 0;
}

absl::Status check_dimension(const char* what, std::size_t value) {
    if (value >= 1 && value <= max_dimension) {
        return absl::OkStatus();
    }
    return absl::InvalidArgumentError(
        absl::StrCat(what, " is ", value, ", must be 1 to ", max_dimension));
}

absl::Status check(const kv_shape& shape, kv_layout layout, std::size_t block_tokens) {
    for (const auto& [what, value] : {std::pair{"layers", shape.layers},
                                      {"kv_heads", shape.kv_heads},
                                      {"head_dim", shape.head_dim},
                                      {"block_tokens", block_tokens}}) {
        if (absl::Status s = check_dimension(what, value); !s.ok()) {
            return s;
        }
    }
    if (regions_of(layout, shape.layers) == 0) {
        return absl::InvalidArgumentError(
            absl::StrCat("unknown kv_layout ", static_cast<int>(layout)));
    }
    if (shape.token_bytes() > max_arena_bytes / block_tokens) {
        return absl::InvalidArgumentError("a block is too large");
    }
    return absl::OkStatus();
}

absl::Status check_region(std::size_t index, const kv_region& region, std::size_t bytes) {
    const auto wrong = [index](auto... what) {
        return absl::InvalidArgumentError(absl::StrCat("region ", index, ": ", what...));
    };
    if (region.base == nullptr) {
        return wrong("base is null");
    }
    if (region.bytes != bytes) {
        return wrong("slot has ", region.bytes, " bytes, needs ", bytes);
    }
    if (region.stride < bytes) {
        return wrong("stride ", region.stride, " is below ", bytes);
    }
    if (region.slots == 0) {
        return wrong("has no slots");
    }
    if (reinterpret_cast<std::uintptr_t>(region.base) % alignof(float) != 0 ||
        region.stride % alignof(float) != 0) {
        return wrong("base and stride must be multiples of ", alignof(float));
    }
    return absl::OkStatus();
}

}  // namespace

absl::StatusOr<paged_kv> paged_kv::create(const kv_shape& shape, kv_layout layout,
                                          std::size_t block_tokens,
                                          std::span<const kv_region> regions) {
    if (absl::Status s = check(shape, layout, block_tokens); !s.ok()) {
        return s;
    }
    const std::size_t count = regions_of(layout, shape.layers);
    if (regions.size() != count) {
        return absl::InvalidArgumentError(
            absl::StrCat("got ", regions.size(), " regions, the layout has ", count));
    }
    paged_kv kv;
    kv.shape_ = shape;
    kv.layout_ = layout;
    kv.block_tokens_ = block_tokens;
    kv.num_slots_ = regions[0].slots;
    kv.regions_.assign(regions.begin(), regions.end());
    for (std::size_t i = 0; i < count; ++i) {
        if (absl::Status s = check_region(i, regions[i], kv.block_bytes() / count); !s.ok()) {
            return s;
        }
        kv.num_slots_ = std::min(kv.num_slots_, regions[i].slots);
    }
    // In every layout the parts of a block are K, V, K, V, ..., evenly cut into `count` pieces.
    const std::size_t parts = 2 * shape.layers;
    const std::size_t part_bytes = kv.block_bytes() / parts;
    const std::size_t parts_per_piece = parts / count;
    const auto place_of = [&](std::size_t part) {
        const kv_region& region = regions[part / parts_per_piece];
        return place{region.base + part % parts_per_piece * part_bytes, region.stride};
    };
    for (std::size_t layer = 0; layer < shape.layers; ++layer) {
        kv.key_places_.push_back(place_of(2 * layer));
        kv.value_places_.push_back(place_of(2 * layer + 1));
    }
    return kv;
}

absl::StatusOr<kv_arena> kv_arena::create(const kv_shape& shape, kv_layout layout,
                                          std::size_t block_tokens, std::uint32_t slots,
                                          std::size_t padding) {
    if (absl::Status s = check(shape, layout, block_tokens); !s.ok()) {
        return s;
    }
    if (slots == 0) {
        return absl::InvalidArgumentError("slots is 0");
    }
    if (padding > max_arena_bytes) {
        return absl::InvalidArgumentError("padding is too large");
    }
    const std::size_t count = regions_of(layout, shape.layers);
    const std::size_t bytes = block_tokens * shape.token_bytes() / count;
    const std::size_t stride = bytes + (padding + cache_line - 1) / cache_line * cache_line;
    if (stride > max_arena_bytes / count / slots) {
        return absl::InvalidArgumentError(absl::StrCat("an arena of ", slots, " slots of ", count,
                                                       " x ", stride, " bytes is too large"));
    }
    const std::size_t region_bytes = (stride * slots / cache_line + 2) * cache_line;
    aligned_array<std::byte> memory(region_bytes * count);
    std::vector<kv_region> regions;
    for (std::size_t i = 0; i < count; ++i) {
        regions.push_back({memory.data() + i * region_bytes, stride, bytes, slots});
    }
    absl::StatusOr<paged_kv> pages = paged_kv::create(shape, layout, block_tokens, regions);
    if (!pages.ok()) {
        return pages.status();
    }
    return kv_arena(std::move(memory), *std::move(pages));
}

}  // namespace tiny_llm
