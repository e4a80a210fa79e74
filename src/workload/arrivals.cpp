// SPDX-License-Identifier: Apache-2.0
#include "arrivals.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "random.hpp"

namespace sluice::workload {
namespace {

// Names of what is drawn, so that no two draws are the same.
constexpr std::uint64_t arrival_stream = 1;
constexpr std::uint64_t deadline_stream = 2;

}  // namespace

std::vector<arrival> spread_arrivals(std::span<const trace_request> trace, std::uint64_t seed,
                                     double bucket_s) {
    std::vector<arrival> out;
    out.reserve(trace.size());
    for (std::size_t i = 0; i < trace.size(); ++i) {
        const double at = static_cast<double>(trace[i].timestamp_ms) * 1e-3;
        const double bucket = std::round(at / bucket_s) * bucket_s;
        out.push_back({bucket + bucket_s * to_unit(draw(seed, arrival_stream, i)), i});
    }
    std::stable_sort(out.begin(), out.end(),
                     [](const arrival& a, const arrival& b) { return a.at_s < b.at_s; });
    const double start = out.empty() ? 0 : out.front().at_s;
    for (arrival& a : out) {
        a.at_s -= start;
    }
    return out;
}

double draw_deadline_multiple(std::uint64_t seed, std::size_t index) noexcept {
    constexpr std::array multiples{2.0, 4.0, 8.0};
    return multiples[draw(seed, deadline_stream, index) % multiples.size()];
}

}  // namespace sluice::workload
