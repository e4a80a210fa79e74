// SPDX-License-Identifier: Apache-2.0
#include <sluice/demand/need_forecast.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace sluice::demand {

need_forecast need_forecast::of(std::span<const need_sample> samples) {
    std::vector<need_sample> sorted;
    double all = 0;
    for (const need_sample& s : samples) {
        if (std::isfinite(s.seconds) && std::isfinite(s.weight) && s.weight > 0) {
            sorted.push_back({std::max(s.seconds, 0.0), s.used, s.weight});
            all += s.weight;
        }
    }
    std::sort(sorted.begin(), sorted.end(), [](const need_sample& a, const need_sample& b) {
        return a.used != b.used ? a.used : a.seconds < b.seconds;
    });
    need_forecast out;
    const auto split =
        std::partition_point(sorted.begin(), sorted.end(), [](auto& s) { return s.used; });
    const auto add = [&](auto begin, auto end) {
        const auto count = static_cast<std::size_t>(end - begin);
        const std::size_t points = std::min(count, max_points_each);
        double left = 0;
        for (auto s = begin; s != end; ++s) {
            left += s->weight;
        }
        auto next = begin;
        for (std::size_t p = 0; p < points; ++p) {
            // Each point takes its share of what is left, and leaves a sample for each of the rest.
            const double share = left / static_cast<double>(points - p);
            const auto limit = end - static_cast<std::ptrdiff_t>(points - p - 1);
            double weight = 0;
            double sum = 0;
            do {
                weight += next->weight;
                sum += next->weight * next->seconds;
                ++next;
            } while (next != limit && weight + next->weight / 2 <= share);
            left -= weight;
            out.points_[out.size_++] = {sum / weight, weight / all, std::prev(next)->used};
        }
        for (; next != end; ++next) {  // what rounding has left
            out.points_[out.size_ - 1].weight += next->weight / all;
        }
    };
    add(sorted.begin(), split);
    add(split, sorted.end());
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
