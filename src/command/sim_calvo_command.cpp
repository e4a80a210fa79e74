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

#include "../experiment/case_report.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "plugins.hpp"
#include "progress.hpp"
#include "sim_flags.hpp"

namespace sluice::command {
namespace {

struct calvo_command {
    experiment::run_options run;
    std::vector<std::string> plugins;
    unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
    std::string json;
    bool quiet = false;
};

absl::Status simulate(const calvo_command& c) {
    SLUICE_RETURN_IF_ERROR(check_writable(c.json));
    SLUICE_RETURN_IF_ERROR(load_plugins(c.plugins));
    absl::StatusOr<experiment::case_result> result = absl::UnknownError("");
    {
        progress_bar progress(!c.quiet);
        progress.begin("simulating", c.run.seeds);
        experiment::shared_facts shared;
        result = experiment::run_case(c.run, shared, c.jobs, [&] { progress.advance(); });
    }
    SLUICE_RETURN_IF_ERROR(result.status());
    if (!c.json.empty()) {
        SLUICE_RETURN_IF_ERROR(write_text(c.json, experiment::case_json(*result)));
    }
    if (c.json == "-" || c.quiet) {
        return absl::OkStatus();
    }
    return write_text("-", experiment::case_text(*result));
}

}  // namespace

void add_sim_calvo(CLI::App& sim, int& exit_code) {
    CLI::App* sub = sim.add_subcommand(
        "calvo", "One configuration of CALVO's evaluation: workload, hardware, who serves, order");
    auto command = std::make_shared<calvo_command>();
    calvo_command& c = *command;
    add_run_flags(*sub, std::shared_ptr<experiment::run_options>(command, &c.run));
    sub->add_option("--plugin", c.plugins, "Shared object that registers policies; repeatable")
        ->check(CLI::ExistingFile);
    sub->add_option("--jobs", c.jobs, "Seeds that are run at once")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    sub->add_option("--json", c.json, "Write the result as JSON; '-': to standard output");
    sub->add_flag("--quiet,-q", c.quiet, "No table and no progress");
    sub->callback([command, &exit_code] {
        const absl::Status status = simulate(*command);
        exit_code = status.ok() ? exit_ok : complain("sim calvo", status);
    });
}

}  // namespace sluice::command
