// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace sluice::detail {

/// Zeroed memory straight from the system, on huge pages where the machine gives them and `bytes`
/// fill one; aligned to a page of its kind. Empty if there is none. Pages come with the first
/// touch. `bytes` is rounded up to whole pages.
[[nodiscard]] std::span<std::byte> map_pages(std::size_t bytes) noexcept;

/// Gives back exactly what `map_pages` returned; nothing for an empty span.
void unmap_pages(std::span<std::byte> memory) noexcept;

/// Locks the pages into memory or, where that is not allowed, at least touches them all.
void pin_pages(std::span<std::byte> memory) noexcept;

/// Bytes of memory that the machine has.
[[nodiscard]] std::uint64_t physical_memory() noexcept;

}  // namespace sluice::detail
