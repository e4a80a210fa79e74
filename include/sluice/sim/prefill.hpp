// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include <absl/status/statusor.h>

#include <sluice/coro/loop.hpp>
#include <sluice/cost/linear_cost_model.hpp>
#include <sluice/stage/compute.hpp>

namespace sluice::sim {

/// A `compute` that takes as long as a model of prefill says, one job after the other in the order
/// of `start`: c0 + c1 q + c2 q (ctx + q / 2) seconds with q the job's tokens and ctx those before
/// them. CALVO's line is the case c2 = 0. A job without tokens takes no time.
///
/// \par Thread safety
/// On the loop only, or when that does not run.
class prefill final : public compute {
 public:
    /// \param on  outlives it
    /// \return kInvalidArgument, naming the coefficient, unless all are between 0 and a day; `r2`
    ///         does not matter
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<prefill>> create(
        const compute_coefficients& coefficients, loop& on);
    ~prefill() override;

    void start(compute_job& job) noexcept override;

    /// Computing, up to now.
    [[nodiscard]] double busy_seconds() const noexcept;

 private:
    struct state;
    explicit prefill(std::unique_ptr<state> s) noexcept;

    std::unique_ptr<state> state_;
};

}  // namespace sluice::sim
