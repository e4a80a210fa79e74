// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <sluice/base/ids.hpp>

// Handles and users of requests and applications as numbers: in the C API, and between a planner
// and its workers.
namespace sluice::detail {

[[nodiscard]] constexpr std::uint64_t id_of(request_handle h) noexcept {
    return (std::uint64_t{h.epoch} << 32) | h.index;
}
[[nodiscard]] constexpr request_handle handle_of_id(std::uint64_t id) noexcept {
    return {static_cast<std::uint32_t>(id), static_cast<std::uint32_t>(id >> 32)};
}

[[nodiscard]] constexpr std::uint64_t app_id_of(app_handle a) noexcept {
    return (std::uint64_t{a.epoch} << 32) | a.index;
}
[[nodiscard]] constexpr app_handle app_of_id(std::uint64_t id) noexcept {
    return {static_cast<std::uint32_t>(id), static_cast<std::uint32_t>(id >> 32)};
}

[[nodiscard]] inline std::uint64_t number_of(void* user) noexcept {
    return static_cast<std::uint64_t>(reinterpret_cast<std::uintptr_t>(user));
}
[[nodiscard]] inline void* pointer_of(std::uint64_t user) noexcept {
    return reinterpret_cast<void*>(static_cast<std::uintptr_t>(user));
}

}  // namespace sluice::detail
