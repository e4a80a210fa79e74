// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include <sluice/demand/app_prewarmer.hpp>
#include <sluice/demand/kv_prefixes.hpp>
#include <sluice/demand/prewarmer.hpp>
#include <sluice/pipeline.hpp>

#include "draw.hpp"
#include "options.hpp"

namespace sluice::experiment {

/// Prewarms prefixes that applications will need: of conversations what has been said, and of
/// units their instructions.
///
/// \par Thread safety
/// On the loop, or when it does not run.
class app_prefixes {
 public:
    /// \param block_s  seconds to load a block
    /// \param blocks  that L1 holds
    /// \param into, tracker, draw, on  outlive it
    app_prefixes(const app_options& options, const app_draw& draw, double block_s,
                 std::uint32_t blocks, pipeline& into, demand::app_tracker& tracker, loop& on);
    ~app_prefixes();
    app_prefixes(const app_prefixes&) = delete;
    app_prefixes& operator=(const app_prefixes&) = delete;

    void begins(std::uint32_t task, std::uint32_t visit) { at_[task] = visit; }
    void ended(std::uint32_t task);
    /// \return whether the event is none of the engine's business
    bool take(const request_event& e) { return kv_.take(e); }
    [[nodiscard]] const demand::prewarmer_stats& stats() const noexcept { return warmer_.stats(); }

 private:
    [[nodiscard]] demand::warm_target target_of(const demand::app_state& a,
                                                const demand::unit_facts& unit);
    const app_draw& draw_;
    demand::app_tracker& tracker_;
    demand::kv_prefixes kv_;
    demand::prewarmer warmer_;
    demand::app_prewarmer watcher_;
    std::vector<std::uint32_t> at_;                       // by task: its visit
    std::vector<std::vector<demand::warm_key>> defined_;  // by task
};

}  // namespace sluice::experiment
