// SPDX-License-Identifier: Apache-2.0
#include "sim_flags.hpp"

#include <algorithm>
#include <cstdint>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sluice/base/status.hpp>

namespace sluice::command {

void add_run_flags(CLI::App& sub, std::shared_ptr<experiment::run_options> options,
                   std::initializer_list<std::string_view> without) {
    for (const experiment::run_option& option : experiment::all_run_options()) {
        if (std::find(without.begin(), without.end(), option.name) != without.end()) {
            continue;
        }
        const std::string flag = fmt::format("--{}", option.name);
        const auto set = [options, &option](const std::string& text) {
            if (absl::Status s = option.set(*options, text); !s.ok()) {
                throw CLI::ValidationError(fmt::format("--{}", option.name),
                                           std::string(message_of(s)));
            }
        };
        if (option.values == "on|off" && option.name == "split") {
            // Alone it means on.
            sub.add_flag_function(
                flag, [set](std::int64_t count) { set(count > 0 ? "on" : "off"); },
                std::string(option.help));
            continue;
        }
        sub.add_option_function<std::string>(flag, set, std::string(option.help))
            ->type_name(std::string(option.values));
    }
}

}  // namespace sluice::command
