// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "../parallel.hpp"
#include "measures.hpp"
#include "summary.hpp"
#include "sweep.hpp"

namespace sluice::experiment {
namespace {

// A run is written with all its settings but how many splits it is one of.
bool is_key(const app_option& option) {
    return option.name != "splits" && option.name != "split-seed";
}

struct planned {
    app_options options;
    std::uint64_t split = 0;
};

absl::StatusOr<std::vector<planned>> plan(const app_sweep& sweep, const std::string& runs) {
    std::vector<planned> out;
    std::map<std::string, std::uint64_t> known;  // splits
    for (const app_sweep::figure& f : sweep.figures) {
        for (const app_sweep::part& panel : f.panels) {
            for (const app_sweep::part& row : f.rows) {
                for (const app_sweep::column& column : f.columns) {
                    if (column.measure.empty()) {
                        continue;
                    }
                    auto options = options_of(sweep, f, panel, row, column);
                    SLUICE_RETURN_IF_ERROR(
                        annotate(options.status(), fmt::format("{}, {}", f.name, row.label)));
                    options->runs = runs;
                    std::uint64_t& splits = known[key_of_options(*options)];
                    for (; splits < options->splits; ++splits) {
                        out.push_back({*options, options->split_seed + splits});
                    }
                }
            }
        }
    }
    return out;
}

// Seven digits: what is read is what is written, on every machine.
double as_written(double value) {
    if (!std::isfinite(value)) {
        return std::numeric_limits<double>::quiet_NaN();
    }
    double out = 0;
    const std::string text = fmt::format("{:.7g}", value);
    std::from_chars(text.data(), text.data() + text.size(), out);
    return out;
}

app_sweep_row row_of(const app_options& options, const app_run& run) {
    app_sweep_row out;
    out.key = key_of_options(options);
    out.split = run.seed;
    for (const app_measure& m : all_app_measures()) {
        out.values.push_back(as_written(m.of(run)));
    }
    for (const app_run::task& t : run.tasks) {
        if (!out.by_application.contains(t.application)) {
            out.by_application[t.application] = as_written(mean_completion_of(run, t.application));
        }
    }
    return out;
}

bool same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

std::vector<std::string_view> fields_of(std::string_view line) {
    std::vector<std::string_view> out;
    std::size_t begin = 0;
    bool inside = false;
    for (std::size_t i = 0; i <= line.size(); ++i) {
        if (i == line.size() || (line[i] == ',' && !inside)) {
            out.push_back(line.substr(begin, i - begin));
            begin = i + 1;
        } else if (line[i] == '"') {
            inside = !inside;
        }
    }
    return out;
}

std::string names() {
    std::string out = "split";
    for (const app_option& o : all_app_options()) {
        if (is_key(o)) {
            out += fmt::format(",{}", o.name);
        }
    }
    for (const app_measure& m : all_app_measures()) {
        out += fmt::format(",{}", m.name);
    }
    return out + ",by_application";
}

// Where a table has what. It may be from before some options, which are as usual then, and some
// measures, which it has none of.
struct csv_layout {
    std::size_t columns = 0;
    std::vector<std::optional<std::size_t>> options;  // of those that are keys
    std::vector<std::optional<std::size_t>> measures;
};

std::optional<csv_layout> layout_of(std::string_view line) {
    const std::vector<std::string_view> names_there = fields_of(line);
    csv_layout out;
    out.columns = names_there.size();
    std::size_t met = 2;
    const auto find = [&](std::string_view name) -> std::optional<std::size_t> {
        const auto it = std::find(names_there.begin(), names_there.end(), name);
        if (it == names_there.end()) {
            return std::nullopt;
        }
        ++met;
        return static_cast<std::size_t>(it - names_there.begin());
    };
    for (const app_option& o : all_app_options()) {
        if (is_key(o)) {
            out.options.push_back(find(o.name));
        }
    }
    for (const app_measure& m : all_app_measures()) {
        out.measures.push_back(find(m.name));
    }
    const bool ours = met == out.columns && names_there.front() == "split" &&
                      names_there.back() == "by_application";
    return ours ? std::optional(out) : std::nullopt;
}

bool read_number(std::string_view field, auto& value) {
    const char* const end = field.data() + field.size();
    const auto [stop, error] = std::from_chars(field.data(), end, value);
    return error == std::errc() && stop == end;
}

bool read_row(const csv_layout& layout, const std::vector<std::string_view>& fields,
              app_sweep_row& row) {
    const app_options usual;
    std::size_t number = 0;
    for (const app_option& o : all_app_options()) {
        if (is_key(o)) {
            const std::optional<std::size_t> at = layout.options[number];
            row.key += fmt::format("{}{}", number == 0 ? "" : ",",
                                   at ? std::string(fields[*at]) : o.get(usual));
            ++number;
        }
    }
    bool good = read_number(fields[0], row.split);
    for (const std::optional<std::size_t> at : layout.measures) {
        double value = std::numeric_limits<double>::quiet_NaN();
        good = good && (!at || fields[*at].empty() || read_number(fields[*at], value));
        row.values.push_back(value);
    }
    std::string_view by = fields.back();
    while (good && !by.empty()) {
        const std::size_t blank = std::min(by.find(' '), by.size());
        const std::string_view one = by.substr(0, blank);
        by.remove_prefix(std::min(blank + 1, by.size()));
        const std::size_t colon = std::min(one.find(':'), one.size() - 1);
        good = read_number(one.substr(colon + 1),
                           row.by_application[std::string(one.substr(0, colon))]);
    }
    return good;
}

}  // namespace

std::string key_of_options(const app_options& options) {
    std::string out;
    for (const app_option& o : all_app_options()) {
        if (is_key(o)) {
            const std::string text = o.get(options);
            const std::string_view quote = text.find(',') != std::string::npos ? "\"" : "";
            out += fmt::format("{}{}{}{}", out.empty() ? "" : ",", quote, text, quote);
        }
    }
    return out;
}

absl::StatusOr<app_sweep_results> run_app_sweep(const app_sweep& sweep, const std::string& runs,
                                                unsigned jobs,
                                                const std::function<void(std::size_t)>& begin,
                                                const std::function<void()>& step) {
    const auto planned_runs = plan(sweep, runs);
    SLUICE_RETURN_IF_ERROR(planned_runs.status());
    if (begin) {
        begin(planned_runs->size());
    }
    app_input_cache inputs;
    std::vector<app_sweep_row> rows(planned_runs->size());
    SLUICE_RETURN_IF_ERROR(in_parallel(jobs, rows.size(), step, [&](std::size_t i) {
        const planned& p = (*planned_runs)[i];
        const auto in = inputs.get(p.options);
        SLUICE_RETURN_IF_ERROR(in.status());
        const auto run = run_split(p.options, p.split, **in);
        SLUICE_RETURN_IF_ERROR(annotate(run.status(), key_of_options(p.options)));
        rows[i] = row_of(p.options, *run);
        return absl::OkStatus();
    }));
    app_sweep_results out;
    for (app_sweep_row& r : rows) {
        out[r.key].push_back(std::move(r));
    }
    return out;
}

std::string app_sweep_csv(const app_sweep_results& results) {
    std::string out = names() + '\n';
    for (const auto& [key, rows] : results) {
        for (const app_sweep_row& r : rows) {
            out += fmt::format("{},{}", r.split, key);
            for (const double v : r.values) {
                out += std::isnan(v) ? std::string(",") : fmt::format(",{:.7g}", v);
            }
            std::string by;
            for (const auto& [application, act] : r.by_application) {
                by += fmt::format("{}{}:{:.7g}", by.empty() ? "" : " ", application, act);
            }
            out += ',' + by + '\n';
        }
    }
    return out;
}

absl::StatusOr<app_sweep_results> read_app_sweep_csv(std::string_view text) {
    std::optional<csv_layout> layout;
    app_sweep_results out;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        const auto bad = [number](std::string_view what) {
            return absl::InvalidArgumentError(fmt::format("line {}: {}", number, what));
        };
        if (!layout) {
            layout = layout_of(line);
            if (!layout) {
                return bad("other columns than a sweep writes");
            }
            continue;
        }
        const std::vector<std::string_view> fields = fields_of(line);
        if (fields.size() != layout->columns) {
            return bad(fmt::format("{} columns in place of {}", fields.size(), layout->columns));
        }
        app_sweep_row row;
        if (!read_row(*layout, fields, row)) {
            return bad("something is no number");
        }
        std::vector<app_sweep_row>& rows = out[row.key];
        if (std::any_of(rows.begin(), rows.end(),
                        [&](const app_sweep_row& r) { return r.split == row.split; })) {
            return bad("a run that another line has too");
        }
        rows.push_back(std::move(row));
    }
    return out;
}

