// SPDX-License-Identifier: Apache-2.0
#include "lengths.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "../json/object_reader.hpp"

namespace sluice::experiment {
namespace {

constexpr double most_tokens = 1e8;

double normal_share_below(double x) { return std::erfc(-x / std::sqrt(2.0)) / 2; }

/// The mean of exp(location + sigma * Z), clipped to [low, high].
double clipped_mean(double location, double sigma, double low, double high) {
    const double a = (std::log(low) - location) / sigma;
    const double b = (std::log(high) - location) / sigma;
    const double between = normal_share_below(b - sigma) - normal_share_below(a - sigma);
    return low * normal_share_below(a) + high * normal_share_below(-b) +
           std::exp(location + sigma * sigma / 2) * between;
}

/// The location with which that mean is `mean`; it grows with the location.
double location_for(double mean, double sigma, double low, double high) {
    double below = std::log(low) - 8 * sigma;
    double above = std::log(high) + 8 * sigma;
    for (int i = 0; i < 100; ++i) {
        const double middle = (below + above) / 2;
        (clipped_mean(middle, sigma, low, high) < mean ? below : above) = middle;
    }
    return (below + above) / 2;
}

}  // namespace

std::uint64_t round_by_chance(double x, workload::random_source& random) noexcept {
    return static_cast<std::uint64_t>(x + random.unit());
}

lengths lengths::constant(double tokens) {
    lengths out;
    out.mean_ = out.low_ = out.high_ = tokens;
    return out;
}

absl::StatusOr<lengths> lengths::read(const json::value& from, double lowest, double usual_min) {
    constexpr std::array<std::string_view, 4> shapes{"lognormal", "uniform", "constant", "list"};
    json::object_reader keys(from);
    lengths out;
    out.shape_ = static_cast<shape>(keys.choice("distribution", shapes));
    switch (out.shape_) {
    case shape::lognormal:
        out.mean_ = keys.number("mean", lowest, most_tokens);
        out.cv_ = keys.number("cv", 0.001, 10);
        out.low_ = keys.number_or("min", usual_min, std::max(lowest, 1.0), most_tokens);
        out.high_ = keys.number_or("max", 4 * out.mean_, 1, 4 * most_tokens);
        if (keys.ok() && !(out.low_ < out.mean_ && out.mean_ < out.high_)) {
            keys.keep(
                from.error(fmt::format("key 'mean' is {}, not between a 'min' of {} and a "
                                       "'max' of {}",
                                       out.mean_, out.low_, out.high_)));
        }
        if (keys.ok()) {
            out.sigma_ = std::sqrt(std::log1p(out.cv_ * out.cv_));
            out.location_ = location_for(out.mean_, out.sigma_, out.low_, out.high_);
        }
        break;
    case shape::uniform:
        out.low_ = keys.number("min", lowest, most_tokens);
        out.high_ = keys.number("max", out.low_, most_tokens);
        out.mean_ = (out.low_ + out.high_) / 2;
        break;
    case shape::constant: out = constant(keys.number("value", lowest, most_tokens)); break;
    case shape::list:
        if (const json::value* values = keys.array("values")) {
            for (const json::value& v : values->items()) {
                const std::string name = fmt::format("key 'values'[{}]", out.values_.size());
                keys.keep(json::check_number(v, name, lowest, most_tokens));
                out.values_.push_back(v.number().value_or(lowest));
            }
            if (out.values_.empty()) {
                keys.keep(values->error("key 'values' is empty"));
                break;
            }
            out.mean_ = std::accumulate(out.values_.begin(), out.values_.end(), 0.0) /
                        static_cast<double>(out.values_.size());
            out.low_ = *std::min_element(out.values_.begin(), out.values_.end());
            out.high_ = *std::max_element(out.values_.begin(), out.values_.end());
        }
        break;
    }
    if (absl::Status fault = keys.finish(); !fault.ok()) {
        return fault;
    }
    return out;
}

double lengths::draw(workload::random_source& random) const noexcept {
    switch (shape_) {
    case shape::lognormal:
        return std::clamp(std::exp(location_ + sigma_ * random.normal()), low_, high_);
    case shape::uniform: return low_ + (high_ - low_) * random.unit();
    case shape::constant: return mean_;
    case shape::list: return values_[random.below(values_.size())];
    }
    return mean_;
}

std::string lengths::text() const {
    switch (shape_) {
    case shape::lognormal:
        return fmt::format("log-normal, mean {}, cv {}, from {} to {}", mean_, cv_, low_, high_);
    case shape::uniform: return fmt::format("uniform from {} to {}", low_, high_);
    case shape::constant: return fmt::format("always {}", mean_);
    case shape::list: return fmt::format("one of {} values, mean {}", values_.size(), mean_);
    }
    return {};
}

}  // namespace sluice::experiment
