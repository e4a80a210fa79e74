// SPDX-License-Identifier: Apache-2.0
#include "checks.hpp"

#include <chrono>

#include <fmt/format.h>

namespace sluice::sim::detail {
namespace {

constexpr duration longest = std::chrono::hours(24);

template <class Value>
absl::Status refuse(std::string_view whose, std::string_view what, const Value& value,
                    std::string_view may_be) {
    return absl::InvalidArgumentError(fmt::format("{}: {} is {}; {}", whose, what, value, may_be));
}

}  // namespace

// NaN fails all of these comparisons.

absl::Status check_rate(std::string_view whose, std::string_view what, double rate) {
    if (rate == 0 || (rate >= 1 && rate <= 1e18)) {
        return absl::OkStatus();
    }
    return refuse(whose, what, rate, "1 to 1e18 bytes per second, or 0 for no limit");
}

absl::Status check_time(std::string_view whose, std::string_view what, duration d) {
    if (d >= duration{0} && d <= longest) {
        return absl::OkStatus();
    }
    return refuse(whose, what, fmt::format("{} ns", d.count()), "0 to a day");
}

absl::Status check_seconds(std::string_view whose, std::string_view what, double seconds) {
    if (seconds >= 0 && seconds <= to_seconds(longest)) {
        return absl::OkStatus();
    }
    return refuse(whose, what, seconds, "0 to 86400 seconds");
}

absl::Status check_share(std::string_view whose, std::string_view what, double share) {
    if (share >= 0 && share <= 1) {
        return absl::OkStatus();
    }
    return refuse(whose, what, share, "0 to 1");
}

absl::Status check_factor(std::string_view whose, std::string_view what, double factor) {
    if (factor >= 1e-6 && factor <= 1000) {
        return absl::OkStatus();
    }
    return refuse(whose, what, factor, "0.000001 to 1000");
}

absl::Status check_count(std::string_view whose, std::string_view what, std::uint64_t n,
                         std::uint64_t lowest, std::uint64_t highest) {
    if (n >= lowest && n <= highest) {
        return absl::OkStatus();
    }
    return refuse(whose, what, n, fmt::format("{} to {}", lowest, highest));
}

}  // namespace sluice::sim::detail
