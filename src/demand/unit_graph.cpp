// SPDX-License-Identifier: Apache-2.0
#include "unit_graph.hpp"

#include <algorithm>

namespace sluice::demand::detail {
namespace {

void count(std::vector<std::vector<next_unit>>& by_visit, std::uint32_t visit, unit_id next) {
    if (by_visit.size() < visit) {
        by_visit.resize(visit);
    }
    for (next_unit& n : by_visit[visit - 1]) {
        if (n.unit == next) {
            n.probability += 1;
            return;
        }
    }
    by_visit[visit - 1].push_back({next, 1});
}

void make_probabilities(std::vector<next_unit>& counted) {
    double sum = 0;
    for (const next_unit& n : counted) {
        sum += n.probability;
    }
    for (next_unit& n : counted) {
        n.probability /= sum;
    }
    std::stable_sort(counted.begin(), counted.end(), [](const next_unit& a, const next_unit& b) {
        return a.probability > b.probability;
    });
}

}  // namespace

void unit_graph::refresh(const run_window& runs, std::span<const unit_facts> units) {
    if (nodes_.size() == units.size() + 1 && !runs.moved_since(mark_)) {
        return;
    }
    mark_ = runs.mark();
    nodes_.assign(units.size() + 1, {});
    std::vector<std::vector<double>> seconds(units.size());
    std::vector<std::uint32_t> visits(units.size());
    for (std::size_t r = 0; r < runs.size(); ++r) {
        const kept_run& run = runs[r];
        std::fill(visits.begin(), visits.end(), 0);
        count(nodes_[0].next, 1, run.visits.front().unit);
        for (std::size_t i = 0; i < run.size(); ++i) {
            const unit_id unit = run.visits[i].unit;
            const unit_id next = i + 1 < run.size() ? run.visits[i + 1].unit : no_unit;
            count(nodes_[unit + 1].next, ++visits[unit], next);
            seconds[unit].push_back(path_seconds(run.visits[i], runs.rates()));
        }
    }
    for (std::size_t u = 0; u < nodes_.size(); ++u) {
        for (std::vector<next_unit>& n : nodes_[u].next) {
            make_probabilities(n);
        }
        if (u > 0) {
            nodes_[u].duration.assign(seconds[u - 1]);
        }
    }
}

std::span<const next_unit> unit_graph::next(unit_id unit, std::uint32_t visit) const {
    const node* n = find(unit);
    if (n == nullptr || n->next.empty()) {
        return {};
    }
    return n->next[std::clamp<std::size_t>(visit, 1, n->next.size()) - 1];
}

const sample_set& unit_graph::duration(unit_id unit) const noexcept {
    const node* n = unit == no_unit ? nullptr : find(unit);
    return n == nullptr ? none_ : n->duration;
}

}  // namespace sluice::demand::detail
