// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "history.hpp"
#include "run_history.hpp"

namespace sluice::histories {

/// Runs a history in a process of its own, so that a crash or an endless loop is a verdict too
/// (check "crash"). What the process prints is thrown away unless `loud`.
[[nodiscard]] verdict run_apart(const history& h, bool loud = false);

/// A smaller history that fails the same check: requests, faults and other actions are dropped, and
/// options made plain, as long as it still fails.
[[nodiscard]] history shrink(history h, const std::string& check);

}  // namespace sluice::histories
