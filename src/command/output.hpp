// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <absl/status/status.h>

namespace sluice::command {

// Exit codes of the command.
inline constexpr int exit_ok = 0;
inline constexpr int exit_failure = 1;  ///< it was understood, but did not work
inline constexpr int exit_usage = 2;    ///< wrong flags, values or files

/// The exit code for a failure: what the caller asked for wrongly, or what went wrong.
[[nodiscard]] int exit_code_of(const absl::Status& status) noexcept;

/// Prints "sluice <what>: <message>" to standard error. \return `exit_code_of(status)`
int complain(std::string_view what, const absl::Status& status);

/// Whether a file can be written there, asked before a long run. "-" and "" always can.
///
/// \return kInvalidArgument: a directory; kNotFound: its folder does not exist;
/// kPermissionDenied.
[[nodiscard]] absl::Status check_writable(const std::string& path);

/// Writes a whole file; "-" is standard output.
///
/// \return kUnavailable: it could not be written.
[[nodiscard]] absl::Status write_text(const std::string& path, std::string_view text);

/// Whether standard output is a terminal that shows bold text.
[[nodiscard]] bool stdout_is_terminal();

}  // namespace sluice::command
