// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>

#include <sluice/base/status.hpp>

#include "../experiment/fleet.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "plugins.hpp"
#include "progress.hpp"
#include "sim_flags.hpp"

namespace sluice::command {
namespace {

struct fleet_command {
    experiment::fleet_options fleet;
    std::string fault = "die";
    experiment::node_fault at;
    std::vector<std::string> plugins;
    std::string json;
    bool quiet = false;
};

absl::Status simulate(fleet_command& c) {
    SLUICE_RETURN_IF_ERROR(check_writable(c.json));
    SLUICE_RETURN_IF_ERROR(load_plugins(c.plugins));
    if (c.fault != "none") {
        c.at.what = c.fault == "die" ? sim::node_change::die : sim::node_change::hang;
        c.fleet.fault = c.at;
    }
    absl::StatusOr<experiment::fleet_result> result = absl::UnknownError("");
    {
        constexpr std::uint64_t steps = 1000;
        progress_bar progress(!c.quiet);
        progress.begin("simulating", steps);
        std::uint64_t shown = 0;
        result = experiment::run_fleet(c.fleet, [&](double share) {
            const auto now = static_cast<std::uint64_t>(share * steps);
            progress.advance(now - std::exchange(shown, now));
        });
    }
    SLUICE_RETURN_IF_ERROR(result.status());
    if (!c.json.empty()) {
        SLUICE_RETURN_IF_ERROR(write_text(c.json, experiment::fleet_json(*result)));
    }
    if (c.json == "-" || c.quiet) {
        return absl::OkStatus();
    }
    return write_text("-", experiment::fleet_text(*result));
}

}  // namespace

void add_sim_fleet(CLI::App& sim, int& exit_code) {
    CLI::App* sub = sim.add_subcommand(
        "fleet", "Many engines over many memory nodes on one clock, and what one engine sees");
    auto command = std::make_shared<fleet_command>();
    fleet_command& c = *command;
    experiment::fleet_options& f = c.fleet;
    f.run.requests = 200;
    add_run_flags(*sub, std::shared_ptr<experiment::run_options>(command, &f.run),
                  {"config", "trace", "warm", "drift", "seeds"});
    sub->add_option("--engines", f.engines, "Engines, each with requests of its own")
        ->capture_default_str();
    sub->add_option("--nodes", f.nodes, "Memory nodes that they share")->capture_default_str();
    sub->add_option("--replicas", f.replicas, "Nodes that hold each block")->capture_default_str();
    sub->add_option("--node-rate", f.node_rate, "Of a node, in rates of an engine's link")
        ->capture_default_str();
    sub->add_option("--soft-timeout", f.soft_timeout_s,
                    "Seconds after which an engine asks the next replica")
        ->capture_default_str();
    sub->add_option("--fault", c.fault, "What happens to a node in the middle of the run")
        ->check(CLI::IsMember({"die", "hang", "none"}))
        ->capture_default_str();
    sub->add_option("--fault-node", c.at.node, "Which node")->capture_default_str();
    sub->add_option("--fault-at", c.at.at, "When, as a share of the time of arrivals")
        ->capture_default_str();
    sub->add_option("--recover-at", c.at.recover, "When it is back, as a share of that time");
    sub->add_option("--periods", f.periods, "Periods that the run is told in")
        ->capture_default_str();
    sub->add_option("--watch", f.watched, "The engine whose view is told")->capture_default_str();
    sub->add_option("--plugin", c.plugins, "Shared object that registers policies; repeatable")
        ->check(CLI::ExistingFile);
    sub->add_option("--json", c.json, "Write the result as JSON; '-': to standard output");
    sub->add_flag("--quiet,-q", c.quiet, "No table and no progress");
    sub->callback([command, &exit_code] {
        const absl::Status status = simulate(*command);
        exit_code = status.ok() ? exit_ok : complain("sim fleet", status);
    });
}

}  // namespace sluice::command
