// SPDX-License-Identifier: Apache-2.0
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sluice/base/version.hpp>

#include "commands.hpp"
#include "output.hpp"

namespace sluice::command {
namespace {

std::string compiler() {
#if defined(__clang__)
    return fmt::format("Clang {}.{}.{}", __clang_major__, __clang_minor__, __clang_patchlevel__);
#else
    return fmt::format("GCC {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#endif
}

}  // namespace

void add_version(CLI::App& app, int& exit_code) {
    CLI::App* sub = app.add_subcommand("version", "Print the version and how it was built");
    sub->callback([&exit_code] {
        const absl::Status status =
            write_text("-", fmt::format("sluice {}\ncompiler {}\n", version(), compiler()));
        exit_code = status.ok() ? exit_ok : complain("version", status);
    });
}

}  // namespace sluice::command
