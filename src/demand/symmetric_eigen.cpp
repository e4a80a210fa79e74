// SPDX-License-Identifier: Apache-2.0
#include "symmetric_eigen.hpp"

#include <cmath>

namespace sluice::demand::detail {

symmetric_eigen eigen_of(std::vector<double> matrix, std::size_t n) {
    symmetric_eigen out;
    out.vectors.resize(n * n);
    for (std::size_t i = 0; i < n; ++i) {
        out.vectors[i * n + i] = 1;
    }
    std::vector<double>& a = matrix;
    constexpr int most_sweeps = 30;
    for (int sweep = 0; sweep < most_sweeps; ++sweep) {
        double outside = 0;
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t j = i + 1; j < n; ++j) {
                outside += a[i * n + j] * a[i * n + j];
            }
        }
        if (outside < 1e-20 * static_cast<double>(n)) {
            break;
        }
        for (std::size_t p = 0; p < n; ++p) {
            for (std::size_t q = p + 1; q < n; ++q) {
                if (std::abs(a[p * n + q]) < 1e-300) {
                    continue;
                }
                const double theta = (a[q * n + q] - a[p * n + p]) / (2 * a[p * n + q]);
                const double t =
                    std::copysign(1.0, theta) / (std::abs(theta) + std::sqrt(theta * theta + 1));
                const double c = 1 / std::sqrt(t * t + 1);
                const double s = t * c;
                for (std::size_t k = 0; k < n; ++k) {
                    const double x = a[k * n + p];
                    const double y = a[k * n + q];
                    a[k * n + p] = c * x - s * y;
                    a[k * n + q] = s * x + c * y;
                }
                for (std::size_t k = 0; k < n; ++k) {
                    const double x = a[p * n + k];
                    const double y = a[q * n + k];
                    a[p * n + k] = c * x - s * y;
                    a[q * n + k] = s * x + c * y;
                    const double v = out.vectors[k * n + p];
                    const double w = out.vectors[k * n + q];
                    out.vectors[k * n + p] = c * v - s * w;
                    out.vectors[k * n + q] = s * v + c * w;
                }
            }
        }
    }
    for (std::size_t i = 0; i < n; ++i) {
        out.values.push_back(a[i * n + i]);
    }
    return out;
}

}  // namespace sluice::demand::detail
