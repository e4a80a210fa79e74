// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <vector>

namespace sluice::demand::detail {

struct symmetric_eigen {
    std::vector<double> values;
    std::vector<double> vectors;  ///< columns of an n x n matrix, by rows
};

/// Of a symmetric n x n matrix, by Jacobi's rotations: O(n^3) per sweep, a few sweeps.
[[nodiscard]] symmetric_eigen eigen_of(std::vector<double> matrix, std::size_t n);

}  // namespace sluice::demand::detail
