// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "commands.hpp"

namespace sluice::command {

void add_sim(CLI::App& app, int& exit_code) {
    CLI::App* sim = app.add_subcommand(
        "sim", "Simulate hardware that is not there; everything else is what runs in production");
    sim->require_subcommand(1);
    add_sim_apps(*sim, exit_code);
    add_sim_calvo(*sim, exit_code);
    add_sim_fleet(*sim, exit_code);
    add_sim_sweep(*sim, exit_code);
}

}  // namespace sluice::command
