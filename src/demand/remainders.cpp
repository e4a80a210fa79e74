// SPDX-License-Identifier: Apache-2.0
#include "remainders.hpp"

#include <algorithm>
#include <functional>

namespace sluice::demand::detail {
namespace {

// Marks that tell keys of tables apart; like no_unit, no units.
constexpr unit_id in_unit_mark = no_unit - 1;
constexpr unit_id left_unit_mark = no_unit - 2;

/// As many runs have to agree for what they say to count.
std::size_t needed(const run_window& runs) noexcept {
    constexpr std::size_t enough = 5;
    return std::clamp<std::size_t>(runs.size() / 4, 1, enough);
}

way_hash way_of(const observation& seen) noexcept {
    way_hash way = way_begin;
    for (const unit_visit& v : seen.ended) {
        way = way_on(way, v.unit);
    }
    return way;
}

/// Where the unit is visited for the `visit`-th time, from 1; behind all visits if it is not.
std::size_t place_of(const kept_run& run, unit_id unit, std::size_t visit) noexcept {
    for (std::size_t i = 0; i < run.size(); ++i) {
        if (run.visits[i].unit == unit && --visit == 0) {
            return i;
        }
    }
    return run.size();
}

std::size_t visits_of(std::span<const unit_visit> visits, unit_id unit) noexcept {
    return static_cast<std::size_t>(std::count_if(
        visits.begin(), visits.end(), [unit](const unit_visit& v) { return v.unit == unit; }));
}

/// What is left of whole runs that are larger than what was had.
void cut(const sample_set& whole, double had, std::vector<double>& scratch, sample_set& out) {
    scratch.clear();
    for (const double s : whole.values()) {
        if (s > had) {
            scratch.push_back(s - had);
        }
    }
    if (scratch.empty()) {
        scratch.push_back(sample_set::tail(had));
    }
    out.assign_sorted(scratch);
}

}  // namespace

remainder_table& remainders::table_of(const run_window& runs, std::uint64_t key, bool& made) {
    auto it = tables_.find(key);
    made = it != tables_.end() && !runs.moved_since(it->second.mark);
    if (made) {
        return it->second;
    }
    if (it == tables_.end()) {
        if (tables_.size() == max_tables) {
            tables_.clear();
        }
        it = tables_.try_emplace(key).first;
    }
    it->second.places.clear();
    return it->second;
}

const remainder_table& remainders::on_way(const run_window& runs, const observation& seen) {
    const way_hash way = way_of(seen);
    // A unit that nobody knows is not the same as none.
    const unit_id unit = seen.current ? seen.current->unit : left_unit_mark;
    bool made = false;
    remainder_table& table = table_of(runs, way_on(way, unit), made);
    if (made) {
        return table;
    }
    const std::size_t at = seen.ended.size();
    const std::uint64_t first = runs.mark().added - runs.size();
    features_.clear();
    for (std::size_t r = 0; r < runs.size(); ++r) {
        const kept_run& run = runs[r];
        if (at > run.size() || run.ways[at] != way ||
            (seen.current && (at == run.size() || run.visits[at].unit != unit))) {
            continue;
        }
        std::optional<unit_visit> current;
        if (seen.current) {
            current = run.visits[at];
        }
        table.places.push_back({first + r, static_cast<std::uint32_t>(at)});
        const feature_row row = features_of(std::span(run.visits).first(at), current, runs.rates());
        features_.insert(features_.end(), row.begin(), row.end());
    }
    table.build(runs, features_, kind_features(at, seen.current.has_value()));
    return table;
}

const remainder_table& remainders::at_unit(const run_window& runs, unit_id unit, std::size_t visit,
                                           bool left) {
    bool made = false;
    remainder_table& table =
        table_of(runs,
                 way_on(way_on(way_on(way_begin, left ? left_unit_mark : in_unit_mark), unit),
                        static_cast<unit_id>(visit)),
                 made);
    if (made) {
        return table;
    }
    std::vector<std::size_t> visits;
    for (std::size_t r = 0; r < runs.size(); ++r) {
        visits.push_back(visits_of(runs[r].visits, unit));
    }
    if (const std::size_t n = needed(runs); n <= visits.size()) {
        const auto nth = visits.begin() + static_cast<std::ptrdiff_t>(n - 1);
        std::nth_element(visits.begin(), nth, visits.end(), std::greater<>());
        visit = std::min(visit, *nth);
    }
    const std::uint64_t first = runs.mark().added - runs.size();
    for (std::size_t r = 0; visit > 0 && r < runs.size(); ++r) {
        const std::size_t at = place_of(runs[r], unit, visit);
        if (at < runs[r].size()) {
            table.places.push_back({first + r, static_cast<std::uint32_t>(at + (left ? 1 : 0))});
        }
    }
    table.build(runs, {}, {});
    return table;
}

remainders::found_table remainders::find(const run_window& runs, const observation& seen) {
    if (seen.current && seen.current->unit >= left_unit_mark) {
        return {};  // nothing is known of it
    }
    const remainder_table& way = on_way(runs, seen);
    if (way.places.size() >= needed(runs)) {
        return {&way, way.service.regressed() ? demand_basis::similar : demand_basis::path};
    }
    const bool left = !seen.current.has_value();
    if (left && seen.ended.empty()) {
        return {};
    }
    const unit_id unit = left ? seen.ended.back().unit : seen.current->unit;
    if (unit >= left_unit_mark) {
        return {};
    }
    const std::size_t visit = visits_of(seen.ended, unit) + (left ? 0 : 1);
    const remainder_table& at = at_unit(runs, unit, visit, left);
    return at.places.size() >= needed(runs) ? found_table{&at, demand_basis::unit} : found_table{};
}

void remainders::condition(const run_window& runs, const sample_set& whole_service,
                           const sample_set& whole_path, const observation& seen,
                           remaining_demand& out) {
    const found_table found = find(runs, seen);
    out.basis = found.basis;
    out.conditioned = found.basis <= demand_basis::path;
    if (found.table == nullptr) {
        double service = 0;
        double path = 0;
        for (const unit_visit& v : seen.ended) {
            service += service_seconds(v, runs.rates());
            path += path_seconds(v, runs.rates());
        }
        cut(whole_service, service, scratch_, out.service);
        cut(whole_path, path, scratch_, out.path);
        return;
    }
    const remainder_table& table = *found.table;
    if (!table.service.regressed() && !table.path.regressed()) {
        out.service = table.service.samples();
        out.path = table.path.samples();
        return;
    }
    const feature_row row = features_of(seen.ended, seen.current, runs.rates());
    const auto take = [&](const remainder_table::side& side, sample_set& samples) {
        if (side.regressed()) {
            side.near(row, scratch_, samples);
        } else {
            samples = side.samples();
        }
    };
    take(table.service, out.service);
    take(table.path, out.path);
}

void remainders::runs_ahead(const run_window& runs, const observation& seen,
                            std::vector<run_ahead>& out) {
    out.clear();
    const found_table found = find(runs, seen);
    if (found.table == nullptr) {
        return;
    }
    const std::uint64_t first = runs.mark().added - runs.size();
    const auto take = [&](const run_place& place) {
        if (place.run >= first) {  // it is still there
            out.push_back({std::span(runs[place.run - first].visits).subspan(place.visit), 0});
        }
    };
    if (found.table->service.regressed()) {
        const feature_row row = features_of(seen.ended, seen.current, runs.rates());
        for (const std::uint32_t i : found.table->service.near(row)) {
            take(found.table->places[i]);
        }
    } else {
        for (const run_place& place : found.table->places) {
            take(place);
        }
    }
    for (run_ahead& a : out) {
        a.weight = 1 / static_cast<double>(out.size());
    }
}

double remainders::explained(const run_window& runs, const observation& seen) {
    const found_table found = find(runs, seen);
    return found.table != nullptr && found.table->service.regressed() ? found.table->service.r2()
                                                                      : 0;
}

}  // namespace sluice::demand::detail
