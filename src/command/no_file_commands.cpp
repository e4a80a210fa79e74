// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <CLI/CLI.hpp>

#include "commands.hpp"
#include "output.hpp"

// In place of put_command.cpp and fetch_command.cpp where there is no libfabric.

namespace sluice::command {
namespace {

void add_missing(CLI::App& app, const std::string& name, int& exit_code) {
    CLI::App* sub = app.add_subcommand(name, "Not in this build: it has no libfabric");
    sub->allow_extras();
    sub->callback([name, &exit_code] {
        exit_code = complain(
            name, absl::UnimplementedError(
                      "this build has no libfabric; build with -D SLUICE_BUILD_FABRIC=ON"));
    });
}

}  // namespace

void add_put(CLI::App& app, int& exit_code) { add_missing(app, "put", exit_code); }
void add_fetch(CLI::App& app, int& exit_code) { add_missing(app, "fetch", exit_code); }

}  // namespace sluice::command
