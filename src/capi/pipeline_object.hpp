// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>

#include <absl/status/statusor.h>

#include <sluice/kv/layout.hpp>
#include <sluice/pipeline.hpp>
#include <sluice/stage/compute.hpp>

#include "device_object.hpp"
#include "handles.hpp"
#include "loop.hpp"
#include "store_object.hpp"

namespace sluice::capi {

/// A pipeline and what it is made of.
class pipeline_object final : public object {
 public:
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<pipeline_object>> open(
        const sluice_pipeline_options& options);
    ~pipeline_object() override;

    [[nodiscard]] sluice::pipeline& pipe() noexcept { return *pipe_; }

 private:
    pipeline_object() = default;

    // In the order of their making: the pipeline goes first.
    pinned<loop_object> loop_;
    pinned<device_object> device_;
    pinned<store_object> store_;
    std::optional<layout> l1_;
    std::unique_ptr<sluice::compute> compute_;
    std::unique_ptr<sluice::pipeline> pipe_;
};

}  // namespace sluice::capi
