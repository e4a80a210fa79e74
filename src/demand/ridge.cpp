// SPDX-License-Identifier: Apache-2.0
#include "ridge.hpp"

#include <algorithm>
#include <cmath>

namespace sluice::demand::detail {
namespace {

constexpr std::size_t most = ridge_fit::max_used;
using square = std::array<std::array<double, most>, most>;

struct chosen_feature {
    std::uint32_t feature = 0;
    double mean = 0;
    double deviation = 0;
    double correlation = 0;
};

double mean_of(std::span<const double> y) noexcept {
    double sum = 0;
    for (const double v : y) {
        sum += v;
    }
    return sum / static_cast<double>(y.size());
}

/// The features that go with y, at most `most`.
std::vector<chosen_feature> choose(std::span<const double> x, std::size_t count,
                                   std::span<const double> y, double y_mean, double y_squares) {
    const auto n = static_cast<double>(y.size());
    const double least = std::max(0.2, 2 / std::sqrt(n));
    std::vector<double> means(count);
    std::vector<double> squares(count);
    std::vector<double> products(count);
    for (std::size_t i = 0; i < y.size(); ++i) {
        for (std::size_t f = 0; f < count; ++f) {
            means[f] += x[i * count + f] / n;
        }
    }
    for (std::size_t i = 0; i < y.size(); ++i) {
        const double dy = y[i] - y_mean;
        for (std::size_t f = 0; f < count; ++f) {
            const double dx = x[i * count + f] - means[f];
            squares[f] += dx * dx;
            products[f] += dx * dy;
        }
    }
    std::vector<chosen_feature> chosen;
    for (std::size_t f = 0; f < count; ++f) {
        const double deviation = std::sqrt(squares[f] / n);
        if (!(deviation > 1e-9 * std::max(1.0, std::abs(means[f])))) {
            continue;  // the same in all
        }
        const double correlation = products[f] / std::sqrt(squares[f] * y_squares);
        if (std::abs(correlation) >= least) {
            chosen.push_back(
                {static_cast<std::uint32_t>(f), means[f], deviation, std::abs(correlation)});
        }
    }
    std::stable_sort(chosen.begin(), chosen.end(),
                     [](const chosen_feature& a, const chosen_feature& b) {
                         return a.correlation > b.correlation;
                     });
    chosen.resize(std::min(chosen.size(), most));
    return chosen;
}

/// The lower Cholesky factor of the leading k x k part, its diagonal inverted.
square factor(const square& a, std::size_t k) noexcept {
    square l{};
    for (std::size_t i = 0; i < k; ++i) {
        for (std::size_t j = 0; j <= i; ++j) {
            double sum = a[i][j];
            for (std::size_t m = 0; m < j; ++m) {
                sum -= l[i][m] * l[j][m];
            }
            l[i][j] = i == j ? 1 / std::sqrt(std::max(sum, 1e-12)) : sum * l[j][j];
        }
    }
    return l;
}

/// The inverse of the factor, transposed: row g holds what b[g] adds to each v of l v = b.
square invert(const square& l, std::size_t k) noexcept {
    square inverse{};
    for (std::size_t g = 0; g < k; ++g) {
        for (std::size_t i = g; i < k; ++i) {
            double sum = i == g ? 1 : 0;
            for (std::size_t m = g; m < i; ++m) {
                sum -= l[i][m] * inverse[g][m];
            }
            inverse[g][i] = sum * l[i][i];
        }
    }
    return inverse;
}

using row = std::array<double, most>;

/// Solves l v = b. Of fixed size, as it is done for each sample; what is not used is 0.
row solve(const square& inverse, const row& b) noexcept {
    row v{};
    for (std::size_t g = 0; g < most; ++g) {
        for (std::size_t i = 0; i < most; ++i) {
            v[i] += inverse[g][i] * b[g];
        }
    }
    return v;
}

double dot(const row& a, const row& b) noexcept {
    double sum = 0;
    for (std::size_t i = 0; i < most; ++i) {
        sum += a[i] * b[i];
    }
    return sum;
}

}  // namespace

ridge_fit fit_ridge(std::span<const double> x, std::size_t count, std::span<const double> y,
                    std::vector<double>& held_out) {
    ridge_fit out;
    held_out.clear();
    if (y.empty()) {
        return out;
    }
    const std::size_t samples = y.size();
    const auto n = static_cast<double>(samples);
    const double y_mean = mean_of(y);
    out.intercept = y_mean;
    double y_squares = 0;
    for (const double v : y) {
        y_squares += (v - y_mean) * (v - y_mean);
    }
    constexpr std::size_t fewest = 8;
    if (samples < fewest || !(y_squares > 1e-12 * n * y_mean * y_mean)) {
        return out;
    }
    const std::vector<chosen_feature> chosen = choose(x, count, y, y_mean, y_squares);
    const std::size_t k = chosen.size();
    if (k == 0) {
        return out;
    }
    std::vector<row> z(samples);
    square gram{};
    row product{};
    for (std::size_t i = 0; i < samples; ++i) {
        for (std::size_t f = 0; f < k; ++f) {
            z[i][f] = (x[i * count + chosen[f].feature] - chosen[f].mean) / chosen[f].deviation;
            product[f] += z[i][f] * (y[i] - y_mean);
            for (std::size_t g = 0; g <= f; ++g) {
                gram[f][g] += z[i][f] * z[i][g];
            }
        }
    }
    // Leaving a sample out changes its residual by 1 / (1 - its leverage); no fit is needed for it.
    constexpr double largest_leverage = 0.9;
    double best = -1;
    row weight{};
    std::vector<double> left_out(samples);
    for (const double ridge : {0.03, 0.1, 0.3, 1.0}) {
        square a = gram;
        for (std::size_t f = 0; f < k; ++f) {
            a[f][f] += ridge * n;
        }
        const square inverse = invert(factor(a, k), k);
        const row v = solve(inverse, product);
        row w{};
        for (std::size_t f = 0; f < k; ++f) {
            w[f] = dot(inverse[f], v);
        }
        double press = 0;
        for (std::size_t i = 0; i < samples; ++i) {
            const row u = solve(inverse, z[i]);
            const double leverage = 1 / n + dot(u, u);
            const double error =
                (y[i] - y_mean - dot(w, z[i])) / (1 - std::min(leverage, largest_leverage));
            press += error * error;
            left_out[i] = y[i] - error;
        }
        if (best < 0 || press < best) {
            best = press;
            weight = w;
            held_out = left_out;
        }
    }
    // The mean, too, is predicted without the sample.
    const double shrink = n / (n - 1);
    out.r2 = 1 - best / (y_squares * shrink * shrink);
    if (!(out.r2 >= 0.01 + 0.3 / std::sqrt(n))) {
        held_out.clear();
        return out;
    }
    out.used = k;
    for (std::size_t f = 0; f < k; ++f) {
        out.feature[f] = chosen[f].feature;
        out.slope[f] = weight[f] / chosen[f].deviation;
        out.intercept -= out.slope[f] * chosen[f].mean;
    }
    return out;
}

}  // namespace sluice::demand::detail
