// SPDX-License-Identifier: Apache-2.0
#include "placement.hpp"

#include <algorithm>

#include <sluice/base/checksum.hpp>

namespace sluice::detail {
namespace {

// The finaliser of SplitMix64: every bit of `x` changes half of the result's.
std::uint64_t mix(std::uint64_t x) noexcept {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

}  // namespace

placement::placement(std::span<const std::string> nodes, std::uint32_t replicas)
    : replicas_(std::min<std::uint32_t>(replicas, max_replicas)) {
    seeds_.reserve(nodes.size());
    for (const std::string& node : nodes) {
        seeds_.push_back(checksum64(std::as_bytes(std::span(node))));
    }
}

candidates placement::of(const block_key& key) const noexcept {
    candidates out;
    const std::uint64_t hash = key.hash();
    std::array<std::uint64_t, max_replicas> scores;
    for (std::size_t i = 0; i < seeds_.size(); ++i) {
        const std::uint64_t score = mix(hash ^ seeds_[i]);
        std::uint32_t at = std::min(out.count, replicas_);
        if (at == replicas_ && score <= scores[at - 1]) {
            continue;
        }
        at = std::min(at, replicas_ - 1);
        while (at > 0 && scores[at - 1] < score) {
            scores[at] = scores[at - 1];
            out.nodes[at] = out.nodes[at - 1];
            --at;
        }
        scores[at] = score;
        out.nodes[at] = static_cast<std::uint16_t>(i);
        out.count = std::min(out.count + 1, replicas_);
    }
    return out;
}

}  // namespace sluice::detail
