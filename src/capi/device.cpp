// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include <sluice/device/host_device.hpp>

#include "device_object.hpp"
#include "drivers.hpp"
#include "status.hpp"
#include "structs.hpp"

namespace sluice::capi {

namespace {

absl::Status open_host(const sluice_host_device_options* given, sluice_device** out) {
    if (out == nullptr) {
        return null_argument("out");
    }
    *out = nullptr;
    sluice_host_device_options o = SLUICE_HOST_DEVICE_OPTIONS_INIT;
    if (given != nullptr) {
        if (absl::Status s = read_struct(given, o, "sluice_host_device_options"); !s.ok()) {
            return s;
        }
    }
    if (absl::Status s = check_flags(o.flags, 0, "sluice_host_device_options"); !s.ok()) {
        return s;
    }
    pinned<loop_object> loop;
    if (absl::Status s = keep<loop_object>(o.loop, loop); !s.ok()) {
        return s;
    }
    host_device_options to;
    to.rate = o.bytes_per_second;
    auto made = host_device::create(to, loop ? &loop->get() : nullptr);
    if (!made.ok()) {
        return made.status();
    }
    return publish(std::make_unique<device_object>(std::move(loop), *std::move(made)), *out);
}

}  // namespace

}  // namespace sluice::capi

using namespace sluice;
using namespace sluice::capi;

extern "C" {

sluice_status sluice_device_open_host(const sluice_host_device_options* options,
                                      sluice_device** out) noexcept {
    return guarded("sluice_device_open_host", [&] { return open_host(options, out); });
}

sluice_status sluice_device_open(const sluice_device_driver* driver, sluice_device** out) noexcept {
    return guarded("sluice_device_open", [&]() -> absl::Status {
        if (out == nullptr) {
            return null_argument("out");
        }
        *out = nullptr;
        auto made = make_device(driver);
        if (!made.ok()) {
            return made.status();
        }
        return publish(std::make_unique<device_object>(pinned<loop_object>(), *std::move(made)),
                       *out);
    });
}

sluice_status sluice_device_close(sluice_device* device) noexcept {
    return guarded("sluice_device_close", [&] { return close<device_object>(device); });
}

}  // extern "C"
