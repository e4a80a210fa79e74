// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

#include <absl/status/status.h>
#include <absl/status/statusor.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

// What options of experiments are read from: texts of flags and of keys in files.
namespace sluice::experiment::option_text {

[[nodiscard]] inline absl::Status wrong(std::string_view text, std::string_view wanted) {
    return absl::InvalidArgumentError(fmt::format("'{}' is not {}", text, wanted));
}

template <class Number>
[[nodiscard]] absl::Status read(std::string_view text, Number least, Number most, Number& out) {
    Number value{};
    const char* const end = text.data() + text.size();
    const auto [stop, error] = std::from_chars(text.data(), end, value);
    // Not a number compares false.
    if (error != std::errc() || stop != end || !(value >= least && value <= most)) {
        return wrong(text, fmt::format("a number from {} to {}", least, most));
    }
    out = value;
    return absl::OkStatus();
}

template <class Enum, std::size_t N>
[[nodiscard]] absl::Status choose(std::string_view text, const std::array<const char*, N>& names,
                                  Enum& out) {
    for (std::size_t i = 0; i < N; ++i) {
        if (text == names[i]) {
            out = static_cast<Enum>(i);
            return absl::OkStatus();
        }
    }
    return wrong(text, fmt::format("one of {}", fmt::join(names, ", ")));
}

[[nodiscard]] inline absl::Status set_text(std::string& member, std::string_view text) {
    if (text.empty()) {
        return absl::InvalidArgumentError("it is empty");
    }
    member = text;
    return absl::OkStatus();
}

[[nodiscard]] inline absl::StatusOr<bool> read_flag(std::string_view text) {
    if (text == "on" || text == "true") {
        return true;
    }
    if (text == "off" || text == "false") {
        return false;
    }
    return wrong(text, "on or off");
}

}  // namespace sluice::experiment::option_text
