// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

namespace sluice::command {

/// A finite number from `low` to `high`. CLI::Range lets "nan" through.
inline CLI::Validator number_between(double low, double high) {
    return CLI::Validator(
        [low, high](std::string& text) -> std::string {
            double value = 0;
            if (CLI::detail::lexical_cast(text, value) && std::isfinite(value) && value >= low &&
                value <= high) {
                return {};
            }
            return fmt::format("{} is not a number from {:g} to {:g}", text, low, high);
        },
        fmt::format("FLOAT in [{:g}, {:g}]", low, high));
}

/// Bytes from `low` to `high`, as "512MiB", "1.5GB" or "4096", which it turns into a plain number
/// of bytes. KiB, MiB, ... are powers of 1024, KB, MB, ... of 1000; letters of either case.
inline CLI::Validator byte_size(std::uint64_t low, std::uint64_t high) {
    return CLI::Validator(
        [low, high](std::string& text) -> std::string {
            char* end = nullptr;
            double value = std::strtod(text.c_str(), &end);
            std::string unit = CLI::detail::to_lower(CLI::detail::trim_copy(end));
            constexpr std::string_view prefixes = "kmgt";
            bool known = end != text.c_str() && (unit.empty() || unit == "b");
            if (const std::size_t power = prefixes.find(unit.empty() ? ' ' : unit.front());
                !known && end != text.c_str() && power != std::string_view::npos) {
                const std::string_view rest = std::string_view(unit).substr(1);
                known = rest == "ib" || rest == "b";
                value *= std::pow(rest == "ib" ? 1024.0 : 1000.0, static_cast<double>(power + 1));
            }
            if (!known || !std::isfinite(value)) {
                return fmt::format("{} is no size; write it as 4GiB, 1.5GB or 4096", text);
            }
            if (value < static_cast<double>(low) || value > static_cast<double>(high)) {
                return fmt::format("{} is not from {} to {} bytes", text, low, high);
            }
            text = std::to_string(static_cast<std::uint64_t>(value));
            return {};
        },
        "SIZE");
}

}  // namespace sluice::command
