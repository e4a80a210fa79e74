// SPDX-License-Identifier: Apache-2.0
// Distributions, and how they go together, from runs.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <utility>

#include "profile.hpp"

namespace sluice::demand::detail {
namespace {

constexpr std::size_t most_own_visits = 8;  // with a profile of their own
constexpr std::size_t fewest_runs = 10;     // of a visit with a profile of its own
constexpr std::size_t most_values = 21;     // of a table
constexpr std::size_t fewest_values = 5;
constexpr std::size_t values_stand_for = 3;  // samples each, so that a table is no copy of them
constexpr double absent = std::numeric_limits<double>::quiet_NaN();

/// What each run has of each visit profile: rows of its visits there.
struct seen_visits {
    unit_id unit = 0;
    std::uint32_t visit = 0;
    std::vector<std::vector<quantity_row>> by_run;
};

quantile_table table_of(std::vector<double> values, quantity q) {
    std::sort(values.begin(), values.end());
    const double first = values.front();
    if (values.back() - first <= 1e-9 * std::max(1.0, std::abs(first))) {
        return {first == usual(q) ? std::vector<double>() : std::vector<double>{first}};
    }
    const std::size_t n = std::clamp(values.size() / values_stand_for, fewest_values, most_values);
    quantile_table out;
    const quantile_table all{std::move(values)};
    for (std::size_t i = 0; i < n; ++i) {
        out.values.push_back(all.at(static_cast<double>(i) / static_cast<double>(n - 1)));
    }
    return out;
}

/// The part of the variance that lies between runs, not within them (intraclass correlation).
double repeat_of(const seen_visits& seen, std::size_t q) {
    double runs = 0;
    double count = 0;
    double sum = 0;
    double squared_sizes = 0;
    for (const auto& rows : seen.by_run) {
        for (const quantity_row& row : rows) {
            sum += row[q];
        }
        runs += rows.empty() ? 0 : 1;
        count += static_cast<double>(rows.size());
        squared_sizes += static_cast<double>(rows.size() * rows.size());
    }
    if (runs < 2 || count <= runs) {
        return 0;
    }
    const double mean = sum / count;
    double between = 0;
    double within = 0;
    for (const auto& rows : seen.by_run) {
        double own = 0;
        for (const quantity_row& row : rows) {
            own += row[q] / static_cast<double>(rows.size());
        }
        for (const quantity_row& row : rows) {
            between += (own - mean) * (own - mean);
            within += (row[q] - own) * (row[q] - own);
        }
    }
    between /= runs - 1;
    within /= count - runs;
    const double size = (count - squared_sizes / count) / (runs - 1);
    const double both = between + (size - 1) * within;
    return both > 0 ? std::clamp((between - within) / both, 0.0, 1.0) : 0;
}

/// Ranks of those that are there, the mean of equal ones.
std::vector<double> ranks_of(const std::vector<double>& values) {
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(),
              [&values](std::size_t a, std::size_t b) { return values[a] < values[b]; });
    std::vector<double> out(values.size());
    for (std::size_t i = 0; i < order.size();) {
        std::size_t end = i + 1;
        while (end < order.size() && values[order[end]] == values[order[i]]) {
            ++end;
        }
        for (std::size_t k = i; k < end; ++k) {
            out[order[k]] = static_cast<double>(i + end - 1) / 2;
        }
        i = end;
    }
    return out;
}

/// Spearman's, over the runs that have both; 0 if they are few or it is no more than chance gives.
double rank_correlation(const std::vector<double>& a, const std::vector<double>& b) {
    std::vector<double> x;
    std::vector<double> y;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (!std::isnan(a[i]) && !std::isnan(b[i])) {
            x.push_back(a[i]);
            y.push_back(b[i]);
        }
    }
    constexpr std::size_t fewest = 8;
    if (x.size() < fewest) {
        return 0;
    }
    x = ranks_of(x);
    y = ranks_of(y);
    const auto n = static_cast<double>(x.size());
    const double mean = (n - 1) / 2;
    double xx = 0;
    double yy = 0;
    double xy = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        xx += (x[i] - mean) * (x[i] - mean);
        yy += (y[i] - mean) * (y[i] - mean);
        xy += (x[i] - mean) * (y[i] - mean);
    }
    const double r = xx > 0 && yy > 0 ? xy / std::sqrt(xx * yy) : 0;
    return std::abs(r) >= 2 / std::sqrt(n) ? r : 0;
}

/// The distinct ways of runs, ascending by mean service, and which one each run went.
std::vector<way_profile> ways_of(const run_window& runs, std::vector<double>& way_of_run) {
    struct way {
        std::vector<unit_id> units;
        double runs = 0;
        double service = 0;
    };
    std::map<way_hash, way> found;
    for (std::size_t r = 0; r < runs.size(); ++r) {
        way& w = found[runs[r].ways.back()];
        if (w.runs == 0) {
            for (const unit_visit& v : runs[r].visits) {
                w.units.push_back(v.unit);
            }
        }
        w.runs += 1;
        w.service += runs[r].service_left.front();
    }
    std::vector<std::pair<double, way_hash>> order;
    for (const auto& [hash, w] : found) {
        order.emplace_back(w.service / w.runs, hash);
    }
    std::sort(order.begin(), order.end());
    std::vector<way_profile> out;
    std::map<way_hash, double> number;
    for (const auto& [service, hash] : order) {
        number[hash] = static_cast<double>(out.size());
        way& w = found[hash];
        out.push_back({w.runs / static_cast<double>(runs.size()), std::move(w.units)});
    }
    for (std::size_t r = 0; r < runs.size(); ++r) {
        way_of_run.push_back(number[runs[r].ways.back()]);
    }
    return out;
}

