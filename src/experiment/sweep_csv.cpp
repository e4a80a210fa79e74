// SPDX-License-Identifier: Apache-2.0
#include "sweep_csv.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>
#include <fmt/ranges.h>

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

std::string csv_key(const sweep_run& run, std::size_t number, std::uint64_t seed) {
    std::string out = fmt::format("{},{},{}", number, fmt::join(run.figures, " "), seed);
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

std::string csv_line(const sweep_run& run, std::size_t number, std::uint64_t seed,
                     const measured& values, std::uint64_t block_operations) {
    std::string out = csv_key(run, number, seed);
    for (const double v : values) {
        out += std::isfinite(v) ? fmt::format(",{:.7g}", v) : ",";
    }
    return out + fmt::format(",{}", block_operations);
}

}  // namespace sluice::experiment
