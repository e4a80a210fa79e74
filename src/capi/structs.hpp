// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include <absl/status/status.h>

namespace sluice::capi {

/// Copies `given` bytes of a struct that begins with its size into `known` bytes: what is missing
/// is zero; what is more must be. Both of at least 4 bytes. \param alignment  of the struct, of
/// which every size that it has had is a multiple: another would cut a member in two. \return
/// kInvalidArgument: NULL, or a size that cannot be; kUnimplemented: an unknown member is set
[[nodiscard]] absl::Status read_sized(const void* given, void* known, std::size_t known_size,
                                      std::size_t alignment, std::string_view name);

/// The struct as this library knows it, of whatever age the caller's is.
/// \param name  of the type, for messages.
template <class T>
[[nodiscard]] absl::Status read_struct(const T* given, T& known, std::string_view name) {
    static_assert(std::is_trivially_copyable_v<T> && offsetof(T, struct_size) == 0);
    return read_sized(given, &known, sizeof(T), alignof(T), name);
}

/// Writes as much of `value` as the caller's struct has; its struct_size stays as it is.
/// \return kInvalidArgument: NULL, or a size that cannot be
[[nodiscard]] absl::Status write_sized(void* out, const void* value, std::size_t value_size,
                                       std::string_view name);

template <class T>
[[nodiscard]] absl::Status write_struct(T* out, const T& value, std::string_view name) {
    static_assert(std::is_trivially_copyable_v<T> && offsetof(T, struct_size) == 0);
    return write_sized(out, &value, sizeof(T), name);
}

/// Writes `size` bytes if `capacity` suffices; `needed` is `size` either way.
/// \return SLUICE_E_TRUNCATED's status; kInvalidArgument: NULL although capacity > 0
[[nodiscard]] absl::Status write_bytes(const void* from, std::uint64_t size, void* buffer,
                                       std::uint64_t capacity, std::uint64_t* needed);
[[nodiscard]] absl::Status truncated(std::uint64_t needed, std::uint64_t capacity);

/// kInvalidArgument naming the argument that is NULL.
[[nodiscard]] absl::Status null_argument(std::string_view name);
/// kInvalidArgument for flags that this library does not know.
[[nodiscard]] absl::Status check_flags(std::uint32_t flags, std::uint32_t known,
                                       std::string_view name);

}  // namespace sluice::capi
