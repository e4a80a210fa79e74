// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "../summary.hpp"
#include "../sweep_text.hpp"
#include "measures.hpp"
#include "sweep.hpp"

namespace sluice::experiment {
namespace {

/// A cell's number for each split, by the split's seed.
using by_split = std::map<std::uint64_t, double>;

absl::StatusOr<by_split> values_of(const app_sweep_results& results, const app_options& options,
                                   const app_sweep::column& column) {
    const std::string key = key_of_options(options);
    const auto it = results.find(key);
    if (it == results.end()) {
        return absl::NotFoundError(fmt::format("{} is not there", key));
    }
    const auto place =
        static_cast<std::size_t>(find_app_measure(column.measure) - all_app_measures().data());
    by_split out;
    for (const app_sweep_row& r : it->second) {
        if (r.split < options.split_seed || r.split >= options.split_seed + options.splits) {
            continue;
        }
        double value = r.values[place];
        if (!column.application.empty()) {
            const auto of = r.by_application.find(column.application);
            value = of == r.by_application.end() ? std::numeric_limits<double>::quiet_NaN()
                                                 : of->second;
        }
        if (!std::isnan(value)) {
            out[r.split] = value;
        }
    }
    if (out.empty()) {
        return absl::NotFoundError(fmt::format("{}: no split has a number", key));
    }
    return out;
}

estimate estimate_over(const by_split& values) {
    std::vector<double> all;
    for (const auto& [split, value] : values) {
        all.push_back(value);
    }
    return estimate_of(all);
}

/// The change of the mean, and how far it may be off, by the splits that both have.
estimate change_of(const by_split& values, const by_split& base) {
    double mean = 0;
    double base_mean = 0;
    double n = 0;
    for (const auto& [split, value] : values) {
        if (const auto it = base.find(split); it != base.end()) {
            mean += value;
            base_mean += it->second;
            n += 1;
        }
    }
    const double ratio = mean / base_mean;
    std::vector<double> offs;  // of the ratio, split by split
    for (const auto& [split, value] : values) {
        if (const auto it = base.find(split); it != base.end()) {
            offs.push_back((value - ratio * it->second) / (base_mean / n));
        }
    }
    return {ratio - 1, estimate_of(offs).ci95};
}

std::string cell_text(const estimate& e, std::string_view unit) {
    const double of = unit == "%" ? 0.01 : unit == "ms" ? 1e-3 : unit == "min" ? 60 : 1;
    const int digits = unit == "min" ? 2 : 1;
    std::string out = fmt::format("{:.{}f}", e.mean / of, digits);
    if (e.ci95) {
        out += fmt::format(" ±{:.{}f}", *e.ci95 / of, digits);
    }
    return out;
}

std::string change_text(const estimate& e) {
    std::string out = fmt::format("{:+.1f}", e.mean * 100);
    if (e.ci95) {
        out += fmt::format(" ±{:.1f}", *e.ci95 * 100);
    }
    return out;
}

absl::StatusOr<std::string> cell(const app_sweep& sweep, const app_sweep::figure& f,
                                 const app_sweep::part& panel, const app_sweep::part& row,
                                 const app_sweep::column& column,
                                 const app_sweep_results& results) {
    const bool compared = !column.against.empty();
    if (compared && row.label == column.against) {
        return "-";
    }
    if (column.measure.empty()) {
        const auto paper = column.paper.find({panel.label, row.label});
        const auto base = column.paper.find({panel.label, column.against});
        if (paper == column.paper.end() || (compared && base == column.paper.end())) {
            return "";
        }
        if (compared) {
            return fmt::format("{:+.1f}", (paper->second / base->second - 1) * 100);
        }
        return fmt::format("{:g}", paper->second);
    }
    const auto read = [&](const app_sweep::part& of) -> absl::StatusOr<by_split> {
        const auto options = options_of(sweep, f, panel, of, column);
        SLUICE_RETURN_IF_ERROR(options.status());
        return values_of(results, *options, column);
    };
    const auto values = read(row);
    SLUICE_RETURN_IF_ERROR(values.status());
    if (!compared) {
        return cell_text(estimate_over(*values), column.unit);
    }
    const auto base_row = std::find_if(f.rows.begin(), f.rows.end(),
                                       [&](const auto& r) { return r.label == column.against; });
    const auto base = read(*base_row);
    SLUICE_RETURN_IF_ERROR(base.status());
    return change_text(change_of(*values, *base));
}

}  // namespace

absl::StatusOr<std::string> app_sweep_markdown(const app_sweep& sweep,
                                               const app_sweep_results& results) {
    std::string out;
    for (const app_sweep::figure& f : sweep.figures) {
        out += fmt::format("{}## {}\n\n{}\n", out.empty() ? "" : "\n", f.title, f.caption);
        std::size_t number = 0;
        for (const app_sweep::part& panel : f.panels) {
            page_table table;
            table.groups.push_back({"", {f.rows_are}});
            for (const app_sweep::column& c : f.columns) {
                const std::string unit = c.against.empty() ? c.unit : "%";
                table.groups.front().columns.push_back(fmt::format("{}, {}", c.what.label, unit));
            }
            for (const app_sweep::part& row : f.rows) {
                std::vector<page_cell> cells{{row.label}};
                for (const app_sweep::column& c : f.columns) {
                    auto text = cell(sweep, f, panel, row, c, results);
                    SLUICE_RETURN_IF_ERROR(annotate(text.status(), f.name));
                    cells.push_back({*std::move(text)});
                }
                table.rows.push_back(std::move(cells));
            }
            out += fmt::format("\n{}<!-- table {} {} -->\n{}",
                               panel.label.empty() ? "" : panel.label + "\n\n", f.name, ++number,
                               markdown_table(table));
        }
    }
    return out;
}

}  // namespace sluice::experiment
