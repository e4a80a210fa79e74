// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include <sluice/kv/block_key.hpp>

namespace sluice::detail {

inline constexpr std::uint32_t max_replicas = 8;

/// The nodes of one block, best first.
struct candidates {
    std::array<std::uint16_t, max_replicas> nodes{};
    std::uint32_t count = 0;
};

/// Rendezvous hashing (Thaler and Ravishankar 1998): a block lives on the nodes for which a hash
/// of block and node is the highest, so a node that comes or goes moves no other node's blocks.
///
/// \par Thread safety
/// Immutable.
class placement {
 public:
    placement(std::span<const std::string> nodes, std::uint32_t replicas);

    [[nodiscard]] candidates of(const block_key& key) const noexcept;

 private:
    std::vector<std::uint64_t> seeds_;  // by node
    std::uint32_t replicas_;
};

}  // namespace sluice::detail
