// SPDX-License-Identifier: Apache-2.0
#include "remainders.hpp"

#include <algorithm>

namespace sluice::demand::detail {
namespace {

way_hash way_of(const observation& seen) noexcept {
    way_hash way = way_begin;
    for (const unit_visit& v : seen.ended) {
        way = way_on(way, v.unit);
    }
    return way;
}

/// Whether a run went the observed way.
bool agrees(const kept_run& run, const observation& seen, way_hash way) noexcept {
    const std::size_t at = seen.ended.size();
    return at <= run.size() && run.ways[at] == way &&
           (!seen.current || (at < run.size() && run.visits[at].unit == seen.current->unit));
}

}  // namespace

void remainders::condition(const run_window& runs, const sample_set& whole_service,
                           const sample_set& whole_path, const observation& seen,
                           remaining_demand& out) {
    const way_hash way = way_of(seen);
    const std::size_t at = seen.ended.size();
    service_.clear();
    path_.clear();
    for (std::size_t r = 0; r < runs.size(); ++r) {
        if (agrees(runs[r], seen, way)) {
            service_.push_back(runs[r].service_left[at]);
            path_.push_back(runs[r].path_left[at]);
        }
    }
    out.basis = demand_basis::path;
    if (service_.empty()) {
        out.basis = demand_basis::whole;
        double service = 0;
        double path = 0;
        for (const unit_visit& v : seen.ended) {
            service += service_seconds(v, runs.rates());
            path += path_seconds(v, runs.rates());
        }
        for (const double s : whole_service.values()) {
            if (s > service) {
                service_.push_back(s - service);
            }
        }
        for (const double s : whole_path.values()) {
            if (s > path) {
                path_.push_back(s - path);
            }
        }
        if (service_.empty()) {
            service_.push_back(sample_set::tail(service));
        }
        if (path_.empty()) {
            path_.push_back(sample_set::tail(path));
        }
    }
    out.conditioned = out.basis <= demand_basis::path;
    out.service.assign(service_);
    out.path.assign(path_);
}

void remainders::runs_ahead(const run_window& runs, const observation& seen,
                            std::vector<run_ahead>& out) {
    const way_hash way = way_of(seen);
    const std::size_t at = seen.ended.size();
    out.clear();
    for (std::size_t r = 0; r < runs.size(); ++r) {
        if (agrees(runs[r], seen, way)) {
            out.push_back({std::span(runs[r].visits).subspan(at), 0});
        }
    }
    for (run_ahead& a : out) {
        a.weight = 1 / static_cast<double>(out.size());
    }
}

}  // namespace sluice::demand::detail
