// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "messages.hpp"

namespace sluice::wire {

/// SHA-256 (FIPS 180-4).
[[nodiscard]] mac sha256(std::span<const std::byte> bytes) noexcept;
/// HMAC-SHA-256 (RFC 2104).
[[nodiscard]] mac hmac_sha256(std::span<const std::byte> key,
                              std::span<const std::byte> bytes) noexcept;

/// SHA-256 of what comes in pieces. Leaves nothing of it in memory.
class sha256_stream {
 public:
    static constexpr std::size_t block_bytes = 64;

    sha256_stream() = default;
    sha256_stream(const sha256_stream&) = delete;
    sha256_stream& operator=(const sha256_stream&) = delete;
    ~sha256_stream();

    void add(std::span<const std::byte> bytes) noexcept;
    /// Once, at the end.
    [[nodiscard]] mac finish() noexcept;

 private:
    void mix(const std::byte* block) noexcept;

    std::array<std::uint32_t, 8> state_{0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    std::array<std::byte, block_bytes> block_{};
    std::size_t filled_ = 0;   // of block_
    std::uint64_t total_ = 0;  // bytes
};

}  // namespace sluice::wire
