// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include <absl/status/statusor.h>

namespace sluice {

/// The most regressors of a fit; a constant part counts as one (its value is 1 in every sample).
inline constexpr std::size_t max_regressors = 3;
using regressors = std::array<double, max_regressors>;

/// One observation: y is about sum of beta[i] * x[i]. Entries of x beyond the fit's count are
/// unused.
struct fit_sample {
    regressors x{};
    double y = 0;
    double weight = 1;  ///< of its squared residual; 0 or more
};

struct least_squares_fit {
    regressors beta{};
    double r2 = 0;         ///< as `explained_variance`
    std::size_t used = 0;  ///< samples
};

/// Fits y = sum of beta[i] * x[i] by weighted least squares, over the first `count` regressors.
///
/// Columns are scaled to unit size and solved by normal equations with a relative ridge of 1e-12,
/// so that collinear regressors share the slope instead of blowing up. With `non_negative` the best
/// fit with all beta >= 0 is found, by trying every set of regressors (at most 7). Samples that are
/// not finite, or have a weight that is not positive, are left out.
///
/// \return kInvalidArgument: `count` is not 1 to 3, or no sample is usable
[[nodiscard]] absl::StatusOr<least_squares_fit> fit_least_squares(
    std::span<const fit_sample> samples, std::size_t count, bool non_negative = true);

/// R2 of `beta` over the usable samples: 1 - residual / total variance of y, weighted. Where y does
/// not vary: 1 if it is met, else 0.
[[nodiscard]] double explained_variance(std::span<const fit_sample> samples, std::size_t count,
                                        const regressors& beta) noexcept;

struct recursive_options {
    /// Weight of the past per update: 1 never forgets; 0.98 remembers about the last fifty. 0.5
    /// to 1.
    double forgetting = 0.98;
    /// Variance of the prior's scaled coefficients over that of one sample's noise: 1 makes the
    /// prior worth about one sample, 1e-2 a hundred.
    double prior_covariance = 1;
    /// What forgetting can raise a variance to where inputs do not vary, so that it does not wind
    /// up.
    double covariance_bound = 10;
    /// Residuals beyond this many mean absolute residuals are clipped to it.
    double clip = 4;
    bool non_negative = true;
};

/// Recursive least squares with exponential forgetting (Ljung, System Identification,
/// section 11.2), made safe for measurements of a live system:
///
/// - the covariance is bounded, more loosely while the line moves (below);
/// - outliers are clipped against a running mean of the absolute residual, which itself grows at
/// most
///   by half per sample: one bad sample moves little, a lasting change is followed within some
///   tens;
/// - samples that are not finite are ignored;
/// - a coefficient that would turn negative is held at 0 and the others take over its part.
class recursive_least_squares {
 public:
    /// `scale`: the typical size of each regressor, positive; the fit works on x / scale. `count`:
    /// 1 to
    /// 3. `beta`: the prior.
    recursive_least_squares(std::size_t count, const regressors& scale, const regressors& beta = {},
                            const recursive_options& options = {}) noexcept;

    /// Starts anew from a prior.
    void reset(const regressors& beta) noexcept;

    /// Learns that `x` gave `y`; residuals are measured in units of `unit` > 0 (pass about the
    /// predicted y for relative residuals, 1 for absolute ones).
    /// \return false: not finite or not positive where it must be; ignored
    bool update(const regressors& x, double y, double unit = 1) noexcept;

    [[nodiscard]] double predict(const regressors& x) const noexcept;
    [[nodiscard]] regressors beta() const noexcept;
    /// Of the scaled coefficients, relative to the noise of one sample. For tests and metrics.
    [[nodiscard]] double covariance(std::size_t row, std::size_t column) const noexcept {
        return p_[row][column];
    }
    [[nodiscard]] std::uint64_t updates() const noexcept { return updates_; }

 private:
    [[nodiscard]] double follow(double residual) noexcept;
    void bound_covariance(bool moving) noexcept;
    void project() noexcept;

    std::size_t count_;
    recursive_options options_;
    regressors scale_;
    regressors theta_{};                          // beta * scale
    std::array<regressors, max_regressors> p_{};  // covariance of theta_ over that of the noise
    regressors cap_{};                            // of the diagonal
    double spread_ = 0;                           // running mean of |residual| / unit
    double bias_ = 0;                             // running mean of residual / unit
    std::uint64_t updates_ = 0;
};

}  // namespace sluice
