// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <optional>

#include <absl/status/statusor.h>

#include <sluice/demand/app_tracker.hpp>
#include <sluice/kv/layout.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/stage/compute.hpp>

#include "../split/planner.hpp"
#include "../split/worker.hpp"
#include "device_object.hpp"
#include "handles.hpp"
#include "loop.hpp"
#include "store_object.hpp"

namespace sluice::capi {

/// A pipeline and what it is made of; or a planner, which is used like one.
class pipeline_object final : public object {
 public:
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<pipeline_object>> open(
        const sluice_pipeline_options& options);
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<pipeline_object>> open_planner(
        const sluice_planner_options& options);
    ~pipeline_object() override;

    /// \pre not a planner
    [[nodiscard]] sluice::pipeline& pipe() noexcept { return *pipe_; }
    /// Null: it is a pipeline that moves bytes.
    [[nodiscard]] split::planner* planner() noexcept { return planner_.get(); }
    /// Null: no plan has been imported.
    [[nodiscard]] split::worker* worker() noexcept {
        // Acquire: the worker, as it was made.
        return is_worker_.load(std::memory_order_acquire) ? &*worker_ : nullptr;
    }
    [[nodiscard]] demand::app_tracker& applications() noexcept { return *applications_; }
    /// From now on it serves plans only. \return kFailedPrecondition: it is not made for that, or
    /// has requests of its own.
    [[nodiscard]] absl::StatusOr<split::worker*> become_worker();

 private:
    pipeline_object() = default;
    /// Makes the tracker. `options` may be null.
    absl::Status follow_applications(const sluice_app_options* options);

    // In the order of their making: the pipeline goes first.
    pinned<loop_object> loop_;
    pinned<device_object> device_;
    pinned<store_object> store_;
    std::optional<layout> l1_;
    std::unique_ptr<sluice::compute> compute_;
    std::optional<demand::app_tracker> applications_;
    std::unique_ptr<sluice::pipeline> pipe_;
    bool serves_plans_ = false;  // engine-owned L1, the engine drives
    bool ranked_from_outside_ = false;
    std::mutex worker_mutex_;  // guards making the worker
    std::optional<split::worker> worker_;
    std::atomic<bool> is_worker_{false};
    std::unique_ptr<split::planner> planner_;
};

}  // namespace sluice::capi
