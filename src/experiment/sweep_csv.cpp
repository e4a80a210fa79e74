// SPDX-License-Identifier: Apache-2.0
#include "sweep_csv.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>
#include <vector>

#include <fmt/format.h>

namespace sluice::experiment {
namespace {

/// One per seed, or in columns of their own.
constexpr std::array<std::string_view, 4> not_columns{"seeds", "first-seed", "qps", "late-last"};

std::string quoted_field(std::string_view text) {
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) {
        return std::string(text);
    }
    std::string out = "\"";
    for (const char c : text) {
        out += c == '"' ? "\"\"" : std::string(1, c);
    }
    return out + '"';
}

/// As they stand there, in their quotes.
std::vector<std::string_view> fields_of(std::string_view line) {
    std::vector<std::string_view> out;
    bool inside = false;
    std::size_t begin = 0;
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

std::optional<double> number_of(std::string_view text) {
    double out = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(out)
                                                                    : std::nullopt;
}

bool is_column(const run_option& option) {
    return std::find(not_columns.begin(), not_columns.end(), option.name) == not_columns.end();
}

}  // namespace

std::optional<std::string> option_text(const run_options& o, std::string_view name) {
    const auto flag = [](bool on) { return std::string(on ? "on" : "off"); };
    if (name == "workload") {
        return o.workload;
    }
    if (name == "trace") {
        return o.trace;
    }
    if (name == "model") {
        return o.model;
    }
    if (name == "profile") {
        return o.profile;
    }
    if (name == "config") {
        return std::string(to_string(o.config));
    }
    if (name == "policy") {
        return o.policy_spec();
    }
    if (name == "late-last") {
        return o.late_last ? flag(*o.late_last) : std::string();
    }
    if (name == "reservation") {
        return std::string(to_string(o.reservation));
    }
    if (name == "split") {
        return flag(o.split);
    }
    if (name == "qps") {
        return o.qps ? fmt::format("{}", *o.qps) : std::string();
    }
    if (name == "requests") {
        return o.requests ? fmt::format("{}", *o.requests) : std::string();
    }
    if (name == "seeds") {
        return fmt::format("{}", o.seeds);
    }
    if (name == "first-seed") {
        return fmt::format("{}", o.first_seed);
    }
    if (name == "hit-ratio") {
        return fmt::format("{}", o.hit_ratio);
    }
    if (name == "warm") {
        return std::string(o.warm == workload::warm_mode::full ? "full" : "trace");
    }
    if (name == "drift") {
        return to_string(o.drift);
    }
    if (name == "cost") {
        return std::string(to_string(o.cost));
    }
    return std::nullopt;
}

std::string csv_names() {
    std::string out = "run,figures,seed";
    for (const run_option& option : all_run_options()) {
        if (is_column(option)) {
            std::string name(option.name);
            std::replace(name.begin(), name.end(), '-', '_');
            out += ',' + name;
        }
    }
    out += ",load,load_value";
    for (const measure_info& m : measures()) {
        out += fmt::format(",{}", m.name);
    }
    return out + ",block_operations";
}

std::string csv_key(const sweep_run& run, std::uint64_t seed) {
    std::string out = fmt::format("{}", seed);
    for (const run_option& option : all_run_options()) {
        if (is_column(option)) {
            out += ',' + quoted_field(option_text(run.options, option.name).value_or(""));
        }
    }
    constexpr std::array<std::string_view, 3> kinds{"qps", "offered_load", "bottleneck"};
    const std::string value = run.load == load_kind::qps
                                  ? option_text(run.options, "qps").value_or("")
                                  : fmt::format("{}", run.load_value);
    return out + fmt::format(",{},{}", kinds[static_cast<std::size_t>(run.load)], value);
}

std::string csv_values(const measured& values, std::uint64_t block_operations) {
    std::string out;
    for (const double v : values) {
        out += (std::isfinite(v) ? fmt::format("{:.7g}", v) : std::string()) + ',';
    }
    return out + fmt::format("{}", block_operations);
}

measured as_written(const measured& values) {
    measured out;
    for (std::size_t i = 0; i < out.size(); ++i) {
        out[i] = number_of(std::isfinite(values[i]) ? fmt::format("{:.7g}", values[i]) : "")
                     .value_or(std::numeric_limits<double>::quiet_NaN());
    }
    return out;
}

absl::StatusOr<std::map<std::string_view, csv_row>> read_csv(std::string_view text) {
    const std::string names = csv_names();
    const std::size_t columns = fields_of(names).size();
    const std::size_t keys = columns - measure_count - 1;
    std::map<std::string_view, csv_row> out;
    std::size_t number = 0;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = text.substr(0, end);
        text.remove_prefix(std::min(end + 1, text.size()));
        if (++number == 1) {
            if (line != names) {
                return absl::InvalidArgumentError("line 1: other columns than a sweep writes");
            }
            continue;
        }
        const std::vector<std::string_view> fields = fields_of(line);
        const auto bad = [number](std::string_view what) {
            return absl::InvalidArgumentError(fmt::format("line {}: {}", number, what));
        };
        if (fields.size() != columns) {
            return bad(fmt::format("{} columns in place of {}", fields.size(), columns));
        }
        const auto place = [&line](std::string_view field) {
            return static_cast<std::size_t>(field.data() - line.data());
        };
        csv_row row;
        // Behind the run's number and its figures.
        row.values = line.substr(place(fields[keys]));
        row.key = line.substr(place(fields[2]), place(fields[keys]) - place(fields[2]) - 1);
        for (std::size_t i = 0; i < measure_count; ++i) {
            const std::optional<double> value = number_of(fields[keys + i]);
            if (!value && !fields[keys + i].empty()) {
                return bad(fmt::format("'{}' is no number", fields[keys + i]));
            }
            row.numbers[i] = value.value_or(std::numeric_limits<double>::quiet_NaN());
        }
        row.block_operations = static_cast<std::uint64_t>(number_of(fields.back()).value_or(0));
        if (!out.emplace(row.key, row).second) {
            return bad("a run that another line has too");
        }
    }
    return out;
}

}  // namespace sluice::experiment
