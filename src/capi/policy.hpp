// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include <absl/status/statusor.h>

#include <sluice/base/ids.hpp>
#include <sluice/cost/cost_model.hpp>
#include <sluice/sched/policy.hpp>
#include <sluice/sluice.h>

namespace sluice::capi {

[[nodiscard]] constexpr sluice_request_id id_of(request_handle h) noexcept {
    return (std::uint64_t{h.epoch} << 32) | h.index;
}
[[nodiscard]] constexpr request_handle handle_of_id(sluice_request_id id) noexcept {
    return {static_cast<std::uint32_t>(id), static_cast<std::uint32_t>(id >> 32)};
}

/// The policy that the options name: `custom` if given, else `spec`, else sjf.
[[nodiscard]] absl::StatusOr<std::unique_ptr<policy>> make_policy(const char* spec,
                                                                  const sluice_policy* custom);

/// The cost model that the options name: `custom` if given, else `preset`, else linear; learning.
[[nodiscard]] absl::StatusOr<std::unique_ptr<cost_model>> make_cost_model(
    const char* preset, const sluice_cost_model* custom);

}  // namespace sluice::capi
