// SPDX-License-Identifier: Apache-2.0
#include "replay_options.hpp"

#include <fmt/format.h>

namespace sluice::command {
namespace {

std::string_view trimmed(std::string_view text) {
    const std::size_t begin = text.find_first_not_of(" \t");
    if (begin == std::string_view::npos) {
        return {};
    }
    return text.substr(begin, text.find_last_not_of(" \t") - begin + 1);
}

/// Whether `rest` begins with `key=`, so that it is an option of the spec before the comma.
bool begins_with_option(std::string_view rest) {
    const std::size_t stop = rest.find_first_of("=,:(+");
    return stop != std::string_view::npos && rest[stop] == '=';
}

}  // namespace

absl::StatusOr<std::vector<policy_choice>> parse_policies(std::string_view text) {
    constexpr std::string_view split = "+split";
    std::vector<policy_choice> out;
    int depth = 0;
    std::size_t begin = 0;
    for (std::size_t i = 0; i <= text.size(); ++i) {
        const bool at_end = i == text.size();
        if (!at_end && text[i] == '(') {
            ++depth;
        } else if (!at_end && text[i] == ')' && --depth < 0) {
            break;
        }
        if (!at_end && (text[i] != ',' || depth > 0 || begins_with_option(text.substr(i + 1)))) {
            continue;
        }
        std::string_view one = trimmed(text.substr(begin, i - begin));
        policy_choice choice;
        if (one.ends_with(split)) {
            choice.split = true;
            one = trimmed(one.substr(0, one.size() - split.size()));
        }
        if (one.empty()) {
            return absl::InvalidArgumentError(fmt::format("an empty policy in '{}'", text));
        }
        choice.spec = one;
        out.push_back(choice);
        begin = i + 1;
    }
    if (depth != 0) {
        return absl::InvalidArgumentError(fmt::format("parentheses do not match in '{}'", text));
    }
    return out;
}

}  // namespace sluice::command
