// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/status.h>

#include "../command/progress.hpp"
#include "serve.hpp"

namespace sluice::replay {

/// What happens before the first row: a producer engine recomputes every prompt whole, which gives
/// the reference logits, and in full mode its pipeline writes the blocks back to `s.l3`, which is
/// made here, in the order in which they are computed.
///
/// \return kInternal: L3 does not hold what it should
[[nodiscard]] absl::Status produce(setting& s, command::progress_bar& progress);

}  // namespace sluice::replay
