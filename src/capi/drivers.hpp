// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <absl/status/statusor.h>

#include <sluice/device/device.hpp>
#include <sluice/sluice.h>
#include <sluice/stage/compute.hpp>
#include <sluice/store/store.hpp>

// The library's seams, carried out by tables of C functions. The tables are checked and copied.
namespace sluice::capi {

[[nodiscard]] absl::StatusOr<std::unique_ptr<store>> make_store(const sluice_store_driver* driver);
[[nodiscard]] absl::StatusOr<std::unique_ptr<device>> make_device(
    const sluice_device_driver* driver);
/// Runs the function on a thread of its own.
[[nodiscard]] absl::StatusOr<std::unique_ptr<compute>> make_compute(const sluice_compute* table);

}  // namespace sluice::capi
