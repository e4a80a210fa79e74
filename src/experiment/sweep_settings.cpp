// SPDX-License-Identifier: Apache-2.0
#include "sweep_settings.hpp"

#include <algorithm>
#include <system_error>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "../json/object_reader.hpp"

namespace sluice::experiment {
namespace {

constexpr double highest_load = 10;

bool known_option(std::string_view key) {
    return std::any_of(all_run_options().begin(), all_run_options().end(),
                       [key](const run_option& option) {
                           std::string name(option.name);
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name == key;
                       });
}

std::string known_keys() {
    std::string out = "offered_load, bottleneck";
    for (const run_option& option : all_run_options()) {
        std::string name(option.name);
        std::replace(name.begin(), name.end(), '-', '_');
        out += ", " + name;
    }
    return out;
}

}  // namespace

std::string_view setting_of(std::string_view key) noexcept {
    return key == "qps" || key == "offered_load" || key == "bottleneck" ? "load" : key;
}

std::string sweep_settings::text_of(const json::value& value) {
    if (const auto text = value.text()) {
        return std::string(*text);
    }
    if (const auto flag = value.flag()) {
        return *flag ? "on" : "off";
    }
    if (const auto whole = value.whole()) {
        return fmt::format("{}", *whole);
    }
    const auto number = value.number();
    return number ? fmt::format("{}", *number) : std::string();
}

std::string sweep_settings::beside(std::string_view key, std::string name) const {
    if (key != "workload" && key != "trace" && key != "model" && key != "profile") {
        return name;
    }
    std::error_code error;
    const std::filesystem::path path = folder_ / name;
    return std::filesystem::is_regular_file(path, error) ? path.string() : name;
}

absl::Status sweep_settings::set(sweep_draft& draft, const json::member& setting) {
    return set(draft, setting.key, setting.what);
}

absl::Status sweep_settings::set(sweep_draft& draft, std::string_view key,
                                 const json::value& value) {
    const std::string name = fmt::format("key {}", json::quote(key));
    const std::string text = text_of(value);
    if (key == "offered_load" || key == "bottleneck") {
        SLUICE_RETURN_IF_ERROR(json::check_number(value, name, json::above_zero, highest_load));
        draft.run.load = key == "bottleneck" ? load_kind::bottleneck : load_kind::offered_load;
        draft.run.load_value = *value.number();
    } else if (!known_option(key)) {
        return value.error(fmt::format("unknown {}; known: {}", name, known_keys()));
    } else if (text.empty()) {
        return value.error(
            fmt::format("{} is {}", name, value.text() ? "an empty string" : value.type_name()));
    } else if (absl::Status s = set_run_option(draft.run.options, key, beside(key, text));
               !s.ok()) {
        return value.error(fmt::format("key {}", message_of(s)));
    } else if (key == "qps") {
        draft.run.load = load_kind::qps;
        draft.run.load_value = 0;
    }
    draft.settings[std::string(setting_of(key))] =
        setting_of(key) == key ? text : fmt::format("{} {}", key, text);
    return absl::OkStatus();
}

absl::Status sweep_settings::check_load(const run_options& o) {
    const std::string key = fmt::format("{}\n{}\n{}", o.workload, o.trace, o.requests.value_or(1));
    if (!checked_.insert(key).second) {
        return absl::OkStatus();
    }
    load_options wanted;
    wanted.workload = o.workload;
    wanted.trace = o.trace;
    wanted.requests = o.is_trace() ? o.requests.value_or(0) : 1;
    wanted.qps = o.is_trace() ? 0 : 1;
    return make_load(wanted).status();
}

absl::Status sweep_settings::check(const sweep_run& run) {
    SLUICE_RETURN_IF_ERROR(check_run_options(run.options));
    SLUICE_RETURN_IF_ERROR(shared_.profile(run.options).status());
    return check_load(run.options);
}

}  // namespace sluice::experiment
