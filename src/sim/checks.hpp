// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include <absl/status/status.h>

#include <sluice/base/clock.hpp>

namespace sluice::sim::detail {

/// \name Checks of options
/// kInvalidArgument, "<whose>: <what> is <value>; <what it may be>", unless the value is possible.
///@{
absl::Status check_rate(std::string_view whose, std::string_view what, double bytes_per_second);
absl::Status check_time(std::string_view whose, std::string_view what, duration d);
absl::Status check_seconds(std::string_view whose, std::string_view what, double seconds);
absl::Status check_share(std::string_view whose, std::string_view what, double share);
/// Of a rate, above 0.
absl::Status check_factor(std::string_view whose, std::string_view what, double factor);
absl::Status check_count(std::string_view whose, std::string_view what, std::uint64_t n,
                         std::uint64_t lowest, std::uint64_t highest);
///@}

}  // namespace sluice::sim::detail
