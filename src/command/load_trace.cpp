// SPDX-License-Identifier: Apache-2.0
#include "load_trace.hpp"

#include <cstdlib>
#include <filesystem>
#include <system_error>
#include <utility>

#include <fmt/format.h>

#include "../workload/synthetic.hpp"

namespace sluice::command {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view file_name = "conversation_trace.jsonl";

bool is_file(const fs::path& path) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    return fs::exists(status) && !fs::is_directory(status);
}

}  // namespace

trace_search default_search(std::string flag) {
    trace_search search;
    search.flag = std::move(flag);
    if (const char* folder = std::getenv("SLUICE_DATA")) {
        search.folder = folder;
    }
    std::error_code error;
    const fs::path here = fs::current_path(error);
    if (!error) {
        search.roots.push_back(here.string());
    }
    // A build folder inside the repository: <repository>/<build>/<preset>/bin/sluice at the
    // deepest.
    const fs::path program = fs::read_symlink("/proc/self/exe", error);
    fs::path above = error ? fs::path() : program.parent_path();
    for (int i = 0; i < 4 && above.has_relative_path(); ++i) {
        search.roots.push_back(above.string());
        above = above.parent_path();
    }
    return search;
}

absl::StatusOr<std::string> find_trace(const trace_search& search) {
    if (!search.flag.empty()) {
        if (!is_file(search.flag)) {
            return absl::NotFoundError(fmt::format("{}: no such file", search.flag));
        }
        return search.flag;
    }
    if (!search.folder.empty()) {
        const fs::path file = fs::path(search.folder) / file_name;
        if (!is_file(file)) {
            return absl::NotFoundError(
                fmt::format("SLUICE_DATA is {}, which has no {}", search.folder, file_name));
        }
        return file.string();
    }
    for (const std::string& root : search.roots) {
        const fs::path file =
            (fs::path(root).parent_path() / "shared" / "data" / file_name).lexically_normal();
        if (is_file(file)) {
            return file.string();
        }
    }
    return std::string();
}

absl::StatusOr<loaded_trace> load_trace(const replay_options& options) {
    const absl::StatusOr<std::string> path = find_trace(default_search(options.trace));
    if (!path.ok()) {
        return path.status();
    }
    loaded_trace out;
    if (path->empty()) {
        workload::trace_statistics statistics;
        statistics.requests = options.requests;
        out.requests = workload::make_trace(statistics, options.seed);
        out.description = workload::describe(statistics);
        out.made_up = true;
        out.note =
            "No trace was found (--trace, SLUICE_DATA), so one was made up: its figures are "
            "not those of a real workload.";
        return out;
    }
    absl::StatusOr<std::vector<workload::trace_request>> read =
        workload::read_trace(*path, options.requests);
    if (!read.ok()) {
        return read.status();
    }
    out.requests = std::move(*read);
    // The name without its folder: reports are shown to others.
    out.description = fmt::format("{}, the first {} requests", fs::path(*path).filename().string(),
                                  out.requests.size());
    return out;
}

}  // namespace sluice::command
