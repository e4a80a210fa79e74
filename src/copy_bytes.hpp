// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace sluice::detail {

/// memcpy, without its worst case: from 2 KiB on it is one "rep movsb", which on some processors
/// (Zen 3 and 4) moves a quarter of the bytes per second if the destination is a little ahead of
/// the source modulo a page. A buffer from malloc, 16 bytes into its page, meets that with every
/// block of a page-aligned pool. Shorter pieces are copied by vector registers.
inline void copy_bytes(std::byte* to, const std::byte* from, std::size_t n) noexcept {
    constexpr std::size_t piece = 1984;
    constexpr std::size_t non_temporal = std::size_t{1} << 20;  // memcpy leaves rep movsb by then
    const std::uintptr_t ahead =
        (reinterpret_cast<std::uintptr_t>(to) - reinterpret_cast<std::uintptr_t>(from)) & 4095;
    if (ahead == 0 || ahead >= 64 || n >= non_temporal) {
        std::memcpy(to, from, n);
        return;
    }
    while (n > 0) {
        const std::size_t m = std::min(n, piece);
        std::memcpy(to, from, m);
        to += m;
        from += m;
        n -= m;
    }
}

}  // namespace sluice::detail
