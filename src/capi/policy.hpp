// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include <absl/status/statusor.h>

#include <sluice/cost/cost_model.hpp>
#include <sluice/sched/policy.hpp>
#include <sluice/sluice.h>

#include "../request_id.hpp"

namespace sluice::capi {

using sluice::detail::handle_of_id;
using sluice::detail::id_of;
using sluice::detail::number_of;
using sluice::detail::pointer_of;

/// The policy that the options name: `custom` if given, else `spec`, else sjf.
[[nodiscard]] absl::StatusOr<std::unique_ptr<policy>> make_policy(const char* spec,
                                                                  const sluice_policy* custom);

/// The cost model that the options name: `custom` if given, else `preset`, else linear; learning.
[[nodiscard]] absl::StatusOr<std::unique_ptr<cost_model>> make_cost_model(
    const char* preset, const sluice_cost_model* custom);

}  // namespace sluice::capi
