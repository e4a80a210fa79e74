// SPDX-License-Identifier: Apache-2.0
#include "sweep_measure.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

namespace sluice::experiment {
namespace {

using enum measure_id;
using enum measure_unit;

constexpr double none = std::numeric_limits<double>::quiet_NaN();

constexpr std::array<measure_info, measure_count> all_measures{{
    {arrived, "arrived", "requests", count, 0},
    {ttft_mean, "ttft_mean", "mean TTFT", seconds, -1},
    {ttft_p50, "ttft_p50", "median TTFT", seconds, -1},
    {ttft_p95, "ttft_p95", "p95 TTFT", seconds, -1},
    {ttft_p99, "ttft_p99", "p99 TTFT", seconds, -1},
    {ttft_max, "ttft_max", "longest TTFT", seconds, -1},
    {attainment, "attainment", "deadlines met", share, 1},
    {attainment_2x, "attainment_2x", "deadlines met, m = 2", share, 1},
    {attainment_4x, "attainment_4x", "deadlines met, m = 4", share, 1},
    {attainment_8x, "attainment_8x", "deadlines met, m = 8", share, 1},
    {finished, "finished", "finished", share, 1},
    {bound, "bound", "clairvoyant bound", seconds, 0},
    {over_bound, "over_bound", "mean TTFT above the bound", change, -1},
    {offered_load, "offered_load", "offered load of coupled", ratio, 0},
    {bottleneck, "bottleneck", "load of the pipeline's bottleneck", ratio, 0},
    {qps, "qps", "requests/s", per_second, 0},
    {busy_fetch, "busy_fetch", "fetch busy", share, 0},
    {busy_copy, "busy_copy", "copy busy", share, 0},
    {busy_compute, "busy_compute", "compute busy", share, 0},
    {fetch_gb_s, "fetch_gb_s", "fetch", gb_s, 1},
    {copy_gb_s, "copy_gb_s", "copy", gb_s, 1},
    {compute_tokens_s, "compute_tokens_s", "tokens computed/s", per_second, 1},
    {error_fetch, "error_fetch", "error of the predicted fetch", share, -1},
    {error_copy, "error_copy", "error of the predicted copy", share, -1},
    {error_compute, "error_compute", "error of the predicted compute", share, -1},
}};

double scale_of(measure_unit unit) noexcept {
    return unit == share || unit == change || unit == points ? 100 : 1;
}

std::string_view suffix_of(measure_unit unit) noexcept {
    switch (unit) {
    case seconds: return ", s";
    case share:
    case change: return ", %";
    case points: return ", points";
    case gb_s: return ", GB/s";
    case per_second:
    case count:
    case ratio: return "";
    }
    return "";
}

}  // namespace

std::span<const measure_info> measures() noexcept { return all_measures; }

const measure_info& info_of(measure_id id) noexcept {
    return all_measures[static_cast<std::size_t>(id)];
}

const measure_info* find_measure(std::string_view name) noexcept {
    const auto* it = std::find_if(all_measures.begin(), all_measures.end(),
                                  [name](const measure_info& m) { return m.name == name; });
    return it == all_measures.end() ? nullptr : it;
}

measure_unit shown_measure::unit() const noexcept {
    const measure_unit own = info_of(id).unit;
    if (against.empty()) {
        return own;
    }
    return own == share || own == change ? points : change;
}

std::string shown_measure::name() const {
    if (!label.empty()) {
        return label;
    }
    const std::string own(info_of(id).label);
    return against.empty() ? own : own + " against " + against;
}

std::string shown_measure::title() const { return name().append(suffix_of(unit())); }

estimate estimate_of(const shown_measure& shown, std::span<const measured> seeds,
                     const std::vector<measured>* reference) {
    const auto at = static_cast<std::size_t>(shown.id);
    std::vector<double> values;
    for (std::size_t i = 0; i < seeds.size(); ++i) {
        double value = seeds[i][at];
        if (!shown.against.empty()) {
            const bool paired = reference != nullptr && i < reference->size();
            const double from = paired ? (*reference)[i][at] : none;
            value = shown.unit() == points ? value - from : value / from - 1;
        }
        values.push_back(value);
    }
    return estimate_of(values);
}

int decimals_of(measure_unit unit, std::span<const estimate> values) noexcept {
    if (unit == share || unit == change || unit == points) {
        return 1;
    }
    if (unit == count) {
        return 0;
    }
    double smallest = std::numeric_limits<double>::infinity();
    for (const estimate& e : values) {
        if (std::isfinite(e.mean) && e.mean != 0) {
            smallest = std::min(smallest, std::abs(e.mean));
        }
    }
    if (unit == ratio || unit == per_second) {
        return smallest < 100 ? 2 : 0;
    }
    return smallest < 10 ? 3 : smallest < 100 ? 2 : 1;
}

std::string text_of(estimate value, measure_unit unit, int decimals) {
    if (!std::isfinite(value.mean)) {
        return "-";
    }
    const double scale = scale_of(unit);
    const bool sign = unit == change || unit == points;
    std::string out = fmt::format("{:+.{}f}", value.mean * scale, decimals);
    if (out.find_first_not_of("-0.") == std::string::npos) {
        out[0] = '+';  // no minus before zeros
    }
    if (!sign && out[0] == '+') {
        out.erase(0, 1);
    }
    if (value.ci95) {
        out += fmt::format(" \u00b1{:.{}f}", *value.ci95 * scale, decimals);
    }
    return out;
}

}  // namespace sluice::experiment
