// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <mutex>
#include <utility>

#include <absl/status/statusor.h>

#include <sluice/store/store.hpp>

#include "batches.hpp"
#include "handles.hpp"
#include "loop.hpp"

namespace sluice::capi {

/// A store, the loop that it may be on, and the batches that go by it without a pipeline.
class store_object final : public object {
 public:
    store_object(pinned<loop_object> l, std::unique_ptr<sluice::store> s) noexcept
        : loop_(std::move(l)), store_(std::move(s)) {}

    [[nodiscard]] sluice::store& get() noexcept { return *store_; }

    [[nodiscard]] bool may_serve(const pinned<loop_object>& pipelines) const noexcept {
        return runs_with(loop_, pipelines);
    }

    /// Made when first asked for: most stores serve pipelines only.
    /// \return kResourceExhausted: no descriptor or thread.
    [[nodiscard]] absl::StatusOr<batch_queue*> batches();
    /// Whether it progresses in `sluice_loop_run` only.
    [[nodiscard]] bool on_loop() const noexcept { return static_cast<bool>(loop_); }

    void wake_callers() noexcept override;

 private:
    pinned<loop_object> loop_;
    std::unique_ptr<sluice::store> store_;
    std::mutex mutex_;  // guards making what follows
    std::unique_ptr<batch_queue> batches_;
};

}  // namespace sluice::capi
