// SPDX-License-Identifier: Apache-2.0
#include "run_window.hpp"

#include <utility>

namespace sluice::demand::detail {

void run_window::add(std::span<const unit_visit> visits) {
    kept_run run;
    if (runs_.size() == capacity_) {
        run = std::move(runs_.front());  // its memory
        runs_.pop_front();
    }
    run.visits.assign(visits.begin(), visits.end());
    run.ways.assign(1, way_begin);
    for (const unit_visit& v : visits) {
        run.ways.push_back(way_on(run.ways.back(), v.unit));
    }
    cost(run);
    runs_.push_back(std::move(run));
    ++now_.added;
}

void run_window::set_rates(const service_rates& rates) {
    rates_ = rates;
    for (kept_run& run : runs_) {
        cost(run);
    }
    ++now_.rates;
}

void run_window::cost(kept_run& run) const {
    const std::size_t n = run.visits.size();
    run.service_left.resize(n + 1);
    run.path_left.resize(n + 1);
    run.service_left[n] = 0;
    run.path_left[n] = 0;
    for (std::size_t i = n; i-- > 0;) {
        run.service_left[i] = run.service_left[i + 1] + service_seconds(run.visits[i], rates_);
        run.path_left[i] = run.path_left[i + 1] + path_seconds(run.visits[i], rates_);
    }
}

}  // namespace sluice::demand::detail
