// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "trace.hpp"

namespace sluice::workload {

/// When a request of a trace arrives.
struct arrival {
    double at_s = 0;
    std::size_t index = 0;  ///< its place in the trace
};

/// The requests of a trace in the order of their arrivals, the first at 0. Timestamps lie at the
/// start of a bucket, give or take some milliseconds; by the seed each request arrives somewhere in
/// its bucket.
///
/// \pre bucket_s is positive
[[nodiscard]] std::vector<arrival> spread_arrivals(std::span<const trace_request> trace,
                                                   std::uint64_t seed, double bucket_s);

/// 2, 4 or 8, by the seed and the request's place: the deadline in multiples of the request's T0.
[[nodiscard]] double draw_deadline_multiple(std::uint64_t seed, std::size_t index) noexcept;

/// Requests per second: those after the first over the time from the first to the last. 0 for fewer
/// than two, or where all arrive at once.
template <class Requests>
[[nodiscard]] double rate_of_arrivals(const Requests& requests) noexcept {
    if (requests.size() < 2) {
        return 0;
    }
    const double span = requests.back().arrival_s - requests.front().arrival_s;
    return span > 0 ? static_cast<double>(requests.size() - 1) / span : 0;
}

/// Stretches or shrinks time so that `rate_of_arrivals` is `per_second`. Nothing changes if there
/// is no rate to begin with.
///
/// \pre per_second is positive and finite
template <class Requests>
void scale_arrivals(Requests& requests, double per_second) noexcept {
    const double now = rate_of_arrivals(requests);
    if (now <= 0) {
        return;
    }
    for (auto& r : requests) {
        r.arrival_s *= now / per_second;
    }
}

}  // namespace sluice::workload
