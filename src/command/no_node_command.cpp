// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "commands.hpp"
#include "output.hpp"

// In place of node_command.cpp where there is no libfabric.

namespace sluice::command {

void add_node(CLI::App& app, int& exit_code) {
    CLI::App* sub = app.add_subcommand("node", "Not in this build: it has no libfabric");
    sub->allow_extras();
    sub->callback([&exit_code] {
        exit_code = complain(
            "node", absl::UnimplementedError(
                        "this build has no libfabric; build with -D SLUICE_BUILD_FABRIC=ON"));
    });
}

}  // namespace sluice::command
