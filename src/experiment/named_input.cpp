// SPDX-License-Identifier: Apache-2.0
#include "named_input.hpp"

#include <fmt/format.h>

namespace sluice::experiment {

std::vector<std::string> names_of(std::span<const embedded_file> files) {
    std::vector<std::string> out;
    for (const embedded_file& f : files) {
        out.emplace_back(f.name);
    }
    return out;
}

absl::StatusOr<json::value> read_named(std::string_view kind, std::string_view name_or_file,
                                       std::span<const embedded_file> builtin,
                                       std::string_view also) {
    for (const embedded_file& f : builtin) {
        if (f.name == name_or_file) {
            return json::parse(f.text, fmt::format("{}.json", f.name));
        }
    }
    if (name_or_file.ends_with(".json") || name_or_file.find('/') != std::string_view::npos) {
        return json::parse_file(std::string(name_or_file));
    }
    std::vector<std::string> known = names_of(builtin);
    if (!also.empty()) {
        known.emplace_back(also);
    }
    return absl::NotFoundError(fmt::format("{} {} is not known; there are {}, and files FILE.json",
                                           kind, json::quote(name_or_file),
                                           fmt::join(known, ", ")));
}

}  // namespace sluice::experiment
