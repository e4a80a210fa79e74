// SPDX-License-Identifier: Apache-2.0
#include "remainder_table.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace sluice::demand::detail {
namespace {

double per_call(std::uint64_t sum, const unit_visit& visit) noexcept {
    return static_cast<double>(sum) / static_cast<double>(std::max(visit.calls, 1u));
}

}  // namespace

feature_row features_of(std::span<const unit_visit> ended, const std::optional<unit_visit>& current,
                        const service_rates& rates) noexcept {
    feature_row row{};
    auto at = row.begin();
    const auto add = [&at](double value) { *at++ = value; };
    if (current) {
        add(current->calls);
        add(per_call(current->prompt_tokens, *current));
        add(static_cast<double>(current->prompt_tokens));
    }
    for (std::size_t i = 0; i < std::min(recent_visits, ended.size()); ++i) {
        const unit_visit& v = ended[ended.size() - 1 - i];
        add(per_call(v.prompt_tokens, v));
        add(per_call(v.completion_tokens, v));
        add(v.calls);
        add(static_cast<double>(v.prompt_tokens));
        add(static_cast<double>(v.completion_tokens));
        add(static_cast<double>(v.max_completion_tokens));
        add(v.seconds);
    }
    double service = 0;
    double path = 0;
    for (const unit_visit& v : ended) {
        service += service_seconds(v, rates);
        path += path_seconds(v, rates);
    }
    add(service);
    add(path);
    if (ended.size() > recent_visits) {
        add(per_call(ended.front().prompt_tokens, ended.front()));
        add(per_call(ended.front().completion_tokens, ended.front()));
    }
    return row;
}

std::vector<std::uint32_t> kind_features(std::size_t ended, bool begun) {
    constexpr std::uint32_t of_current = 3;
    const auto recent = static_cast<std::uint32_t>(std::min(ended, recent_visits));
    const std::uint32_t last = begun ? of_current : 0;
    std::vector<std::uint32_t> out;
    if (begun) {
        out.push_back(1);
    }
    if (recent > 0) {
        out.insert(out.end(), {last, last + 1});
    }
    if (ended > recent_visits) {
        out.push_back(last + recent * static_cast<std::uint32_t>(features_per_visit) + 2);
    }
    return out;
}

void remainder_table::side::build(std::span<const double> left, std::span<const double> features,
                                  std::span<const std::uint32_t> kinds) {
    samples_.assign(left);
    fit_ = {};
    local_ = {};
    predicted_.clear();
    actual_.clear();
    order_.clear();
    if (features.empty()) {
        return;
    }
    std::vector<double> held_out;
    fit_ = fit_ridge(features, feature_count, left, held_out);
    constexpr double enough = 0.5;  // there a line does
    constexpr double better = 0.1;
    if (fit_.r2 < enough) {
        local_.build(features, feature_count, kinds, left, fit_.used > 0 ? fit_.r2 + better : 0,
                     held_out);
    }
    if (!regressed()) {
        return;
    }
    double smallest = samples_.max();
    for (const double s : left) {
        smallest = s > 0 ? std::min(smallest, s) : smallest;
    }
    constexpr double half = 0.5;
    least_ = half * smallest;
    small_ = half * samples_.mean();
    order_.resize(left.size());
    std::iota(order_.begin(), order_.end(), 0u);
    std::stable_sort(order_.begin(), order_.end(), [&held_out](std::uint32_t a, std::uint32_t b) {
        return held_out[a] < held_out[b];
    });
    for (const std::uint32_t i : order_) {
        predicted_.push_back(held_out[i]);
        actual_.push_back(left[i]);
    }
}

std::size_t remainder_table::side::count_near() const noexcept {
    constexpr std::size_t fewest = 20;
    constexpr std::size_t enough = 64;
    return std::min(predicted_.size(), std::clamp(predicted_.size() / 2, fewest, enough));
}

double remainder_table::side::predict(const feature_row& row) const noexcept {
    return std::max(local_.used() ? local_.predict(row) : fit_.predict(row), least_);
}

std::size_t remainder_table::side::first_near(double predicted) const noexcept {
    // The window of that many in which the farthest is nearest.
    const std::size_t count = count_near();
    std::size_t low = 0;
    std::size_t high = predicted_.size() - count;
    while (low < high) {
        const std::size_t middle = low + (high - low) / 2;
        if (predicted - predicted_[middle] > predicted_[middle + count] - predicted) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

void remainder_table::side::near(const feature_row& row, std::vector<double>& scratch,
                                 sample_set& out) const {
    const double predicted = predict(row);
    const std::size_t first = first_near(predicted);
    scratch.clear();
    for (std::size_t i = first; i < first + count_near(); ++i) {
        // What this run would have been, were it of the size that is predicted.
        const double as_part = actual_[i] * predicted / predicted_[i];
        const double as_seconds = actual_[i] + predicted - predicted_[i];
        constexpr double half = 0.5;
        scratch.push_back(predicted_[i] >= small_
                              ? as_part
                              : std::max(as_seconds, half * std::min(predicted, actual_[i])));
    }
    std::sort(scratch.begin(), scratch.end());
    out.assign_sorted(scratch);
}

std::span<const std::uint32_t> remainder_table::side::near(const feature_row& row) const noexcept {
    const double predicted = predict(row);
    return std::span(order_).subspan(first_near(predicted), count_near());
}

void remainder_table::build(const run_window& runs, std::span<const double> features,
                            std::span<const std::uint32_t> kinds) {
    mark = runs.mark();
    const std::uint64_t first = mark.added - runs.size();
    std::vector<double> service_left;
    std::vector<double> path_left;
    for (const run_place& p : places) {
        const kept_run& run = runs[p.run - first];
        service_left.push_back(run.service_left[p.visit]);
        path_left.push_back(run.path_left[p.visit]);
    }
    service.build(service_left, features, kinds);
    path.build(path_left, features, kinds);
}

}  // namespace sluice::demand::detail
