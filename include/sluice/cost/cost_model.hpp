// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include <sluice/base/ids.hpp>

namespace sluice {

/// How much a request asks of one stage: the regressors of its cost.
struct demand_shape {
    std::uint64_t bytes = 0;           ///< moving stages: bytes to move
    std::uint64_t descriptors = 0;     ///< moving stages: pieces to move
    std::uint64_t query_tokens = 0;    ///< compute: tokens to compute, q
    std::uint64_t context_tokens = 0;  ///< compute: tokens before them, ctx

    /// Nothing to do costs nothing, whatever the model's fixed part says.
    [[nodiscard]] bool empty() const noexcept {
        return bytes == 0 && descriptors == 0 && query_tokens == 0;
    }
};

/// The seam that predicts how long a stage's resource is busy with a request.
///
/// Models: `linear_cost_model`; a user's subclass.
///
/// \par Calls
/// All on the pipeline's control loop, so state needs no lock; nothing may block. A prediction that
/// is negative or not finite is taken as 0 and counted as a fault.
class cost_model {
 public:
    cost_model() = default;
    cost_model(const cost_model&) = delete;
    cost_model& operator=(const cost_model&) = delete;
    virtual ~cost_model() = default;

    /// Seconds of `stage`'s resource that `shape` takes when it has it for itself.
    [[nodiscard]] virtual double predict(stage_id stage,
                                         const demand_shape& shape) const noexcept = 0;

    /// Reports that `shape` took `seconds` of the resource of `stage`.
    virtual void observe(stage_id stage, const demand_shape& shape, double seconds) noexcept = 0;

    /// Grows when predictions have changed so much that queued requests should be ranked anew.
    [[nodiscard]] virtual std::uint64_t generation() const noexcept = 0;
};

}  // namespace sluice
