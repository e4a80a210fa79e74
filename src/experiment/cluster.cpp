// SPDX-License-Identifier: Apache-2.0
#include "cluster.hpp"

#include <utility>

#include <sluice/base/status.hpp>

namespace sluice::experiment {

absl::StatusOr<std::unique_ptr<cluster>> cluster::create(sim::network_options options) {
    std::unique_ptr<cluster> out(new cluster);
    auto nodes = sim::network::create(std::move(options), out->loop_);
    SLUICE_RETURN_IF_ERROR(nodes.status());
    out->nodes_ = *std::move(nodes);
    return out;
}

void cluster::hold(const load& requests, std::uint64_t block_bytes) {
    for (const load_request& r : requests.requests) {
        for (std::uint32_t i = 0; i < r.cached_blocks; ++i) {
            nodes_->hold(key_of(r.block_ids[i]), block_bytes);
        }
    }
}

}  // namespace sluice::experiment
