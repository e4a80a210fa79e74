// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <sluice/base/clock.hpp>

// Times of the C API, unsigned nanoseconds with UINT64_MAX for "never", and those of the library.
namespace sluice::capi {

[[nodiscard]] constexpr time_point to_time(std::uint64_t ns) noexcept {
    return ns >= static_cast<std::uint64_t>(INT64_MAX)
               ? never
               : time_point{duration{static_cast<std::int64_t>(ns)}};
}

[[nodiscard]] constexpr std::uint64_t from_time(time_point at) noexcept {
    const std::int64_t ns = at.time_since_epoch().count();
    return at == never ? UINT64_MAX : ns < 0 ? 0 : static_cast<std::uint64_t>(ns);
}

/// What is longer than a duration holds is as long as it can be.
[[nodiscard]] constexpr duration to_duration(std::uint64_t ns) noexcept {
    return duration{ns > static_cast<std::uint64_t>(INT64_MAX) ? INT64_MAX
                                                               : static_cast<std::int64_t>(ns)};
}

[[nodiscard]] constexpr std::uint64_t from_duration(duration d) noexcept {
    return d.count() < 0 ? 0 : static_cast<std::uint64_t>(d.count());
}

}  // namespace sluice::capi
