// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

// The one place of the version: the build reads it from here.
#define SLUICE_VERSION_MAJOR 0
#define SLUICE_VERSION_MINOR 1
#define SLUICE_VERSION_PATCH 0

namespace sluice {

/// The version of the linked library, "major.minor.patch". It may differ from the macros above
/// when headers and library come from different builds; compare the two to find that out.
///
/// \par Thread safety
/// Any thread. The text lives as long as the program.
[[nodiscard]] std::string_view version() noexcept;

}  // namespace sluice
