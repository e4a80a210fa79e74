// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

namespace sluice {

/// Names a submitted request. The epoch grows each time an index is used again, so a stale handle
/// is recognised instead of naming somebody else's request. A default handle names nothing.
struct request_handle {
    std::uint32_t index = 0;
    std::uint32_t epoch = 0;  ///< 0 is never given out

    friend bool operator==(request_handle, request_handle) = default;
};

/// Names a live application, as `request_handle` names a request.
struct app_handle {
    std::uint32_t index = 0;
    std::uint32_t epoch = 0;  ///< 0 is never given out

    friend bool operator==(app_handle, app_handle) = default;
};

/// Names the steps of a request's way. Values from `first_custom` on name stages that users add,
/// in the order in which a block passes them.
enum class stage_id : std::uint8_t {
    lookup,    ///< which blocks are where
    fetch,     ///< L3 to L2
    copy,      ///< L2 to L1
    compute,   ///< prefill of what was not loaded
    copy_out,  ///< L1 to L2
    put,       ///< L2 to L3
    first_custom = 16,
};

}  // namespace sluice

template <>
struct std::hash<sluice::request_handle> {
    std::size_t operator()(sluice::request_handle h) const noexcept {
        return std::hash<std::uint64_t>{}((std::uint64_t{h.epoch} << 32) | h.index);
    }
};

template <>
struct std::hash<sluice::app_handle> {
    std::size_t operator()(sluice::app_handle h) const noexcept {
        return std::hash<std::uint64_t>{}((std::uint64_t{h.epoch} << 32) | h.index);
    }
};
