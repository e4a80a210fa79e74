// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include <absl/status/statusor.h>

#include <sluice/base/bytes.hpp>
#include <sluice/kv/block_key.hpp>

namespace sluice::command {

// A file in a store: a manifest under a key of its name, and blocks under keys of its name and
// their numbers.

inline constexpr std::uint64_t least_file_block = 4 * kib;
inline constexpr std::uint64_t most_file_block = 32 * mib;
inline constexpr std::uint64_t most_file_blocks = std::uint64_t{1} << 24;

/// What a file is made of. The first thing that is put and the first that is fetched is trusted by
/// nobody: `decode` checks it before anything is sized by it.
struct file_manifest {
    std::uint64_t bytes = 0;
    std::uint64_t block_bytes = 0;
    std::uint64_t checksum = 0;  ///< `checksum64` of all bytes

    [[nodiscard]] std::uint64_t blocks() const noexcept {
        return bytes / block_bytes + (bytes % block_bytes != 0 ? 1 : 0);
    }
    /// \param number  less than `blocks()`
    [[nodiscard]] std::uint64_t bytes_of(std::uint64_t number) const noexcept {
        const std::uint64_t from = number * block_bytes;
        return bytes - from < block_bytes ? bytes - from : block_bytes;
    }

    friend bool operator==(const file_manifest&, const file_manifest&) = default;
};

/// \return kInvalidArgument: a block size out of range, or more blocks than `most_file_blocks`.
[[nodiscard]] absl::Status check(const file_manifest& manifest);

inline constexpr std::size_t manifest_bytes = 48;

/// Little endian: magic (8 bytes), version (4), 0 (4), bytes, block bytes, checksum of the file,
/// checksum of what is before.
[[nodiscard]] std::array<std::byte, manifest_bytes> encode(const file_manifest& manifest);

/// \return kDataLoss: this is no manifest, or not one of this version; as `check`.
[[nodiscard]] absl::StatusOr<file_manifest> decode(
    std::span<const std::byte, manifest_bytes> bytes);

/// The keys of a file.
class file_keys {
 public:
    /// \param name  of at least one byte
    explicit file_keys(std::string_view name);

    [[nodiscard]] const block_key& manifest() const noexcept { return base_; }
    [[nodiscard]] block_key block(std::uint64_t number) const;

 private:
    block_key base_;  // 16 bytes
};

}  // namespace sluice::command
