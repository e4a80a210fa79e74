// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "fetch_cases.hpp"
#include "raw_fabric.hpp"

namespace sluice::bench {

/// Which blocks are read in which order, and where each goes.
///
/// Block k is the `block_bytes` bytes at offset k x `block_bytes` of the raw target's pool; blocks
/// are put to a node in that order too, so that both sides have the same neighbours.
struct fetch_plan {
    std::uint64_t block_bytes = 0;
    std::vector<std::uint32_t> groups;  ///< blocks that are put together, in order of k
    std::vector<std::uint64_t> remote;  ///< in reading order: offsets in the raw pool
    std::vector<std::byte*> local;      ///< in reading order: each block's place, in our pool;
                                        ///< adjacent: later blocks may come where earlier ones were
    double local_run = 1;               ///< blocks that go to neighbouring places, on average

    [[nodiscard]] std::size_t blocks() const noexcept { return remote.size(); }
};

/// All blocks that fit into a pool, each once.
///
/// Scattered: both sides in random order.
///
/// Adjacent: prefixes of 16 to 64 blocks, each put together and read in its order, the prefixes in
/// random order. Their places come from a `slot_pool` of the whole memory that has been in use for
/// long and goes on to be: 64 times as many blocks as it has slots have gone through it, as
/// prefixes of which eight hold their slots at a time, but no more than half of them, and end in
/// random order; half of them hit a prefix that is still there, which renews it. So slots are taken
/// and given up as in the pipeline's L2.
///
/// \pre at least 128 blocks fit.
[[nodiscard]] fetch_plan make_fetch_plan(fetch_placement placement, std::uint64_t block_bytes,
                                         std::span<std::byte> pool, std::uint64_t seed);

/// Deals out a plan's blocks in reading order, from the beginning again where too few are left.
class fetch_walk {
 public:
    explicit fetch_walk(const fetch_plan& plan) noexcept : plan_(&plan) {}

    /// \pre `count` is at most the plan's number of blocks
    [[nodiscard]] raw_reads next(std::size_t count) noexcept;

 private:
    const fetch_plan* plan_;
    std::size_t at_ = 0;
};

}  // namespace sluice::bench
