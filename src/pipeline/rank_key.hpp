// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace sluice::detail {

/// The place of a request among others: by packed rank, equals by arrival, a counter that may wrap.
struct rank_key {
    std::uint64_t rank;
    std::uint32_t order;
    friend bool operator<(const rank_key& a, const rank_key& b) noexcept {
        return a.rank != b.rank ? a.rank < b.rank
                                : static_cast<std::int32_t>(a.order - b.order) < 0;
    }
};

}  // namespace sluice::detail
