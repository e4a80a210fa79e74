// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>

#include <absl/status/status.h>

namespace sluice {

/// Prefixes `context` to the message of a failed status; code and payloads stay. OK stays OK.
[[nodiscard]] absl::Status annotate(absl::Status status, std::string_view context);

/// The message of a status as a standard string view, whichever view type Abseil was built with.
[[nodiscard]] std::string_view message_of(const absl::Status& status) noexcept;

}  // namespace sluice

// Plain statements, not GNU statement expressions. CO_: inside a coroutine body.
#define SLUICE_STATUS_RETURN_IMPL_(keyword, expr)                   \
    do {                                                            \
        if (::absl::Status sluice_st_ = (expr); !sluice_st_.ok()) { \
            keyword sluice_st_;                                     \
        }                                                           \
    } while (false)
#define SLUICE_RETURN_IF_ERROR(expr) SLUICE_STATUS_RETURN_IMPL_(return, expr)
#define SLUICE_CO_RETURN_IF_ERROR(expr) SLUICE_STATUS_RETURN_IMPL_(co_return, expr)
