// SPDX-License-Identifier: Apache-2.0
#include <sluice/cost/least_squares.hpp>

#include <algorithm>
#include <bit>
#include <cassert>
#include <cmath>
#include <limits>
#include <utility>

#include <absl/status/status.h>

namespace sluice {

namespace {

constexpr double ridge = 1e-12;

using matrix = std::array<regressors, max_regressors>;

// The normal equations of the usable samples, over scaled columns.
struct normal_equations {
    matrix gram{};
    regressors moment{};
    regressors scale{};
    std::size_t used = 0;
};

bool usable(const fit_sample& s, std::size_t count) noexcept {
    return std::isfinite(s.y) && std::isfinite(s.weight) && s.weight > 0 &&
           std::all_of(s.x.begin(), s.x.begin() + static_cast<std::ptrdiff_t>(count),
                       [](double x) { return std::isfinite(x); });
}

normal_equations gather(std::span<const fit_sample> samples, std::size_t count) noexcept {
    normal_equations out;
    double weights = 0;
    for (const fit_sample& s : samples) {
        if (usable(s, count)) {
            ++out.used;
            weights += s.weight;
            for (std::size_t i = 0; i < count; ++i) {
                out.scale[i] += s.weight * s.x[i] * s.x[i];
            }
        }
    }
    for (std::size_t i = 0; i < count; ++i) {
        out.scale[i] = out.scale[i] > 0 ? std::sqrt(out.scale[i] / weights) : 1;
    }
    for (const fit_sample& s : samples) {
        if (!usable(s, count)) {
            continue;
        }
        for (std::size_t i = 0; i < count; ++i) {
            const double xi = s.x[i] / out.scale[i];
            out.moment[i] += s.weight / weights * xi * s.y;
            for (std::size_t j = 0; j < count; ++j) {
                out.gram[i][j] += s.weight / weights * xi * (s.x[j] / out.scale[j]);
            }
        }
    }
    return out;
}

// Solves for the regressors whose bits are set in `chosen`, by Gaussian elimination with pivots on
// the diagonal (the matrix is symmetric and, with its ridge, positive definite).
regressors solve(const normal_equations& eq, std::size_t count, unsigned chosen) noexcept {
    std::array<std::size_t, max_regressors> at{};
    std::size_t n = 0;
    for (std::size_t i = 0; i < count; ++i) {
        if ((chosen >> i & 1U) != 0) {
            at[n++] = i;
        }
    }
    matrix a{};
    regressors b{};
    for (std::size_t i = 0; i < n; ++i) {
        b[i] = eq.moment[at[i]];
        for (std::size_t j = 0; j < n; ++j) {
            a[i][j] = eq.gram[at[i]][at[j]] + (i == j ? ridge : 0);
        }
    }
    for (std::size_t k = 0; k < n; ++k) {
        for (std::size_t i = k + 1; i < n; ++i) {
            const double factor = a[i][k] / a[k][k];
            for (std::size_t j = k; j < n; ++j) {
                a[i][j] -= factor * a[k][j];
            }
            b[i] -= factor * b[k];
        }
    }
    regressors beta{};
    for (std::size_t k = n; k-- > 0;) {
        double sum = b[k];
        for (std::size_t j = k + 1; j < n; ++j) {
            sum -= a[k][j] * beta[at[j]];
        }
        beta[at[k]] = sum / a[k][k];
    }
    return beta;
}

// The sum of squares, but for the part that no beta changes.
double loss(const normal_equations& eq, std::size_t count, const regressors& beta) noexcept {
    double out = 0;
    for (std::size_t i = 0; i < count; ++i) {
        out -= 2 * beta[i] * eq.moment[i];
        for (std::size_t j = 0; j < count; ++j) {
            out += beta[i] * eq.gram[i][j] * beta[j];
        }
    }
    return out;
}

}  // namespace

double explained_variance(std::span<const fit_sample> samples, std::size_t count,
                          const regressors& beta) noexcept {
    double weights = 0;
    double mean = 0;
    for (const fit_sample& s : samples) {
        if (usable(s, count)) {
            weights += s.weight;
            mean += s.weight * s.y;
        }
    }
    mean /= weights;
    double residual = 0;
    double total = 0;
    for (const fit_sample& s : samples) {
        if (usable(s, count)) {
            double y = 0;
            for (std::size_t i = 0; i < count; ++i) {
                y += beta[i] * s.x[i];
            }
            residual += s.weight * (s.y - y) * (s.y - y);
            total += s.weight * (s.y - mean) * (s.y - mean);
        }
    }
    // A constant y leaves nothing to explain: met or missed.
    const double rounding = 1e-18 * weights * mean * mean;
    return total > rounding ? 1 - residual / total : (residual <= rounding ? 1 : 0);
}

absl::StatusOr<least_squares_fit> fit_least_squares(std::span<const fit_sample> samples,
                                                    std::size_t count, bool non_negative) {
    if (count == 0 || count > max_regressors) {
        return absl::InvalidArgumentError("least squares takes 1 to 3 regressors");
    }
    const normal_equations eq = gather(samples, count);
    if (eq.used == 0) {
        return absl::InvalidArgumentError("least squares needs a finite sample");
    }
    const unsigned all = (1U << count) - 1;
    regressors best{};
    if (non_negative) {
        double least = 0;  // of beta = 0
        for (unsigned chosen = 1; chosen <= all; ++chosen) {
            const regressors beta = solve(eq, count, chosen);
            const double here = loss(eq, count, beta);
            if (here < least &&
                std::all_of(beta.begin(), beta.end(), [](double b) { return b >= 0; })) {
                least = here;
                best = beta;
            }
        }
    } else {
        best = solve(eq, count, all);
    }
    least_squares_fit fit;
    for (std::size_t i = 0; i < count; ++i) {
        fit.beta[i] = best[i] / eq.scale[i];
    }
    fit.r2 = explained_variance(samples, count, fit.beta);
    fit.used = eq.used;
    return fit;
}

recursive_least_squares::recursive_least_squares(std::size_t count, const regressors& scale,
                                                 const regressors& beta,
                                                 const recursive_options& options) noexcept
    : count_(std::clamp<std::size_t>(count, 1, max_regressors)), options_(options), scale_(scale) {
    options_.forgetting = std::clamp(options_.forgetting, 0.5, 1.0);
    for (double& s : scale_) {
        s = std::isfinite(s) && s > 0 ? s : 1;
    }
    reset(beta);
}

void recursive_least_squares::reset(const regressors& beta) noexcept {
    p_ = {};
    theta_ = {};
    for (std::size_t i = 0; i < count_; ++i) {
        theta_[i] = std::isfinite(beta[i]) ? beta[i] * scale_[i] : 0;
        p_[i][i] = cap_[i] = options_.prior_covariance;
    }
    spread_ = 0.25;
    bias_ = 0;
    updates_ = 0;
}

bool recursive_least_squares::update(const regressors& x, double y, double unit) noexcept {
    regressors z{};
    double size = 0;
    for (std::size_t i = 0; i < count_; ++i) {
        z[i] = x[i] / scale_[i] / unit;
        size += std::abs(z[i]);
    }
    // The squares below must stay finite too.
    constexpr double limit = 1e100;
    if (!(unit > 0) || !(size < limit) || !(std::abs(y / unit) < limit)) {
        return false;
    }
    double residual = y / unit;
    for (std::size_t i = 0; i < count_; ++i) {
        residual -= theta_[i] * z[i];
    }
    const double magnitude = std::abs(residual);
    const double bound = options_.clip * spread_;
    // Huber's weight: where little is known yet, even a clipped sample is followed.
    const double weight = magnitude > bound ? bound / magnitude : 1;
    const double forgetting = follow(residual);

    regressors pz{};
    double innovation = forgetting;
    for (std::size_t i = 0; i < count_; ++i) {
        for (std::size_t j = 0; j < count_; ++j) {
            pz[i] += p_[i][j] * z[j];
        }
        innovation += weight * z[i] * pz[i];
    }
    const double gain = weight / innovation;
    for (std::size_t i = 0; i < count_; ++i) {
        theta_[i] += gain * pz[i] * residual;
        for (std::size_t j = 0; j <= i; ++j) {
            p_[i][j] = p_[j][i] = (p_[i][j] - gain * pz[i] * pz[j]) / forgetting;
        }
    }
    bound_covariance(forgetting < options_.forgetting);
    if (options_.non_negative) {
        project();
    }
    ++updates_;
    return true;
}

// Updates the means of the residual and its size; returns how much of the past to keep.
double recursive_least_squares::follow(double residual) noexcept {
    constexpr double adapt = 0.1;
    constexpr double least_spread = 1e-3;
    // One sample raises the spread by half at most.
    const double seen = std::clamp(residual, -6 * spread_, 6 * spread_);
    spread_ = std::max(spread_ + adapt * (std::abs(seen) - spread_), least_spread);
    bias_ += adapt * (seen - bias_);
    // Noise has both signs. Where the mean of the residual nears that of its size, the line has
    // moved.
    constexpr double noise = 0.6;
    constexpr double quickest = 0.7;
    const double moved = std::clamp((std::abs(bias_) / spread_ - noise) / (1 - noise), 0.0, 1.0);
    return options_.forgetting - moved * std::max(options_.forgetting - quickest, 0.0);
}

void recursive_least_squares::bound_covariance(bool moving) noexcept {
    constexpr double least = 1e-12;
    constexpr double most = 1e6;  // the prior does not count any more
    for (std::size_t i = 0; i < count_; ++i) {
        const double least_cap = moving ? most : options_.covariance_bound;
        cap_[i] = std::max(least_cap, std::min(cap_[i], p_[i][i]));
        if (p_[i][i] > cap_[i]) {
            // Scaling a row and its column alike keeps the matrix positive.
            const double shrink = std::sqrt(cap_[i] / p_[i][i]);
            for (std::size_t j = 0; j < count_; ++j) {
                p_[i][j] *= shrink;
                p_[j][i] *= shrink;
            }
        }
        // Rounding can take a variance to 0 or below.
        p_[i][i] = std::max(p_[i][i], least);
    }
}

// Moves a negative coefficient to 0 along the covariance: the nearest point in the measure of what
// is known, so that the others take over what it stood for.
void recursive_least_squares::project() noexcept {
    for (std::size_t round = 0; round < count_; ++round) {
        for (std::size_t i = 0; i < count_; ++i) {
            if (theta_[i] < 0) {
                const double step = theta_[i] / p_[i][i];
                for (std::size_t j = 0; j < count_; ++j) {
                    theta_[j] -= p_[j][i] * step;
                }
                theta_[i] = 0;
            }
        }
    }
    for (std::size_t i = 0; i < count_; ++i) {
        theta_[i] = std::max(theta_[i], 0.0);
    }
}

double recursive_least_squares::predict(const regressors& x) const noexcept {
    double y = 0;
    for (std::size_t i = 0; i < count_; ++i) {
        y += theta_[i] * (x[i] / scale_[i]);
    }
    return y;
}

regressors recursive_least_squares::beta() const noexcept {
    regressors out{};
    for (std::size_t i = 0; i < count_; ++i) {
        out[i] = theta_[i] / scale_[i];
    }
    return out;
}

}  // namespace sluice
