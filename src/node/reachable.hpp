// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace sluice::node {

/// A node that listens on all interfaces ("0.0.0.0") has an endpoint without an address to connect
/// to. Fills in the one by which this client came. Endpoints that are no addresses of the internet,
/// or have one, stay as they are.
void make_reachable(std::vector<std::byte>& endpoint, int socket) noexcept;

}  // namespace sluice::node
