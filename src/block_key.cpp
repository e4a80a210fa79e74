// SPDX-License-Identifier: Apache-2.0
#include <sluice/kv/block_key.hpp>

#include <algorithm>
#include <array>
#include <iterator>

#include <fmt/format.h>
#include <xxhash.h>

namespace sluice {

absl::StatusOr<block_key> block_key::from_bytes(std::span<const std::byte> bytes) {
    if (bytes.empty() || bytes.size() > max_size) {
        return absl::InvalidArgumentError(
            fmt::format("a block key has 1 to {} bytes, not {}", max_size, bytes.size()));
    }
    block_key key;
    std::memcpy(key.bytes_.data(), bytes.data(), bytes.size());
    key.size_ = static_cast<std::uint8_t>(bytes.size());
    return key;
}

block_key chain_key(const block_key& parent, std::span<const std::uint32_t> tokens) {
    constexpr std::size_t max_parent = block_key::max_size;
    // Hashed: the parent's length and bytes (zero behind them), then the hash of the tokens.
    std::array<std::uint8_t, 1 + max_parent + sizeof(XXH128_canonical_t)> joined{};
    const std::span<const std::byte> name = parent.bytes();
    joined[0] = static_cast<std::uint8_t>(name.size());
    std::copy(name.begin(), name.end(), std::as_writable_bytes(std::span(joined)).begin() + 1);
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(tokens.data(), tokens.size_bytes()));
    std::copy(std::begin(canonical.digest), std::end(canonical.digest),
              joined.begin() + 1 + max_parent);
    XXH128_canonicalFromHash(&canonical, XXH3_128bits(joined.data(), joined.size()));

    return *block_key::from_bytes(std::as_bytes(std::span(canonical.digest)));
}

}  // namespace sluice
