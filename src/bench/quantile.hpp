// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

namespace sluice::bench {

/// The value that `share` (0 to 1) of them are below; reorders them. 0 if there is none.
template <class T>
[[nodiscard]] double quantile(std::vector<T>& values, double share) {
    if (values.empty()) {
        return 0;
    }
    const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size() - 1));
    const auto nth = values.begin() + static_cast<std::ptrdiff_t>(at);
    std::nth_element(values.begin(), nth, values.end());
    return static_cast<double>(*nth);
}

}  // namespace sluice::bench
