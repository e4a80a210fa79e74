// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "../../src/workload/random.hpp"

namespace sluice_test {

/// A JSON text with some of its tokens replaced, repeated, dropped or swapped: most results are
/// still JSON, but not what its reader wants.
inline std::string mutate_json(std::string_view text, sluice::workload::random_source& random) {
    std::vector<std::string> tokens;
    for (std::size_t i = 0; i < text.size();) {
        std::size_t end = i + 1;
        if (text[i] == '"') {
            end = text.find('"', i + 1) + 1;
        } else if (std::string_view("-0123456789").find(text[i]) != std::string_view::npos) {
            end = text.find_first_not_of("0123456789.eE+-", i);
        }
        end = end == 0 || end > text.size() ? text.size() : end;
        tokens.emplace_back(text.substr(i, end - i));
        i = end;
    }
    constexpr std::string_view hostile[] = {"0",
                                            "-1",
                                            "1",
                                            "0.5",
                                            "1e-300",
                                            "1e300",
                                            "1e999",
                                            "null",
                                            "true",
                                            "\"\"",
                                            "\"x\"",
                                            "[]",
                                            "{}",
                                            "9007199254740993",
                                            "18446744073709551615",
                                            "[[]]",
                                            "4294967296",
                                            "1000000",
                                            "3",
                                            "\"\\u0000\"",
                                            "",
                                            "\n",
                                            "2",
                                            "-0"};
    for (std::uint64_t n = random.below(3) + 1; n > 0; --n) {
        std::string& token = tokens[random.below(tokens.size())];
        switch (random.below(4)) {
        case 0: token = hostile[random.below(std::size(hostile))]; break;
        case 1: token = tokens[random.below(tokens.size())]; break;
        case 2: token += "," + token; break;
        default: std::swap(token, tokens[random.below(tokens.size())]);
        }
    }
    std::string out;
    for (const std::string& token : tokens) {
        out += token;
    }
    return out;
}

}  // namespace sluice_test
