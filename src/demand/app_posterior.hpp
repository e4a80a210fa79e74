// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <sluice/demand/app_tracker.hpp>
#include <sluice/demand/application_view.hpp>

#include "app_table.hpp"

namespace sluice::demand::detail {

/// What is known and expected of one application at a time; its memory is used again.
///
/// `load` and `load_run` copy under the tracker's lock; the rest needs none. Where `refresh` is.
class app_posterior final : posterior_source {
 public:
    void load(const application& a, app_class& in_class, const app_tracker_options& o,
              time_point now);
    [[nodiscard]] const application_view& view() const noexcept { return view_; }
    [[nodiscard]] app_state state(rank_value rank) const;
    [[nodiscard]] bool class_unknown() const noexcept { return model_ == nullptr; }
    /// Somebody asked what is left, and no run of the class had gone this way.
    [[nodiscard]] bool fell_back() const noexcept {
        return asked_ && model_ != nullptr && !remaining_.conditioned;
    }

    /// The run that has ended, as a sample. \return whether there is something to learn
    [[nodiscard]] bool load_run(const application& a, const app_class& in_class, std::uint64_t id);
    /// Adds it to its class, which is made if there is none. \return whether it was
    bool learn(model_set& models, const service_rates& rates);

 private:
    const remaining_demand& posterior() noexcept override;
    const sample_set& prior_service() noexcept override;
    const sample_set& prior_path() noexcept override;

    application_view view_;
    std::string application_;
    std::string unit_;
    std::string backend_;
    std::vector<unit_visit> visits_;  // with the model's units
    observation seen_;
    time_point since_{};
    bool in_unit_ = false;
    bool whole_ = false;  // what is left is what is left of whole runs
    const model_set* models_ = nullptr;
    demand_model* model_ = nullptr;
    remaining_demand remaining_;
    bool asked_ = false;
    run_record run_;
};

}  // namespace sluice::demand::detail
