// SPDX-License-Identifier: Apache-2.0
#include <sluice/sched/policy_registry.hpp>

namespace {

/// What has the least left to load goes first.
class least_to_load final : public sluice::policy {
    sluice::rank_value do_rank(const sluice::request_view& r, sluice::stage_id,
                               sluice::time_point) noexcept override {
        return r.remaining.load();
    }
    // Service makes ranks better, so a request may be ranked anew after each block.
    bool ranks_by_service() const noexcept override { return true; }
};

SLUICE_REGISTER_POLICY("least_to_load", least_to_load);

}  // namespace
