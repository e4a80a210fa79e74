// SPDX-License-Identifier: Apache-2.0
#include "run_options.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/sched/policy_registry.hpp>

#include "option_text.hpp"

namespace sluice::experiment {
namespace {

constexpr std::array config_names{"coupled", "async", "pipelined"};
constexpr std::array reservation_names{"proactive", "just_in_time", "late"};
constexpr std::array cost_names{"fixed", "refit", "knows"};
constexpr std::array warm_names{"full", "trace"};

using option_text::choose;
using option_text::read;
using option_text::read_flag;
using option_text::set_text;
using option_text::wrong;

absl::StatusOr<std::vector<drift_step>> read_drift(std::string_view text) {
    std::vector<drift_step> out;
    while (!text.empty()) {
        const std::size_t comma = std::min(text.find(','), text.size());
        const std::string_view one = text.substr(0, comma);
        text.remove_prefix(std::min(comma + 1, text.size()));
        const std::size_t colon = one.find(':');
        if (colon == std::string_view::npos) {
            return wrong(one, "AT:FACTOR, such as 600:0.5 (seconds) or 50%:0.5");
        }
        std::string_view at = one.substr(0, colon);
        drift_step step;
        step.is_share = at.ends_with('%');
        if (step.is_share) {
            at.remove_suffix(1);
        }
        SLUICE_RETURN_IF_ERROR(read(at, 0.0, step.is_share ? 100.0 : 1e9, step.at));
        step.at /= step.is_share ? 100 : 1;
        SLUICE_RETURN_IF_ERROR(read(one.substr(colon + 1), 0.001, 1000.0, step.factor));
        if (!out.empty() && (out.back().is_share != step.is_share || out.back().at > step.at)) {
            return absl::InvalidArgumentError(
                "the times of drift are to ascend, and all to be seconds or all per cent");
        }
        out.push_back(step);
    }
    return out;
}

// late_last goes into the options of each edf, lstf and on_time, wherever they stand in the spec.
std::string with_late_last(std::string_view spec, bool late_last) {
    const auto in_name = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
    };
    std::string out;
    bool may_begin = true;  // a policy's name: at the start and behind a parenthesis
    for (std::size_t i = 0; i < spec.size();) {
        if (!may_begin || !in_name(spec[i])) {
            may_begin = spec[i] == '(' || (may_begin && spec[i] == ' ');
            out += spec[i++];
            continue;
        }
        const std::size_t begin = i;
        while (i < spec.size() && in_name(spec[i])) {
            ++i;
        }
        const std::string_view name = spec.substr(begin, i - begin);
        out += name;
        may_begin = false;
        if (name == "edf" || name == "lstf" || name == "on_time") {
            out += fmt::format(":late_last={}", late_last ? "on" : "off");
            if (i < spec.size() && spec[i] == ':') {
                out += ',';
                ++i;
            }
        }
    }
    return out;
}

constexpr run_option options_table[] = {
    {"workload", "NAME|FILE.json", "Requests: loogle, icl, code, mooncake, or a file",
     [](run_options& o, std::string_view t) { return set_text(o.workload, t); }},
    {"trace", "FILE", "The trace of the workload mooncake",
     [](run_options& o, std::string_view t) { return set_text(o.trace, t); }},
    {"model", "NAME|FILE.json", "Whose KV is loaded: llama3.1-8b, qwen2.5-14b, or a file",
     [](run_options& o, std::string_view t) { return set_text(o.model, t); }},
    {"profile", "NAME|FILE.json", "Hardware: calvo-testbed or another built-in one, or a file",
     [](run_options& o, std::string_view t) { return set_text(o.profile, t); }},
    {"config", "coupled|async|pipelined", "Who serves: one of the baselines, or the pipeline",
     [](run_options& o, std::string_view t) { return choose(t, config_names, o.config); }},
    {"policy", "SPEC", "The order; sjf in the pipeline and fifo in a baseline if not given",
     [](run_options& o, std::string_view t) { return set_text(o.policy, t); }},
    {"late-last", "on|off", "Whether edf and lstf put behind who cannot make its deadline any more",
     [](run_options& o, std::string_view t) {
         const absl::StatusOr<bool> flag = read_flag(t);
         SLUICE_RETURN_IF_ERROR(flag.status());
         o.late_last = *flag;
         return absl::OkStatus();
     }},
    {"reservation", "proactive|just_in_time|late", "When the pipeline asks for a request's L1",
     [](run_options& o, std::string_view t) {
         return choose(t, reservation_names, o.reservation);
     }},
    {"split", "on|off", "The pipeline chooses how much to load and how much to compute",
     [](run_options& o, std::string_view t) {
         const absl::StatusOr<bool> flag = read_flag(t);
         SLUICE_RETURN_IF_ERROR(flag.status());
         o.split = *flag;
         return absl::OkStatus();
     }},
    {"qps", "REQUESTS/S", "Mean rate of arrivals; 1.2, or the trace's own pace (0)",
     [](run_options& o, std::string_view t) {
         double value = 0;
         SLUICE_RETURN_IF_ERROR(read(t, 0.0, 1e6, value));
         o.qps = value;
         return absl::OkStatus();
     }},
    {"requests", "N", "Requests of a run; 2000; 0: all that a trace has",
     [](run_options& o, std::string_view t) {
         std::uint32_t value = 0;
         SLUICE_RETURN_IF_ERROR(read<std::uint32_t>(t, 0, 10'000'000, value));
         o.requests = value;
         return absl::OkStatus();
     }},
    {"seeds", "N", "Runs, each with a seed of its own",
     [](run_options& o, std::string_view t) { return read<std::uint32_t>(t, 1, 1000, o.seeds); }},
    {"first-seed", "S", "The seed of the first run; the others count up from it",
     [](run_options& o, std::string_view t) {
         return read<std::uint64_t>(t, 0, std::uint64_t{1} << 53, o.first_seed);
     }},
    {"hit-ratio", "0 to 1", "Share of a request's cacheable blocks that L3 holds at the start",
     [](run_options& o, std::string_view t) { return read(t, 0.0, 1.0, o.hit_ratio); }},
    {"warm", "full|trace",
     "L3 of a trace: all but each request's last block; or what earlier requests have made",
     [](run_options& o, std::string_view t) { return choose(t, warm_names, o.warm); }},
    {"drift", "AT:FACTOR,...",
     "From AT (seconds, or % of the time of arrivals) on the link has FACTOR times its rate",
     [](run_options& o, std::string_view t) {
         absl::StatusOr<std::vector<drift_step>> steps = read_drift(t);
         SLUICE_RETURN_IF_ERROR(steps.status());
         o.drift = *std::move(steps);
         return absl::OkStatus();
     }},
    {"cost", "fixed|refit|knows",
     "What costs are predicted from: the profile alone; refitted online; with the drift known",
     [](run_options& o, std::string_view t) { return choose(t, cost_names, o.cost); }},
};

}  // namespace

