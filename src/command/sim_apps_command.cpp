// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "../experiment/apps/summary.hpp"
#include "../experiment/apps/sweep.hpp"
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
    std::string sweep;
    std::vector<std::string> only;
    std::string out;
    std::string check;
    std::string from;
    std::size_t lines = 3;
    bool quiet = false;
};

absl::StatusOr<std::string> read_text(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::string out{std::istreambuf_iterator<char>(in), {}};
    if (!in) {
        return absl::NotFoundError(fmt::format("{} cannot be read", path));
    }
    return out;
}

absl::StatusOr<experiment::app_sweep_results> results_in(const std::string& path) {
    const auto text = read_text(path);
    SLUICE_RETURN_IF_ERROR(text.status());
    auto results = experiment::read_app_sweep_csv(*text);
    SLUICE_RETURN_IF_ERROR(annotate(results.status(), path));
    return results;
}

absl::Status sweep(const apps_command& c) {
    auto file = experiment::load_app_sweep(c.sweep, c.only);
    SLUICE_RETURN_IF_ERROR(file.status());
    if (!c.check.empty()) {
        const auto results = results_in(c.check);
        SLUICE_RETURN_IF_ERROR(results.status());
        return annotate(experiment::check_app_sweep(*file, c.apps.runs, *results, c.lines, c.jobs),
                        c.check);
    }
    absl::StatusOr<experiment::app_sweep_results> results = absl::UnknownError("");
    if (!c.from.empty()) {
        results = results_in(c.from);
    } else {
        progress_bar progress(!c.quiet);
        results = experiment::run_app_sweep(
            *file, c.apps.runs, c.jobs, [&](std::size_t n) { progress.begin("simulating", n); },
            [&] { progress.advance(); });
    }
    SLUICE_RETURN_IF_ERROR(results.status());
    const auto tables = experiment::app_sweep_markdown(*file, *results);
    SLUICE_RETURN_IF_ERROR(tables.status());
    if (!c.out.empty()) {
        std::error_code error;
        std::filesystem::create_directories(c.out, error);
        const std::filesystem::path folder(c.out);
        SLUICE_RETURN_IF_ERROR(write_text((folder / "tables.md").string(), *tables));
        if (c.from.empty()) {
            SLUICE_RETURN_IF_ERROR(
                write_text((folder / "runs.csv").string(), experiment::app_sweep_csv(*results)));
        }
    }
    return c.quiet ? absl::OkStatus() : write_text("-", *tables);
}

absl::Status simulate(const apps_command& c) {
    if (!c.curves.empty()) {
        return write_prewarm_curves(c.apps.runs, c.curves, c.json, c.quiet);
    }
    SLUICE_RETURN_IF_ERROR(check_writable(c.json));
    SLUICE_RETURN_IF_ERROR(load_plugins(c.plugins));
    if (!c.sweep.empty()) {
        return sweep(c);
    }
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
        sub->add_option_function<std::string>(flag, set,
                                              usual.empty()
                                                  ? std::string(option.help)
                                                  : fmt::format("{} [{}]", option.help, usual))
            ->type_name(std::string(option.values));
    }
    sub->add_option("--plugin", c.plugins, "Shared object that registers policies; repeatable")
        ->check(CLI::ExistingFile);
    sub->add_option("--jobs", c.jobs, "Splits, or runs of a sweep, at once")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    sub->add_option("--curves", c.curves,
                    "What prewarming saves and wastes, in place of a simulation: docker, dnn, kv "
                    "or all")
        ->check(
            CLI::IsMember(std::vector<std::string>(curve_backends.begin(), curve_backends.end())));
    sub->add_option("--json", c.json, "Write the result as JSON; '-': to standard output");
    CLI::Option* file =
        sub->add_option("--sweep", c.sweep,
                        "Run what a file lists in place of one experiment, and show its figures")
            ->check(CLI::ExistingFile);
    sub->add_option("--only", c.only, "Name of a figure of the sweep; repeatable")->needs(file);
    sub->add_option("--out", c.out, "Folder for runs.csv and tables.md of the sweep")->needs(file);
    CLI::Option* from =
        sub->add_option("--from", c.from,
                        "Take the numbers from the CSV of an earlier sweep and run nothing")
            ->check(CLI::ExistingFile)
            ->needs(file);
    sub->add_option("--check", c.check,
                    "Run some lines of such a CSV again, and fail if they come out differently")
        ->check(CLI::ExistingFile)
        ->needs(file)
        ->excludes(from);
    sub->add_option("--lines", c.lines, "Lines that --check runs")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    sub->add_flag("--quiet,-q", c.quiet, "No table and no progress");
    sub->callback([command, &exit_code] {
        const absl::Status status = simulate(*command);
        exit_code = status.ok() ? exit_ok : complain("sim apps", status);
    });
}

}  // namespace sluice::command
