// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include <absl/status/statusor.h>

#include <sluice/base/ids.hpp>
#include <sluice/cost/cost_model.hpp>

namespace sluice {

/// T = fixed_s + per_byte_s * bytes + per_descriptor_s * descriptors.
struct load_coefficients {
    double fixed_s = 0;           ///< seconds, a0
    double per_byte_s = 0;        ///< seconds per byte, a1
    double per_descriptor_s = 0;  ///< seconds per piece, a2
    double r2 = 0;                ///< of the offline fit
};

/// T = c0_s + c1_s * q + c2_s * q * (ctx + q / 2): the last part is attention, whose i-th query
/// token looks at ctx + i others.
struct compute_coefficients {
    double c0_s = 0;  ///< seconds
    double c1_s = 0;  ///< seconds per query token
    double c2_s = 0;  ///< seconds per pair of query token and token before it
    double r2 = 0;    ///< of the offline fit
};

/// Which of the coefficients a model has.
enum class cost_form : std::uint8_t {
    full,
    calvo,  ///< a2 = c2 = 0, the two lines of CALVO (arXiv 2603.21257, section 3.2)
};

struct linear_cost_options {
    cost_form form = cost_form::full;
    bool refit = true;                   ///< learn from `observe`
    double forgetting = 0.98;            ///< weight of the past per observation, 0.5 to 1
    double generation_threshold = 0.10;  ///< relative change that makes `generation` grow
    double error_smoothing = 0.05;  ///< weight of the newest sample in `relative_error`, 0 to 1

    /// The options named "linear" (the defaults) or "calvo"; nothing for other names.
    [[nodiscard]] static std::optional<linear_cost_options> preset(std::string_view name) noexcept;
};

/// How well one stage was predicted.
struct stage_accuracy {
    std::uint64_t samples = 0;
    std::uint64_t ignored = 0;  ///< observations that were empty, not finite or not positive
    double relative_error = 0;  ///< running mean of |predicted - actual| / actual
    double predicted_s = 0;     ///< of the last sample
    double actual_s = 0;        ///< of the last sample
};

/// Predicts each stage by a line or, for compute, a quadratic, and refits it online.
///
/// Stages other than compute have the load form. Fetch, copy, put, copy_out and compute start from
/// rough guesses of data-centre hardware that the first observations replace; lookup and custom
/// stages cost 0 until they are observed or set. Refitting is recursive least squares on relative
/// residuals, so short operations count as much as long ones; coefficients stay non-negative.
/// Observe shapes of the size that is predicted: single blocks alone say little of a whole load.
///
/// \par Calls
/// As `cost_model`; the getters and setters belong to the same loop.
class linear_cost_model final : public cost_model {
 public:
    explicit linear_cost_model(const linear_cost_options& options = {});
    ~linear_cost_model() override;

    /// Replaces what is known of a stage by a fit made elsewhere, worth about one later
    /// observation. What is negative or not finite counts as 0. Makes `generation` grow. \pre
    /// `stage` is not compute
    void set_load(stage_id stage, const load_coefficients& c);
    void set_compute(const compute_coefficients& c);

    /// The coefficients as refitted so far; `r2` is as it was set. Zeros for a stage that is not
    /// known. \pre `stage` is not compute
    [[nodiscard]] load_coefficients load(stage_id stage) const noexcept;
    [[nodiscard]] compute_coefficients compute() const noexcept;

    [[nodiscard]] double predict(stage_id stage, const demand_shape& shape) const noexcept override;
    void observe(stage_id stage, const demand_shape& shape, double seconds) noexcept override;

    /// Grows when the prediction of a stage for a shape typical of it has moved by more than
    /// `generation_threshold` since it last grew, and with each setter.
    [[nodiscard]] std::uint64_t generation() const noexcept override { return generation_; }

    [[nodiscard]] stage_accuracy accuracy(stage_id stage) const noexcept;
    [[nodiscard]] const linear_cost_options& options() const noexcept { return options_; }

    /// Switches learning; errors are measured all the same.
    void set_refit(bool refit) noexcept { options_.refit = refit; }

 private:
    struct stage_fit;

    stage_fit& fit_of(stage_id stage);
    void set_line(stage_id stage, std::array<double, 3> beta, double r2);
    [[nodiscard]] const stage_fit* find(stage_id stage) const noexcept;
    void watch(stage_fit& fit, const std::array<double, 3>& x, double before) noexcept;

    linear_cost_options options_;
    std::uint64_t generation_ = 0;
    std::array<std::unique_ptr<stage_fit>, 256> stages_;  // by stage_id
};

/// One measurement for the offline fits below.
struct cost_sample {
    demand_shape shape;
    double seconds = 0;
};

/// Fits coefficients to measurements, for `set_load` and `set_compute`. Least squares on relative
/// residuals (weight 1 / seconds^2), all coefficients non-negative; `r2` is over seconds,
/// unweighted. Samples that are empty or not positive are left out.
///
/// \return kInvalidArgument: no usable sample
[[nodiscard]] absl::StatusOr<load_coefficients> fit_load(std::span<const cost_sample> samples,
                                                         cost_form form = cost_form::full);
[[nodiscard]] absl::StatusOr<compute_coefficients> fit_compute(std::span<const cost_sample> samples,
                                                               cost_form form = cost_form::full);

}  // namespace sluice
