// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <utility>

#include <sluice/device/device.hpp>

#include "handles.hpp"
#include "loop.hpp"

namespace sluice::capi {

/// A device and the loop that it may be on.
class device_object final : public object {
 public:
    device_object(pinned<loop_object> l, std::unique_ptr<sluice::device> d) noexcept
        : loop_(std::move(l)), device_(std::move(d)) {}
    [[nodiscard]] sluice::device& get() noexcept { return *device_; }
    [[nodiscard]] bool may_serve(const pinned<loop_object>& pipelines) const noexcept {
        return runs_with(loop_, pipelines);
    }

 private:
    pinned<loop_object> loop_;
    std::unique_ptr<sluice::device> device_;
};

}  // namespace sluice::capi
