// SPDX-License-Identifier: Apache-2.0
#include "structs.hpp"

#include <fmt/format.h>

#include "text.hpp"

namespace sluice::capi {

namespace {

// Beyond any struct to come; a larger number is not a size.
constexpr std::uint32_t largest = 4096;

absl::Status read_size(const void* given, std::uint32_t& size, std::size_t alignment,
                       std::string_view name) {
    if (given == nullptr) {
        return null_argument(name);
    }
    std::memcpy(&size, given, sizeof size);
    if (size < sizeof size || size > largest || size % alignment != 0) {
        return invalid("{}.struct_size is {}; initialise the struct with its _INIT macro", name,
                       size);
    }
    return absl::OkStatus();
}

}  // namespace

absl::Status read_sized(const void* given, void* known, std::size_t known_size,
                        std::size_t alignment, std::string_view name) {
    std::uint32_t size = 0;
    if (absl::Status s = read_size(given, size, alignment, name); !s.ok()) {
        return s;
    }
    const auto* const bytes = static_cast<const unsigned char*>(given);
    const std::size_t common = std::min<std::size_t>(size, known_size);
    for (std::size_t i = known_size; i < size; ++i) {
        if (bytes[i] != 0) {
            return absl::UnimplementedError(fmt::format(
                "{} has {} bytes and byte {} is set; this library knows {} bytes of it: it is "
                "older than what you built against",
                name, size, i, known_size));
        }
    }
    std::memset(known, 0, known_size);
    std::memcpy(known, given, common);
    const auto own = static_cast<std::uint32_t>(known_size);
    std::memcpy(known, &own, sizeof own);
    return absl::OkStatus();
}

absl::Status write_sized(void* out, const void* value, std::size_t value_size,
                         std::string_view name) {
    std::uint32_t size = 0;
    if (absl::Status s = read_size(out, size, 1, name); !s.ok()) {
        return s;
    }
    auto* const bytes = static_cast<unsigned char*>(out);
    const std::size_t common = std::min<std::size_t>(size, value_size);
    std::memcpy(bytes + sizeof size, static_cast<const unsigned char*>(value) + sizeof size,
                common - sizeof size);
    std::memset(bytes + common, 0, size - common);
    return absl::OkStatus();
}

absl::Status write_bytes(const void* from, std::uint64_t size, void* buffer, std::uint64_t capacity,
                         std::uint64_t* needed) {
    *needed = size;
    if (buffer == nullptr && capacity > 0) {
        return null_argument("buffer");
    }
    if (size > capacity) {
        return truncated(size, capacity);
    }
    if (size > 0) {
        std::memcpy(buffer, from, size);
    }
    return absl::OkStatus();
}

absl::Status truncated(std::uint64_t needed, std::uint64_t capacity) {
    return absl::AbortedError(
        fmt::format("{} are needed, and there is room for {}; call again", needed, capacity));
}

absl::Status null_argument(std::string_view name) { return invalid("{} is NULL", name); }

absl::Status check_flags(std::uint32_t flags, std::uint32_t known, std::string_view name) {
    if ((flags & ~known) != 0) {
        return invalid("{}.flags has {:#x}, which this library does not know", name,
                       flags & ~known);
    }
    return absl::OkStatus();
}

}  // namespace sluice::capi
