// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <sluice/base/version.h>

namespace sluice {

/// The version of the linked library, "major.minor.patch". It may differ from the macros above
/// when headers and library come from different builds; compare the two to find that out.
///
/// \par Thread safety
/// Any thread. The text lives as long as the program.
[[nodiscard]] std::string_view version() noexcept;

}  // namespace sluice
