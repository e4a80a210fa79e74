// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "../experiment/apps/summary.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "plugins.hpp"
#include "progress.hpp"

namespace sluice::command {
namespace {

struct apps_command {
    experiment::app_options apps;
    std::vector<std::string> plugins;
    unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
    std::string json;
    bool quiet = false;
};

absl::Status simulate(const apps_command& c) {
    SLUICE_RETURN_IF_ERROR(check_writable(c.json));
    SLUICE_RETURN_IF_ERROR(load_plugins(c.plugins));
    experiment::app_input_cache inputs;
    absl::StatusOr<experiment::app_case> result = absl::UnknownError("");
    {
        progress_bar progress(!c.quiet);
        progress.begin("simulating", c.apps.splits);
        result = experiment::run_apps(c.apps, inputs, c.jobs, [&] { progress.advance(); });
    }
    SLUICE_RETURN_IF_ERROR(result.status());
    if (!c.json.empty()) {
        SLUICE_RETURN_IF_ERROR(write_text(c.json, experiment::app_case_json(*result)));
    }
    if (c.json == "-" || c.quiet) {
        return absl::OkStatus();
    }
    return write_text("-", experiment::app_case_text(*result));
}

}  // namespace

void add_sim_apps(CLI::App& sim, int& exit_code) {
    CLI::App* sub = sim.add_subcommand(
        "apps", "Applications of many calls, replayed from records of runs: Hermes' evaluation");
    auto command = std::make_shared<apps_command>();
    apps_command& c = *command;
    experiment::app_options& a = c.apps;
    sub->add_option("--runs", a.runs, "Folder of run records, APPLICATION.jsonl")
        ->check(CLI::ExistingDirectory)
        ->required();
    for (const experiment::app_option& option : experiment::all_app_options()) {
        const auto set = [command, &option](const std::string& text) {
            if (absl::Status s = option.set(command->apps, text); !s.ok()) {
                throw CLI::ValidationError(fmt::format("--{}", option.name),
                                           std::string(message_of(s)));
            }
        };
        const std::string flag = fmt::format("--{}", option.name);
        if (option.values == "on|off") {
            // Alone it means on.
            sub->add_flag_function(
                fmt::format("{0},!--no-{1}", flag, option.name),
                [set](std::int64_t count) { set(count > 0 ? "on" : "off"); },
                std::string(option.help));
            continue;
        }
        const std::string usual = option.get(c.apps);
        sub->add_option_function<std::string>(
               flag, set,
               usual.empty() ? std::string(option.help)
                             : fmt::format("{} [{}]", option.help, usual))
            ->type_name(std::string(option.values));
    }
    sub->add_option("--plugin", c.plugins, "Shared object that registers policies; repeatable")
        ->check(CLI::ExistingFile);
    sub->add_option("--jobs", c.jobs, "Splits that are run at once")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    sub->add_option("--json", c.json, "Write the result as JSON; '-': to standard output");
    sub->add_flag("--quiet,-q", c.quiet, "No table and no progress");
    sub->callback([command, &exit_code] {
        const absl::Status status = simulate(*command);
        exit_code = status.ok() ? exit_ok : complain("sim apps", status);
    });
}

}  // namespace sluice::command
