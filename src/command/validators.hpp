// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <string>

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

}  // namespace sluice::command
