// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace CLI {
class App;
}

namespace sluice::command {

// Each adds a subcommand that runs when it is parsed and leaves its exit code in `exit_code`.

void add_replay(CLI::App& app, int& exit_code);
void add_profile(CLI::App& app, int& exit_code);
void add_bench(CLI::App& app, int& exit_code);
void add_node(CLI::App& app, int& exit_code);
void add_put(CLI::App& app, int& exit_code);
void add_fetch(CLI::App& app, int& exit_code);
void add_sim(CLI::App& app, int& exit_code);
void add_demand(CLI::App& app, int& exit_code);
void add_version(CLI::App& app, int& exit_code);

/// Adds `fetch` to `bench`, and what it starts. In builds with the fabric transport.
void add_fetch_bench(CLI::App& bench, int& exit_code);
/// Adds `demand` to `bench`.
void add_demand_bench(CLI::App& bench, int& exit_code);
/// Adds `capi` to `bench`.
void add_capi_bench(CLI::App& bench, int& exit_code);

/// Adds `calvo` to `sim`.
void add_sim_calvo(CLI::App& sim, int& exit_code);
/// Adds `fleet` to `sim`.
void add_sim_fleet(CLI::App& sim, int& exit_code);
/// Adds `sweep` to `sim`.
void add_sim_sweep(CLI::App& sim, int& exit_code);

}  // namespace sluice::command
