// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>

#include <absl/status/status.h>

namespace sluice::experiment {

/// Does `work(0)` to `work(count - 1)` in this order on up to `jobs` threads, of which the caller's
/// is one, until something fails.
///
/// \param step  called after each that did not fail, one at a time; may be empty
/// \return the failure of the lowest number
[[nodiscard]] absl::Status in_parallel(unsigned jobs, std::size_t count,
                                       const std::function<void()>& step,
                                       const std::function<absl::Status(std::size_t)>& work);

}  // namespace sluice::experiment
