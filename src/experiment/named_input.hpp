// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "../json/located.hpp"

namespace sluice::experiment {

/// A JSON file of this folder that the build has put into the program.
struct embedded_file {
    std::string_view name;  ///< without folder and ending
    std::string_view text;
};
/// Those in apps/mixes/, models/, profiles/ and workloads/, sorted by name.
[[nodiscard]] std::span<const embedded_file> embedded_mixes() noexcept;
[[nodiscard]] std::span<const embedded_file> embedded_models() noexcept;
[[nodiscard]] std::span<const embedded_file> embedded_profiles() noexcept;
[[nodiscard]] std::span<const embedded_file> embedded_workloads() noexcept;

[[nodiscard]] std::vector<std::string> names_of(std::span<const embedded_file> files);

/// Reads the JSON of a thing of that `kind` ("profile"), which is one of those built in or a file:
/// what ends in .json or has a slash. `also` is a name that the caller knows besides.
///
/// \return kNotFound: it is neither, with the names there are; else as `json::parse_file`
[[nodiscard]] absl::StatusOr<json::value> read_named(std::string_view kind,
                                                     std::string_view name_or_file,
                                                     std::span<const embedded_file> builtin,
                                                     std::string_view also = {});

}  // namespace sluice::experiment