/// How many visits of a unit have a profile of their own, the last with all that follow.
std::vector<std::size_t> own_visits(const run_window& runs, std::size_t units) {
    std::vector<std::vector<std::size_t>> had(units);  // runs with at least so many visits
    for (std::size_t r = 0; r < runs.size(); ++r) {
        std::vector<std::size_t> visits(units);
        for (const unit_visit& v : runs[r].visits) {
            const std::size_t n = ++visits[v.unit];
            had[v.unit].resize(std::max(had[v.unit].size(), n));
            ++had[v.unit][n - 1];
        }
    }
    std::vector<std::size_t> out(units);
    for (std::size_t u = 0; u < units; ++u) {
        const std::size_t most = std::min(had[u].size(), most_own_visits);
        out[u] = std::min<std::size_t>(most, 1);
        while (out[u] < most && had[u][out[u]] >= fewest_runs) {
            ++out[u];
        }
    }
    return out;
}

/// Keeps the columns that go with others, at most as many as a profile may have.
void correlate(profile& p, const std::vector<profile_column>& columns,
               const std::vector<std::vector<double>>& values) {
    const std::size_t n = values.size();  // the way, then the columns
    std::vector<double> all(n * n);
    std::vector<std::pair<double, std::size_t>> strongest;
    for (std::size_t i = 0; i < n; ++i) {
        double strength = 0;
        for (std::size_t j = 0; j < n; ++j) {
            all[i * n + j] = j < i    ? all[j * n + i]
                             : i == j ? 1
                                      : rank_correlation(values[i], values[j]);
            strength += i == j ? 0 : all[i * n + j] * all[i * n + j];
        }
        if (i > 0 && strength > 0) {
            strongest.emplace_back(-strength, i);
        }
    }
    std::sort(strongest.begin(), strongest.end());
    strongest.resize(std::min(strongest.size(), profile::max_columns));
    std::vector<std::size_t> kept{0};
    for (const auto& [strength, i] : strongest) {
        kept.push_back(i);
    }
    std::sort(kept.begin(), kept.end());
    for (std::size_t i = 1; i < kept.size(); ++i) {
        p.columns.push_back(columns[kept[i] - 1]);
    }
    p.correlation.resize(kept.size() * kept.size());
    for (std::size_t i = 0; i < kept.size(); ++i) {
        for (std::size_t j = 0; j < kept.size(); ++j) {
            p.correlation[i * kept.size() + j] = all[kept[i] * n + kept[j]];
        }
    }
}

}  // namespace

profile profile_of(const std::string& application, std::span<const unit_facts> units,
                   const run_window& runs) {
    profile p;
    p.application = application;
    p.runs = runs.size();
    std::vector<std::vector<double>> values(1);
    p.ways = ways_of(runs, values.front());

    const std::vector<std::size_t> own = own_visits(runs, units.size());
    std::vector<std::size_t> first(units.size());
    std::vector<seen_visits> seen;
    for (std::size_t u = 0; u < units.size(); ++u) {
        p.units.push_back({units[u], std::vector<visit_profile>(own[u])});
        first[u] = seen.size();
        for (std::size_t v = 0; v < own[u]; ++v) {
            seen.push_back({static_cast<unit_id>(u), static_cast<std::uint32_t>(v),
                            std::vector<std::vector<quantity_row>>(runs.size())});
        }
    }
    for (std::size_t r = 0; r < runs.size(); ++r) {
        std::vector<std::size_t> visits(units.size());
        for (const unit_visit& v : runs[r].visits) {
            const std::size_t number = std::min(visits[v.unit]++, own[v.unit] - 1);
            seen[first[v.unit] + number].by_run[r].push_back(quantities_of(v));
        }
    }

    std::vector<profile_column> columns;
    for (const seen_visits& s : seen) {
        visit_profile& made = p.units[s.unit].visits[s.visit];
        for (std::size_t q = 0; q < quantity_count; ++q) {
            std::vector<double> all;
            std::vector<double> by_run;
            for (const auto& rows : s.by_run) {
                double sum = 0;
                for (const quantity_row& row : rows) {
                    all.push_back(row[q]);
                    sum += row[q];
                }
                by_run.push_back(rows.empty() ? absent : sum / static_cast<double>(rows.size()));
            }
            const auto what = static_cast<quantity>(q);
            made.tables[q] = table_of(std::move(all), what);
            if (made.tables[q].values.size() > 1) {
                made.repeat[q] = repeat_of(s, q);
                columns.push_back({s.unit, s.visit, what});
                values.push_back(std::move(by_run));
            }
        }
    }
    correlate(p, columns, values);
    return p;
}

}  // namespace sluice::demand::detail
