// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <absl/status/status.h>

#include <sluice/fabric/memory_node.hpp>

namespace sluice::node {

/// \return kInvalidArgument: a number out of its range, a provider twice or none;
///         kResourceExhausted: the machine has not that much memory, which is only known of memory
///         that is touched.
[[nodiscard]] absl::Status check(const memory_node_options& options);

}  // namespace sluice::node
