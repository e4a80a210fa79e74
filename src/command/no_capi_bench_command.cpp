// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "commands.hpp"
#include "output.hpp"

// In place of capi_bench_command.cpp where the C API is not built.

namespace sluice::command {

void add_capi_bench(CLI::App& bench, int& exit_code) {
    CLI::App* sub = bench.add_subcommand("capi", "Not in this build: it has no C API");
    sub->allow_extras();
    sub->callback([&exit_code] {
        exit_code = complain(
            "bench capi",
            absl::UnimplementedError("this build has no C API; build with -D SLUICE_BUILD_C=ON"));
    });
}

}  // namespace sluice::command
