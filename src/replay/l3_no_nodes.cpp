// SPDX-License-Identifier: Apache-2.0
#include "l3_store.hpp"

// In place of l3_nodes.cpp where there is no libfabric.

namespace sluice::replay {

absl::StatusOr<std::unique_ptr<l3_store>> open_l3_nodes(const l3_spec&, std::uint64_t, double) {
    return absl::UnimplementedError(
        "this build has no memory nodes: use --nodes 0, or build with -D SLUICE_BUILD_FABRIC=ON");
}

bool has_nodes() noexcept { return false; }

}  // namespace sluice::replay
