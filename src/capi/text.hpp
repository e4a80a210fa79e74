// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>

#include <absl/status/status.h>
#include <fmt/format.h>

namespace sluice::capi {

template <class... Args>
[[nodiscard]] absl::Status invalid(fmt::format_string<Args...> text, Args&&... args) {
    return absl::InvalidArgumentError(fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace sluice::capi
