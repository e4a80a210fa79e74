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
#include "prewarm_curves_command.hpp"
#include "progress.hpp"

namespace sluice::command {
namespace {

struct apps_command {
    experiment::app_options apps;
    std::vector<std::string> plugins;
    unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
    std::string curves;  // of prewarming, in place of a simulation
    std::string json;
    bool quiet = false;
};

absl::Status simulate(const apps_command& c) {
    if (!c.curves.empty()) {
        return write_prewarm_curves(c.apps.runs, c.curves, c.json, c.quiet);
    }
    SLUICE_RETURN_IF_ERROR(check_writable(c.json));
    SLUICE_RETURN_IF_ERROR(load_plugins(c.plugins));
    absl::StatusOr<experiment::app_case> result = absl::UnknownError("");
    {
        progress_bar progress(!c.quiet);
        progress.begin("simulating", c.apps.splits);
        result = experiment::run_apps(c.apps, c.jobs, [&] { progress.advance(); });
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
    sub->add_option("--mix", a.mix, "Which applications, and how many: a name or FILE.json")
        ->capture_default_str();
    sub->add_option("--intensity", a.intensity, "Divides the time in which they come")
        ->check(CLI::Range(0.001, 1000.0))
        ->capture_default_str();
    sub->add_option("--engine", a.engine, "Profile of the engine: a name or FILE.json")
        ->capture_default_str();
    sub->add_option("--policy", a.policy, "Who goes first")->capture_default_str();
    sub->add_option("--tasks", a.tasks, "Applications, in place of the mix's")
        ->check(CLI::Range(1, 100'000));
    sub->add_option("--window", a.window_s, "Seconds in which they come at intensity 1")
        ->check(CLI::Range(0.001, 1e6));
    sub->add_flag("--deadlines,!--no-deadlines", a.deadlines,
                  "Whether applications have deadlines, in place of the mix's share");
    sub->add_option("--splits", a.splits,
                    "Splits of the records into a half to learn from and one "
                    "to serve, each with its own draw")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    sub->add_option("--split-seed", a.split_seed, "Of the first split")->capture_default_str();
    sub->add_flag("--external-fifo", a.external_fifo,
                  "External backends serve by arrival, whatever the policy says");
    sub->add_option("--plugin", c.plugins, "Shared object that registers policies; repeatable")
        ->check(CLI::ExistingFile);
    sub->add_option("--jobs", c.jobs, "Splits that are run at once")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    sub->add_option("--curves", c.curves,
                    "What prewarming saves and wastes, in place of a simulation: docker, dnn, kv "
                    "or all")
        ->check(
            CLI::IsMember(std::vector<std::string>(curve_backends.begin(), curve_backends.end())));
    sub->add_option("--json", c.json, "Write the result as JSON; '-': to standard output");
    sub->add_flag("--quiet,-q", c.quiet, "No table and no progress");
    sub->callback([command, &exit_code] {
        const absl::Status status = simulate(*command);
        exit_code = status.ok() ? exit_ok : complain("sim apps", status);
    });
}

}  // namespace sluice::command
