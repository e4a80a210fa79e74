// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/need_forecast.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace sluice::demand {

need_forecast need_forecast::of(std::span<const need_sample> samples) {
    std::vector<double> with;
    std::vector<double> without;
    for (const need_sample& s : samples) {
        if (!std::isnan(s.seconds)) {
            (s.used ? with : without).push_back(std::max(s.seconds, 0.0));
        }
    }
    need_forecast out;
    const auto all = static_cast<double>(with.size() + without.size());
    const auto add = [&out, all](std::vector<double>& times, bool used) {
        std::sort(times.begin(), times.end());
        const std::size_t points = std::min(times.size(), max_points_each);
        for (std::size_t p = 0; p < points; ++p) {
            const std::size_t first = p * times.size() / points;
            const std::size_t last = (p + 1) * times.size() / points;
            double sum = 0;
            for (std::size_t i = first; i < last; ++i) {
                sum += times[i];
            }
            const auto count = static_cast<double>(last - first);
            out.points_[out.size_++] = {sum / count, count / all, used};
        }
    };
    add(with, true);
    add(without, false);
    std::stable_sort(out.points_.begin(),
                     out.points_.begin() + static_cast<std::ptrdiff_t>(out.size_),
                     [](const point& a, const point& b) { return a.seconds < b.seconds; });
    return out;
}

double need_forecast::probability() const noexcept {
    double sum = 0;
    for (const point& p : points()) {
        sum += p.used ? p.weight : 0;
    }
    return sum;
}

double need_forecast::probability_by(double seconds) const noexcept {
    double sum = 0;
    for (const point& p : points()) {
        sum += p.used && p.seconds <= seconds ? p.weight : 0;
    }
    return sum;
}

}  // namespace sluice::demand
