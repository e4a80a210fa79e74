// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace sluice {

inline constexpr std::uint64_t kib = std::uint64_t{1} << 10;
inline constexpr std::uint64_t mib = std::uint64_t{1} << 20;
inline constexpr std::uint64_t gib = std::uint64_t{1} << 30;

/// Rounds `n` up to a multiple of `unit`, a power of two.
constexpr std::uint64_t round_up(std::uint64_t n, std::uint64_t unit) noexcept {
    return (n + unit - 1) & ~(unit - 1);
}

}  // namespace sluice
