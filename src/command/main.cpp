// SPDX-License-Identifier: Apache-2.0
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sluice/base/version.hpp>

#include "commands.hpp"
#include "output.hpp"

namespace {

/// What was being parsed when something was wrong.
struct parse_place {
    std::string name;  // "sluice bench sched"
    const CLI::App* deepest;
};

parse_place place_of(const CLI::App& app) {
    parse_place place{app.get_name(), &app};
    while (!place.deepest->get_subcommands().empty()) {
        place.deepest = place.deepest->get_subcommands().front();
        place.name += ' ' + place.deepest->get_name();
    }
    return place;
}

std::string message_of(const CLI::ParseError& error, const parse_place& place) {
    // CLI11 would only say that a subcommand is missing.
    const std::vector<std::string> unknown = place.deepest->remaining();
    if (dynamic_cast<const CLI::RequiredError*>(&error) != nullptr && !unknown.empty()) {
        return fmt::format("'{}' is not known here", unknown.front());
    }
    return error.what();
}

int run(int argc, char** argv) {
    namespace command = sluice::command;
    CLI::App app{"KV-cache loading for LLM serving: replay a trace, simulate, profile, measure",
                 "sluice"};
    app.set_version_flag("--version", "sluice " + std::string(sluice::version()));
    app.require_subcommand(1);
    int exit_code = command::exit_ok;
    command::add_replay(app, exit_code);
    command::add_profile(app, exit_code);
    command::add_bench(app, exit_code);
    command::add_node(app, exit_code);
    command::add_put(app, exit_code);
    command::add_fetch(app, exit_code);
    command::add_sim(app, exit_code);
    command::add_demand(app, exit_code);
    command::add_version(app, exit_code);
    try {
        app.parse(argc, argv);
    } catch (const CLI::ParseError& error) {
        if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) {
            return app.exit(error);  // --help and --version
        }
        const parse_place place = place_of(app);
        fmt::print(stderr, "{}: {}\nTry '{} --help'.\n", place.name, message_of(error, place),
                   place.name);
        return command::exit_usage;
    }
    return exit_code;
}

}  // namespace

int main(int argc, char** argv) {
    // Parts of libfabric would take over the handlers of signals otherwise.
    setenv("IPATH_NO_BACKTRACE", "1", 0);
    setenv("HFI_NO_BACKTRACE", "1", 0);
    try {
        return run(argc, argv);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "sluice: %s\n", error.what());
        return sluice::command::exit_failure;
    }
}
