// SPDX-License-Identifier: Apache-2.0
#include "options.hpp"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/sched/policy_registry.hpp>

#include "../option_text.hpp"

namespace sluice::experiment {
namespace {

using option_text::read;
using option_text::read_flag;
using option_text::set_text;

constexpr std::array cache_names{"late", "queue", "prewarm"};

std::string on_off(bool on) { return on ? "on" : "off"; }

template <class T>
std::string text_of(const std::optional<T>& value) {
    return value ? fmt::format("{}", *value) : std::string();
}

template <class T>
absl::Status set_number(std::optional<T>& member, std::string_view text, T least, T most) {
    T value{};
    SLUICE_RETURN_IF_ERROR(read(text, least, most, value));
    member = value;
    return absl::OkStatus();
}

template <class Flag>
absl::Status set_flag(Flag& member, std::string_view text) {
    const absl::StatusOr<bool> flag = read_flag(text);
    SLUICE_RETURN_IF_ERROR(flag.status());
    member = *flag;
    return absl::OkStatus();
}

constexpr std::array prewarm_names{"none", "epwq", "hermes"};

constexpr app_option options_table[] = {
    {"mix", "NAME|FILE.json", "Which applications come, how many, and over what time",
     [](app_options& o, std::string_view t) { return set_text(o.mix, t); },
     [](const app_options& o) { return o.mix; }},
    {"engine", "NAME|FILE.json", "A profile of hardware with the model that it was measured with",
     [](app_options& o, std::string_view t) { return set_text(o.engine, t); },
     [](const app_options& o) { return o.engine; }},
    {"policy", "SPEC", "Who goes first",
     [](app_options& o, std::string_view t) {
         SLUICE_RETURN_IF_ERROR(make_policy(t).status());
         return set_text(o.policy, t);
     },
     [](const app_options& o) { return o.policy; }},
    {"intensity", "X", "Applications come in the window's time over this",
     [](app_options& o, std::string_view t) { return read(t, 0.001, 1000.0, o.intensity); },
     [](const app_options& o) { return fmt::format("{}", o.intensity); }},
    {"tasks", "N", "Applications, in place of the mix's",
     [](app_options& o, std::string_view t) {
         return set_number<std::uint32_t>(o.tasks, t, 1, 100'000);
     },
     [](const app_options& o) { return text_of(o.tasks); }},
    {"window", "SECONDS", "The time in which they come at intensity 1, in place of the mix's",
     [](app_options& o, std::string_view t) { return set_number(o.window_s, t, 0.001, 1e6); },
     [](const app_options& o) { return text_of(o.window_s); }},
    {"deadlines", "on|off", "All applications have deadlines or none, in place of the mix's share",
     [](app_options& o, std::string_view t) { return set_flag(o.deadlines, t); },
     [](const app_options& o) { return o.deadlines ? on_off(*o.deadlines) : std::string(); }},
    {"external", "rank|fifo", "External backends serve as the policy ranks, or by arrival",
     [](app_options& o, std::string_view t) {
         constexpr std::array names{"rank", "fifo"};
         return option_text::choose(t, names, o.external_fifo);
     },
     [](const app_options& o) { return std::string(o.external_fifo ? "fifo" : "rank"); }},
    {"learn", "on|off", "Applications that end become samples of their class",
     [](app_options& o, std::string_view t) { return set_flag(o.learn, t); },
     [](const app_options& o) { return on_off(o.learn); }},
    {"load-share", "0 to 0.95",
     "L3 holds prefixes, behind a link with which loading is this share of the TTFT of a call that "
     "loads, alone",
     [](app_options& o, std::string_view t) { return read(t, 0.0, 0.95, o.load_share); },
     [](const app_options& o) { return fmt::format("{}", o.load_share); }},
    {"host", "GB", "Host memory for KV; none without L3, and the profile's with it",
     [](app_options& o, std::string_view t) { return set_number(o.host_gb, t, 0.1, 1e5); },
     [](const app_options& o) { return text_of(o.host_gb); }},
    {"cache", "late|queue|prewarm",
     "What is brought near: what the next call needs; what those that wait need; and what "
     "applications will need that are elsewhere now",
     [](app_options& o, std::string_view t) {
         return option_text::choose(t, cache_names, o.cache);
     },
     [](const app_options& o) {
         return std::string(cache_names[static_cast<std::size_t>(o.cache)]);
     }},
    {"load-cost", "on|off", "What is left of an application counts loading",
     [](app_options& o, std::string_view t) { return set_flag(o.load_cost, t); },
     [](const app_options& o) { return on_off(o.load_cost); }},
    {"confidence", "0 to 1", "K of prewarming",
     [](app_options& o, std::string_view t) { return read(t, 0.01, 0.99, o.prewarm_confidence); },
     [](const app_options& o) { return fmt::format("{}", o.prewarm_confidence); }},
    {"cold-starts", "on|off", "Containers, models and adapters have to be started before their use",
     [](app_options& o, std::string_view t) { return set_flag(o.cold_starts, t); },
     [](const app_options& o) { return on_off(o.cold_starts); }},
    {"prewarm", "none|epwq|hermes",
     "What is started ahead: nothing, what is in a queue, or also what is expected",
     [](app_options& o, std::string_view t) {
         return option_text::choose(t, prewarm_names, o.prewarm);
     },
     [](const app_options& o) { return std::string(prewarm_name(o.prewarm)); }},
    {"host-adapters", "N", "Adapters that host memory has room for, where a mix has adapters",
     [](app_options& o, std::string_view t) {
         return read<std::uint32_t>(t, 5, 1'000'000, o.host_adapters);
     },
     [](const app_options& o) { return fmt::format("{}", o.host_adapters); }},
    {"splits", "N", "Splits of the records into a half to learn from and one to serve",
     [](app_options& o, std::string_view t) { return read<std::uint32_t>(t, 1, 1000, o.splits); },
     [](const app_options& o) { return fmt::format("{}", o.splits); }},
    {"split-seed", "S", "Of the first split and its draw; the others count up from it",
     [](app_options& o, std::string_view t) {
         return read<std::uint64_t>(t, 0, std::uint64_t{1} << 53, o.split_seed);
     },
     [](const app_options& o) { return fmt::format("{}", o.split_seed); }},
};

}  // namespace

std::string_view prewarm_name(app_prewarm p) noexcept {
    return prewarm_names[static_cast<std::size_t>(p)];
}

std::span<const app_option> all_app_options() noexcept { return options_table; }

absl::Status set_app_option(app_options& options, std::string_view name, std::string_view text) {
    const auto same = [](char a, char b) { return a == b || (a == '-' && b == '_'); };
    std::string known;
    for (const app_option& option : options_table) {
        if (std::equal(option.name.begin(), option.name.end(), name.begin(), name.end(), same)) {
            return annotate(option.set(options, text), name);
        }
        known += fmt::format("{}{}", known.empty() ? "" : ", ", option.name);
    }
    return absl::InvalidArgumentError(fmt::format("there is no option '{}', only {}", name, known));
}

}  // namespace sluice::experiment
