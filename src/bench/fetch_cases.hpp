// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace sluice::bench {

/// How blocks lie in both pools, seen in the order in which they are read.
enum class fetch_placement {
    scattered,  ///< no neighbours
    adjacent,   ///< as a node places, and the pipeline's L2 receives, the blocks of prefixes
};
enum class fetch_checksum { off, on };
enum class fetch_caller {
    waiting,  ///< the thread that waits also drives the store
    async,    ///< the store has a thread; completions come to a loop of the caller's
};

[[nodiscard]] std::string_view name_of(fetch_placement p) noexcept;
[[nodiscard]] std::string_view name_of(fetch_checksum c) noexcept;
[[nodiscard]] std::string_view name_of(fetch_caller c) noexcept;

/// What one row measures.
struct fetch_case {
    fetch_placement placement = fetch_placement::scattered;
    std::uint64_t block_bytes = 64 << 10;
    std::uint32_t window = 16;  ///< blocks that the caller keeps in flight
    fetch_checksum checksum = fetch_checksum::off;
    fetch_caller caller = fetch_caller::waiting;
    std::uint32_t connections = 1;

    friend bool operator==(const fetch_case&, const fetch_case&) = default;
};

/// What was asked for; an empty list leaves the choice to `fetch_cases`.
struct fetch_selection {
    std::vector<fetch_placement> placements;
    std::vector<std::uint64_t> block_bytes;
    std::vector<std::uint32_t> windows;
    std::vector<fetch_checksum> checksums;
    std::vector<fetch_caller> callers;
    std::vector<std::uint32_t> connections;
};

/// Without any wish, the cases of the documented table: throughput at window 16 with checksums off
/// and on (scattered 64K to 2M, adjacent 64K and 256K), and the latency of one block at 64K and 1M
/// for both callers. With any, every combination of the lists, where an empty one is: scattered;
/// 64K, 256K, 1M, 2M; window 16; off; waiting; one connection.
///
/// Cases that read the same blocks follow each other.
[[nodiscard]] std::vector<fetch_case> fetch_cases(const fetch_selection& selection);

}  // namespace sluice::bench
