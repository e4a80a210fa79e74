// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice {

/// The checksum that blocks carry: XXH3-64 with seed 0, the same on every machine. Finds damage,
/// not tampering. Uses the widest vectors that the processor has, chosen at run time.
///
/// \par Thread safety
/// May be called from any thread, concurrently.
[[nodiscard]] std::uint64_t checksum64(std::span<const std::byte> bytes) noexcept;

}  // namespace sluice
