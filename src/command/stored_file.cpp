// SPDX-License-Identifier: Apache-2.0
#include "stored_file.hpp"

#include <algorithm>
#include <vector>

#include <fmt/format.h>

#include <sluice/base/checksum.hpp>

namespace sluice::command {
namespace {

constexpr std::uint64_t magic = 0x454c494645434c53;  // "SLCEFILE"
constexpr std::uint64_t version = 1;

void store_u64(std::span<std::byte> at, std::uint64_t value) noexcept {
    for (std::size_t i = 0; i < 8; ++i) {
        at[i] = static_cast<std::byte>(value >> (8 * i));
    }
}

std::uint64_t load_u64(std::span<const std::byte> at) noexcept {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 8; ++i) {
        value |= std::to_integer<std::uint64_t>(at[i]) << (8 * i);
    }
    return value;
}

}  // namespace

absl::Status check(const file_manifest& manifest) {
    if (manifest.block_bytes < least_file_block || manifest.block_bytes > most_file_block) {
        return absl::InvalidArgumentError(fmt::format("blocks of {} bytes; {} to {} are possible",
                                                      manifest.block_bytes, least_file_block,
                                                      most_file_block));
    }
    if (manifest.blocks() > most_file_blocks) {
        return absl::InvalidArgumentError(
            fmt::format("{} bytes are {} blocks of {}; {} are possible, so choose larger ones",
                        manifest.bytes, manifest.blocks(), manifest.block_bytes, most_file_blocks));
    }
    return absl::OkStatus();
}

std::array<std::byte, manifest_bytes> encode(const file_manifest& manifest) {
    std::array<std::byte, manifest_bytes> out{};
    const std::span<std::byte> all(out);
    store_u64(all.subspan(0), magic);
    store_u64(all.subspan(8), version);
    store_u64(all.subspan(16), manifest.bytes);
    store_u64(all.subspan(24), manifest.block_bytes);
    store_u64(all.subspan(32), manifest.checksum);
    store_u64(all.subspan(40), checksum64(all.first(40)));
    return out;
}

absl::StatusOr<file_manifest> decode(std::span<const std::byte, manifest_bytes> bytes) {
    if (load_u64(bytes.subspan(0)) != magic) {
        return absl::DataLossError("what is stored under this name is no file");
    }
    if (load_u64(bytes.subspan(8)) != version) {
        return absl::DataLossError(
            fmt::format("the file was put by another release: format {}, known is {}",
                        load_u64(bytes.subspan(8)), version));
    }
    if (load_u64(bytes.subspan(40)) != checksum64(bytes.first(40))) {
        return absl::DataLossError("the file's manifest is damaged");
    }
    const file_manifest out{load_u64(bytes.subspan(16)), load_u64(bytes.subspan(24)),
                            load_u64(bytes.subspan(32))};
    if (absl::Status status = check(out); !status.ok()) {
        return status;
    }
    return out;
}

file_keys::file_keys(std::string_view name) {
    // Its own root, so that no key of a prompt is one of a file.
    constexpr std::string_view root = "sluice file";
    std::vector<std::uint32_t> letters;
    for (const char c : name) {
        letters.push_back(static_cast<unsigned char>(c));
    }
    base_ = chain_key(*block_key::from_bytes(std::as_bytes(std::span(root))), letters);
}

block_key file_keys::block(std::uint64_t number) const {
    std::array<std::byte, 24> key;
    std::copy_n(base_.bytes().begin(), 16, key.begin());
    store_u64(std::span(key).subspan(16), number);
    return *block_key::from_bytes(key);
}

}  // namespace sluice::command
