// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

namespace sluice_test {

/// The Mooncake conversation trace, which is not part of the repository: in the folder SLUICE_DATA,
/// or in ../shared/data beside the repository. Empty if it is not there.
inline std::string real_trace() {
    namespace fs = std::filesystem;
    std::error_code error;
    const char* folder = std::getenv("SLUICE_DATA");
    // tests/support/ is two folders below the repository's root.
    const fs::path repository = fs::path(__FILE__).parent_path().parent_path().parent_path();
    const fs::path file =
        (folder != nullptr ? fs::path(folder) : repository.parent_path() / "shared" / "data") /
        "conversation_trace.jsonl";
    return fs::is_regular_file(file, error) ? file.string() : std::string();
}

}  // namespace sluice_test

/// Leaves the test with a line that says why, where there is no real trace.
#define SLUICE_REAL_TRACE_OR_SKIP(path)                                                     \
    const std::string path = sluice_test::real_trace();                                     \
    if (path.empty()) {                                                                     \
        SKIP("no conversation_trace.jsonl in the folder SLUICE_DATA or in ../shared/data"); \
    }
