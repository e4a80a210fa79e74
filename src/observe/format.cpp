// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cmath>
#include <string_view>

#include <fmt/format.h>

#include <sluice/observe/table.hpp>

namespace sluice {
namespace {

/// Three significant digits for numbers below 1000.
std::string short_number(double value) {
    const double size = std::abs(value);
    if (size >= 99.95 || value == 0) {
        return fmt::format("{:.0f}", value);
    }
    return size >= 9.995 ? fmt::format("{:.1f}", value) : fmt::format("{:.2f}", value);
}

template <std::size_t N>
std::string scaled(double value, const std::array<std::string_view, N>& units) {
    std::size_t unit = 0;
    while (unit + 1 < N && value >= 999.5) {
        value /= 1000;
        ++unit;
    }
    const std::string number = unit == 0 ? fmt::format("{:.0f}", value) : short_number(value);
    return fmt::format("{}{}", number, units[unit]);
}

}  // namespace

std::string format_bytes(std::uint64_t bytes) {
    constexpr std::array<std::string_view, 6> units{" B", " kB", " MB", " GB", " TB", " PB"};
    return scaled(static_cast<double>(bytes), units);
}

std::string format_count(std::uint64_t count) {
    constexpr std::array<std::string_view, 5> units{"", "K", "M", "G", "T"};
    return scaled(static_cast<double>(count), units);
}

std::string format_seconds(double seconds) {
    if (!std::isfinite(seconds)) {
        return "-";
    }
    const double size = std::abs(seconds);
    if (size >= 0.9995 || size == 0) {
        return short_number(seconds) + " s";
    }
    if (size >= 0.9995e-3) {
        return short_number(seconds * 1e3) + " ms";
    }
    if (size >= 0.9995e-6) {
        return short_number(seconds * 1e6) + " us";
    }
    return short_number(seconds * 1e9) + " ns";
}

}  // namespace sluice
