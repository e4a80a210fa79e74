// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace sluice_test {

/// The folder of recorded application runs, which is not part of the repository: hermes_runs in the
/// folder SLUICE_DATA, or in ../shared/data beside the repository. Empty if it is not there.
inline std::string hermes_runs() {
    namespace fs = std::filesystem;
    std::error_code error;
    const char* folder = std::getenv("SLUICE_DATA");
    // tests/support/ is two folders below the repository's root.
    const fs::path repository = fs::path(__FILE__).parent_path().parent_path().parent_path();
    const fs::path runs =
        (folder != nullptr ? fs::path(folder) : repository.parent_path() / "shared" / "data") /
        "hermes_runs";
    if (!fs::is_directory(runs, error)) {
        return {};
    }
    return runs.string();
}

}  // namespace sluice_test

/// Leaves the test with a line that says why, where there are no recorded runs.
#define SLUICE_HERMES_RUNS_OR_SKIP(path)                                       \
    const std::string path = sluice_test::hermes_runs();                       \
    if (path.empty()) {                                                        \
        SKIP("no hermes_runs in the folder SLUICE_DATA or in ../shared/data"); \
    }