std::string run_options::policy_spec() const {
    std::string spec = policy;
    if (spec.empty()) {
        spec = config == config_kind::pipelined ? "sjf" : "fifo";
    }
    return late_last ? with_late_last(spec, *late_last) : spec;
}

std::string_view to_string(config_kind config) noexcept {
    return config_names[static_cast<std::size_t>(config)];
}
std::string_view to_string(reservation_mode mode) noexcept {
    return reservation_names[static_cast<std::size_t>(mode)];
}
std::string_view to_string(cost_source cost) noexcept {
    return cost_names[static_cast<std::size_t>(cost)];
}
std::string to_string(std::span<const drift_step> drift) {
    std::string out;
    for (const drift_step& step : drift) {
        out += fmt::format("{}{:g}{}:{:g}", out.empty() ? "" : ",",
                           step.is_share ? step.at * 100 : step.at, step.is_share ? "%" : "",
                           step.factor);
    }
    return out;
}

std::span<const run_option> all_run_options() noexcept { return options_table; }

absl::Status set_run_option(run_options& options, std::string_view name, std::string_view text) {
    const auto same = [](char a, char b) { return a == b || (a == '-' && b == '_'); };
    std::string known;
    for (const run_option& option : options_table) {
        if (std::equal(option.name.begin(), option.name.end(), name.begin(), name.end(), same)) {
            return annotate(option.set(options, text), name);
        }
        known += fmt::format("{}{}", known.empty() ? "" : ", ", option.name);
    }
    return absl::InvalidArgumentError(fmt::format("there is no option '{}', only {}", name, known));
}

absl::Status check_run_options(const run_options& o) {
    const std::string spec = o.policy_spec();
    if (o.late_last && spec.find("late_last") == std::string::npos) {
        return absl::InvalidArgumentError(
            fmt::format("late-last is an option of edf, lstf and on_time; the policy is {}", spec));
    }
    SLUICE_RETURN_IF_ERROR(annotate(make_policy(spec).status(), "policy"));
    if (o.config == config_kind::async && spec != "fifo") {
        return absl::InvalidArgumentError(fmt::format(
            "async serves in order of arrival, whatever the policy: {} is not for it", spec));
    }
    if (o.config != config_kind::pipelined) {
        if (o.split) {
            return absl::InvalidArgumentError(fmt::format(
                "{} loads whatever is cached: split is the pipeline's", to_string(o.config)));
        }
        if (o.reservation != reservation_mode::proactive) {
            return absl::InvalidArgumentError(fmt::format(
                "{} has L1 before it loads: reservation is the pipeline's", to_string(o.config)));
        }
    }
    if (o.is_trace() && o.trace.empty()) {
        return absl::InvalidArgumentError("the workload mooncake needs a trace");
    }
    if (!o.is_trace() && !o.trace.empty()) {
        return absl::InvalidArgumentError(
            fmt::format("a trace is of the workload mooncake, not of {}", o.workload));
    }
    return absl::OkStatus();
}

}  // namespace sluice::experiment
