// SPDX-License-Identifier: Apache-2.0
#include <sluice/kv/layout.hpp>

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

namespace sluice {
namespace {

// Addresses end at 2^64 inclusive, and their sums are wider still.
__extension__ typedef unsigned __int128 wide;

constexpr wide address_space = wide{1} << 64;

// A bound on the pairs that are compared, far above any model's: layers times pieces per layer.
constexpr std::size_t max_regions = 2048;

struct placed_region {
    const region* r;
    std::size_t group;
    std::size_t index;
    wide end;  // of the last slot
};

wide end_of(const region& r) { return wide{r.base} + wide{r.stride} * (r.slots - 1) + r.bytes; }

std::string name_of(const placed_region& p) {
    return fmt::format("group {}, region {}", p.group, p.index);
}

std::string text_of(const region& r) {
    return fmt::format("base {:#x}, stride {}, {} bytes, {} slots", r.base, r.stride, r.bytes,
                       r.slots);
}

absl::Status check_region(const region& r, std::size_t group, std::size_t index) {
    const auto refuse = [&](std::string_view what) {
        return absl::InvalidArgumentError(
            fmt::format("group {}, region {} ({}) {}", group, index, text_of(r), what));
    };
    if (r.bytes == 0 || r.slots == 0) {
        return refuse("is empty");
    }
    if (r.stride < r.bytes) {
        return refuse("has a stride below its bytes");
    }
    if (end_of(r) > address_space) {
        return refuse("ends beyond the address space");
    }
    if (r.layer < -1) {
        return refuse(fmt::format("has layer {}", r.layer));
    }
    return absl::OkStatus();
}

// Sum over i in [0, n) of floor((a * i + b) / m), modulo 2^128: Euclid's algorithm on (a, m).
wide floor_sum(wide n, wide m, wide a, wide b) {
    wide sum = 0;
    for (;;) {
        if (a >= m) {
            sum += n * (n - 1) / 2 * (a / m);
            a %= m;
        }
        if (b >= m) {
            sum += n * (b / m);
            b %= m;
        }
        const wide top = a * n + b;
        if (top < m) {
            return sum;
        }
        n = top / m;
        b = top % m;
        std::swap(a, m);
    }
}

// Whether any slot of x shares a byte with any slot of y. Exact, in time logarithmic in the
// strides: the slots of x that reach into the range of y are a run, and for such a slot it makes no
// difference whether y's slots go on for ever. So the pairs that touch are counted in closed form.
bool overlap(const placed_region& x, const placed_region& y) {
    const region& p = *x.r;
    const region& q = *y.r;
    if (x.end <= q.base || y.end <= p.base) {
        return false;
    }
    const wide reach = wide{p.base} + p.bytes;
    const wide first = reach > q.base ? 0 : (q.base - reach + p.stride) / p.stride;
    const wide last = std::min<wide>(p.slots - 1, (y.end - 1 - p.base) / p.stride);
    if (first > last) {
        return false;  // all of y lies in one gap of x
    }
    // Slot i of x begins at p.base + p.stride * i and touches slot j of y if and only if
    // start - q.base - q.bytes < q.stride * j < start - q.base + p.bytes. `lift` keeps it positive.
    const wide lift = wide{q.stride} * ((wide{p.bytes} + q.bytes) / q.stride + 1);
    const wide start = p.base + wide{p.stride} * first + lift - q.base;
    const wide count = last - first + 1;
    return floor_sum(count, q.stride, p.stride, start + p.bytes - 1) !=
           floor_sum(count, q.stride, p.stride, start - q.bytes);
}

absl::Status check_overlaps(std::vector<placed_region>& all) {
    std::sort(all.begin(), all.end(),
              [](const placed_region& x, const placed_region& y) { return x.r->base < y.r->base; });
    std::vector<const placed_region*> open;  // begun, and not known to have ended
    for (const placed_region& next : all) {
        std::erase_if(open, [&](const placed_region* p) { return p->end <= next.r->base; });
        for (const placed_region* const p : open) {
            if (overlap(*p, next)) {
                return absl::InvalidArgumentError(fmt::format("{} ({}) overlaps {} ({})",
                                                              name_of(next), text_of(*next.r),
                                                              name_of(*p), text_of(*p->r)));
            }
        }
        open.push_back(&next);
    }
    return absl::OkStatus();
}

absl::Status check_group(const group_layout& group, std::size_t g) {
    if (group.regions.empty()) {
        return absl::InvalidArgumentError(fmt::format("group {} has no regions", g));
    }
    switch (group.rule) {
    case hit_rule::all_blocks: break;
    case hit_rule::last_n:
        if (group.last_n == 0) {
            return absl::InvalidArgumentError(
                fmt::format("group {} needs its last n blocks, with n = 0", g));
        }
        break;
    default:
        return absl::InvalidArgumentError(
            fmt::format("group {} has the unknown hit rule {}", g, static_cast<int>(group.rule)));
    }
    for (std::size_t i = 0; i < group.regions.size(); ++i) {
        if (absl::Status s = check_region(group.regions[i], g, i); !s.ok()) {
            return s;
        }
    }
    return absl::OkStatus();
}

// The longest prefix of at most `most` blocks whose last `n` blocks (all, if it has fewer) are
// `present`.
std::uint32_t longest_with_tail(std::span<const std::uint8_t> present, std::uint32_t most,
                                std::uint32_t n) {
    std::uint32_t prefix = most;
    for (std::uint32_t i = most; i > 0 && prefix - i < n; --i) {
        if (present[i - 1] == 0) {
            prefix = i - 1;
        }
    }
    return prefix;
}

}  // namespace

absl::StatusOr<layout> layout::create(std::vector<group_layout> groups) {
    if (groups.empty()) {
        return absl::InvalidArgumentError("a layout has at least one group");
    }
    std::vector<placed_region> all;
    for (std::size_t g = 0; g < groups.size(); ++g) {
        if (absl::Status s = check_group(groups[g], g); !s.ok()) {
            return s;
        }
        for (std::size_t i = 0; i < groups[g].regions.size(); ++i) {
            const region& r = groups[g].regions[i];
            all.push_back({&r, g, i, end_of(r)});
        }
        if (all.size() > max_regions) {
            return absl::InvalidArgumentError(
                fmt::format("group {}: a layout has at most {} regions", g, max_regions));
        }
    }
    if (absl::Status s = check_overlaps(all); !s.ok()) {
        return s;
    }

    layout l;
    for (const group_layout& group : groups) {
        std::uint64_t bytes = 0;  // cannot overflow: the regions are disjoint
        std::uint32_t slots = UINT32_MAX;
        for (const region& r : group.regions) {
            bytes += r.bytes;
            slots = std::min(slots, r.slots);
        }
        l.block_bytes_.push_back(bytes);
        l.slots_.push_back(slots);
    }
    l.groups_ = std::move(groups);
    return l;
}

std::uint64_t layout::max_block_bytes() const noexcept {
    return *std::max_element(block_bytes_.begin(), block_bytes_.end());
}

std::uint32_t layout::usable_prefix(std::span<const std::uint8_t> present,
                                    std::uint32_t blocks) const noexcept {
    if (blocks == 0 || present.size() / blocks < groups_.size()) {
        return 0;
    }
    const auto of_group = [&](std::size_t g) { return present.subspan(g * blocks, blocks); };
    std::uint32_t prefix = blocks;
    for (std::size_t g = 0; g < groups_.size(); ++g) {
        if (groups_[g].rule == hit_rule::all_blocks) {
            const auto begin = of_group(g).begin();
            prefix = static_cast<std::uint32_t>(std::find(begin, begin + prefix, std::uint8_t{0}) -
                                                begin);
        }
    }
    // A group may shorten the prefix to where another one's window is not whole: until all agree.
    std::uint32_t before = 0;
    do {
        before = prefix;
        for (std::size_t g = 0; g < groups_.size(); ++g) {
            if (groups_[g].rule == hit_rule::last_n) {
                prefix = longest_with_tail(of_group(g), prefix, groups_[g].last_n);
            }
        }
    } while (prefix != before);
    return prefix;
}

}  // namespace sluice
