// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <span>

#include <absl/status/statusor.h>

namespace sluice {

/// Names the KV of a fixed run of tokens (and of one cache group): 1 to 32 opaque bytes that the
/// engine supplies, usually its own prefix hash. Compared byte by byte, never interpreted.
class block_key {
 public:
    static constexpr std::size_t max_size = 32;

    /// The empty key: names nothing, and is refused wherever a key is asked for.
    block_key() = default;

    /// \return kInvalidArgument for 0 or more than 32 bytes.
    [[nodiscard]] static absl::StatusOr<block_key> from_bytes(std::span<const std::byte> bytes);

    /// Eight bytes, little endian: for engines and tests with integer hashes.
    [[nodiscard]] static block_key from_u64(std::uint64_t value) noexcept {
        block_key key;
        for (std::size_t i = 0; i < 8; ++i) {
            key.bytes_[i] = static_cast<std::uint8_t>(value >> (8 * i));
        }
        key.size_ = 8;
        return key;
    }

    [[nodiscard]] std::span<const std::byte> bytes() const noexcept {
        return std::as_bytes(std::span(bytes_.data(), size_));
    }
    [[nodiscard]] std::size_t size() const noexcept { return size_; }
    [[nodiscard]] bool empty() const noexcept { return size_ == 0; }

    /// Well mixed even for keys that are small integers.
    [[nodiscard]] std::uint64_t hash() const noexcept {
        std::uint64_t h = 0x9e3779b97f4a7c15u ^ size_;
        for (const std::uint64_t word : words()) {
            h = (h ^ word) * 0xff51afd7ed558ccdu;
            h ^= h >> 32;
        }
        return h;
    }

    friend bool operator==(const block_key& a, const block_key& b) noexcept {
        return a.size_ == b.size_ && a.words() == b.words();
    }

 private:
    [[nodiscard]] std::array<std::uint64_t, 4> words() const noexcept {
        std::array<std::uint64_t, 4> words;
        std::memcpy(words.data(), bytes_.data(), sizeof words);
        return words;
    }

    std::array<std::uint8_t, max_size> bytes_{};  // zero behind size_, so that == may compare all
    std::uint8_t size_ = 0;
};

/// The key of the block that holds `tokens` behind the block named `parent` (empty for the first):
/// for engines without hashes of their own. XXH3-128 of both; 16 bytes.
[[nodiscard]] block_key chain_key(const block_key& parent, std::span<const std::uint32_t> tokens);

}  // namespace sluice

template <>
struct std::hash<sluice::block_key> {
    std::size_t operator()(const sluice::block_key& key) const noexcept {
        return static_cast<std::size_t>(key.hash());
    }
};
