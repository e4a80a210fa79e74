// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include <absl/status/status.h>

namespace sluice::command {

/// Loads shared objects whose static initialisers register policies (SLUICE_REGISTER_POLICY). They
/// stay loaded.
///
/// \return kInvalidArgument: one could not be loaded, or registered no new policy; the message
/// names it.
[[nodiscard]] absl::Status load_plugins(const std::vector<std::string>& files);

}  // namespace sluice::command