absl::Status check_app_sweep(const app_sweep& sweep, const std::string& runs,
                             const app_sweep_results& results, std::size_t lines, unsigned jobs) {
    const auto planned_runs = plan(sweep, runs);
    SLUICE_RETURN_IF_ERROR(planned_runs.status());
    app_input_cache inputs;
    const std::size_t all = planned_runs->size();
    const std::size_t count = std::min(lines, all);
    return in_parallel(jobs, count, {}, [&](std::size_t i) {
        const planned& p = (*planned_runs)[i * all / count];
        const std::string key = key_of_options(p.options);
        const auto it = results.find(key);
        const app_sweep_row* was = nullptr;
        for (std::size_t r = 0; it != results.end() && r < it->second.size(); ++r) {
            was = it->second[r].split == p.split ? &it->second[r] : was;
        }
        if (was == nullptr) {
            return absl::FailedPreconditionError(
                fmt::format("split {} of {} is not there", p.split, key));
        }
        const auto in = inputs.get(p.options);
        SLUICE_RETURN_IF_ERROR(in.status());
        const auto run = run_split(p.options, p.split, **in);
        SLUICE_RETURN_IF_ERROR(annotate(run.status(), key));
        const app_sweep_row is = row_of(p.options, *run);
        for (std::size_t m = 0; m < is.values.size(); ++m) {
            if (!same(is.values[m], was->values[m])) {
                return absl::FailedPreconditionError(
                    fmt::format("split {} of {}: {} was {} and is {}", p.split, key,
                                all_app_measures()[m].name, was->values[m], is.values[m]));
            }
        }
        return is.by_application == was->by_application
                   ? absl::OkStatus()
                   : absl::FailedPreconditionError(fmt::format(
                         "split {} of {}: completion times of applications differ", p.split, key));
    });
}

}  // namespace sluice::experiment
