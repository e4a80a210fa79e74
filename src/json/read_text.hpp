// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

#include <absl/status/statusor.h>

namespace sluice::json {

/// Reads a file, of at most `longest` bytes and the beginning of what follows.
///
/// \return kInvalidArgument: a directory; kNotFound, kPermissionDenied, kUnavailable: it cannot be
/// read.
[[nodiscard]] absl::StatusOr<std::string> read_text(const std::string& path, std::size_t longest);

}  // namespace sluice::json
