// SPDX-License-Identifier: Apache-2.0
// Runs that have a profile's distributions, and go together as it says: a Gaussian copula.
#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <numeric>

#include "../workload/random.hpp"
#include "profile.hpp"
#include "symmetric_eigen.hpp"

namespace sluice::demand::detail {
namespace {

double normal_cdf(double z) noexcept { return std::erfc(-z / std::numbers::sqrt2) / 2; }

/// Makes of values what a sample without noise would be: equally spaced probabilities, in the order
/// of the values.
void spread_evenly(std::vector<double>& values, std::size_t column, std::size_t columns,
                   std::vector<std::size_t>& order) {
    const std::size_t n = values.size() / columns;
    order.resize(n);
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
        const double x = values[a * columns + column];
        const double y = values[b * columns + column];
        return x != y ? x < y : a < b;
    });
    for (std::size_t i = 0; i < n; ++i) {
        values[order[i] * columns + column] =
            (static_cast<double>(i) + 0.5) / static_cast<double>(n);
    }
}

/// Rows of normal numbers that go together as the ranks should.
std::vector<double> joint_normals(const profile& p, std::size_t count,
                                  workload::random_source& random) {
    const std::size_t n = p.variables();
    std::vector<double> joint(n * n);
    for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t j = 0; j < n; ++j) {
            // Pearson's r of normals whose ranks have this one.
            joint[i * n + j] =
                i == j ? 1 : 2 * std::sin(std::numbers::pi / 6 * p.correlation[i * n + j]);
        }
    }
    // Pairs are measured one by one, so that together they may contradict each other: what would be
    // a negative variance is left out.
    const symmetric_eigen eigen = eigen_of(joint, n);
    std::vector<double> root(n * n);
    for (std::size_t i = 0; i < n; ++i) {
        double variance = 0;
        for (std::size_t k = 0; k < n; ++k) {
            root[i * n + k] = eigen.vectors[i * n + k] * std::sqrt(std::max(eigen.values[k], 0.0));
            variance += root[i * n + k] * root[i * n + k];
        }
        for (std::size_t k = 0; k < n; ++k) {
            root[i * n + k] /= std::sqrt(std::max(variance, 1e-12));
        }
    }
    std::vector<double> out(count * n);
    std::vector<double> independent(n);
    for (std::size_t r = 0; r < count; ++r) {
        for (double& z : independent) {
            z = random.normal();
        }
        for (std::size_t i = 0; i < n; ++i) {
            for (std::size_t k = 0; k < n; ++k) {
                out[r * n + i] += root[i * n + k] * independent[k];
            }
        }
    }
    return out;
}

}  // namespace

std::vector<std::vector<unit_visit>> draw_runs(const profile& p, std::size_t count,
                                               std::uint64_t seed) {
    workload::random_source random(seed);
    const std::size_t n = p.variables();
    const std::vector<double> normals = joint_normals(p, count, random);
    std::vector<double> uniform = normals;
    std::vector<std::size_t> order;
    for (std::size_t c = 0; c < n; ++c) {
        spread_evenly(uniform, c, n, order);
    }
    // The column of each table; 0: none.
    std::vector<std::vector<std::array<std::size_t, quantity_count>>> column_of(p.units.size());
    for (std::size_t u = 0; u < p.units.size(); ++u) {
        column_of[u].resize(p.units[u].visits.size());
    }
    for (std::size_t c = 0; c < p.columns.size(); ++c) {
        const profile_column& column = p.columns[c];
        column_of[column.unit][column.visit][static_cast<std::size_t>(column.what)] = c + 1;
    }
    std::vector<double> up_to;
    for (const way_profile& w : p.ways) {
        up_to.push_back((up_to.empty() ? 0 : up_to.back()) + w.share);
    }

    std::vector<std::vector<unit_visit>> out(count);
    std::vector<std::size_t> visits;
    for (std::size_t r = 0; r < count; ++r) {
        const double at = uniform[r * n] * up_to.back();
        const auto way =
            std::min(static_cast<std::size_t>(std::upper_bound(up_to.begin(), up_to.end(), at) -
                                              up_to.begin()),
                     p.ways.size() - 1);
        visits.assign(p.units.size(), 0);
        for (const unit_id unit : p.ways[way].units) {
            const unit_profile& u = p.units[unit];
            const std::size_t number = visits[unit]++;
            const std::size_t own = std::min(number, u.visits.size() - 1);
            const visit_profile& v = u.visits[own];
            quantity_row row{};
            for (std::size_t q = 0; q < quantity_count; ++q) {
                if (v.tables[q].values.size() < 2) {
                    row[q] = v.tables[q].values.empty() ? usual(static_cast<quantity>(q))
                                                        : v.tables[q].values.front();
                    continue;
                }
                const std::size_t c = column_of[unit][own][q];
                double probability = c > 0 ? uniform[r * n + c] : random.unit();
                // The last profile stands for several visits that have only a part in common.
                if (c > 0 && own + 1 == u.visits.size() && v.repeat[q] < 1 &&
                    visits[unit] > u.visits.size()) {
                    probability = normal_cdf(std::sqrt(v.repeat[q]) * normals[r * n + c] +
                                             std::sqrt(1 - v.repeat[q]) * random.normal());
                }
                row[q] = v.tables[q].at(probability);
            }
            out[r].push_back(visit_of(row));
            out[r].back().unit = unit;
        }
    }
    return out;
}

}  // namespace sluice::demand::detail
