// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <sluice/base/status.hpp>

#include "../experiment/sweep.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "plugins.hpp"
#include "progress.hpp"

namespace sluice::command {
namespace {

struct sweep_command {
    std::string file;
    std::vector<std::string> only;
    std::vector<std::string> plugins;
    std::string out;
    std::string html;
    std::string csv;
    std::string markdown;
    std::string from;
    std::string check;
    std::size_t lines = 3;
    unsigned jobs = std::max(1U, std::thread::hardware_concurrency());
    bool quiet = false;
};

/// Makes the folder, and names of files in it for what has none.
absl::Status prepare_folder(sweep_command& c) {
    if (c.out.empty()) {
        return absl::OkStatus();
    }
    std::error_code error;
    std::filesystem::create_directories(c.out, error);
    if (error) {
        return absl::PermissionDeniedError(fmt::format("{}: {}", c.out, error.message()));
    }
    const std::filesystem::path folder(c.out);
    const auto name = [&folder](std::string& path, const char* file) {
        path = path.empty() ? (folder / file).string() : path;
    };
    name(c.html, "report.html");
    name(c.csv, "runs.csv");
    name(c.markdown, "tables.md");
    return absl::OkStatus();
}

absl::StatusOr<std::string> read_text(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    std::string out{std::istreambuf_iterator<char>(in), {}};
    if (!in) {
        return absl::NotFoundError(fmt::format("{} cannot be read", path));
    }
    return out;
}

/// Runs it, or takes the numbers from a table, which has none of single requests.
absl::StatusOr<experiment::sweep_result> result_of(const sweep_command& c,
                                                   experiment::sweep_spec& sweep) {
    if (c.from.empty()) {
        progress_bar progress(!c.quiet);
        return experiment::run_sweep(
            sweep, c.jobs,
            {[&](std::string part, std::size_t steps) { progress.begin(std::move(part), steps); },
             [&] { progress.advance(); }});
    }
    const auto csv = read_text(c.from);
    SLUICE_RETURN_IF_ERROR(csv.status());
    auto result = experiment::read_sweep(sweep, *csv);
    SLUICE_RETURN_IF_ERROR(annotate(result.status(), c.from));
    experiment::drop_request_figures(sweep);
    return result;
}

absl::Status simulate(sweep_command& c) {
    SLUICE_RETURN_IF_ERROR(prepare_folder(c));
    for (const std::string* path : {&c.html, &c.csv, &c.markdown}) {
        SLUICE_RETURN_IF_ERROR(check_writable(*path));
    }
    SLUICE_RETURN_IF_ERROR(load_plugins(c.plugins));
    auto sweep = experiment::load_sweep(c.file, c.only);
    SLUICE_RETURN_IF_ERROR(sweep.status());
    if (!c.check.empty()) {
        const auto csv = read_text(c.check);
        SLUICE_RETURN_IF_ERROR(csv.status());
        return annotate(experiment::check_sweep(*sweep, *csv, c.lines, c.jobs), c.check);
    }
    const auto result = result_of(c, *sweep);
    SLUICE_RETURN_IF_ERROR(result.status());
    if (!c.html.empty()) {
        SLUICE_RETURN_IF_ERROR(
            write_text(c.html, render_page(experiment::sweep_page(*sweep, *result))));
    }
    if (!c.csv.empty() && c.from.empty()) {
        SLUICE_RETURN_IF_ERROR(
            write_text(c.csv, fmt::format("{}\n", fmt::join(result->csv, "\n"))));
    }
    if (!c.markdown.empty()) {
        SLUICE_RETURN_IF_ERROR(write_text(c.markdown, experiment::sweep_markdown(*sweep, *result)));
    }
    const bool printed = c.html == "-" || c.csv == "-" || c.markdown == "-";
    if (printed || c.quiet) {
        return absl::OkStatus();
    }
    return write_text("-", experiment::sweep_text(*sweep, *result));
}

}  // namespace

void add_sim_sweep(CLI::App& sim, int& exit_code) {
    CLI::App* sub = sim.add_subcommand(
        "sweep", "Many configurations, as a file lists them: figures, tables and a page of them");
    auto command = std::make_shared<sweep_command>();
    sweep_command& c = *command;
    sub->add_option("FILE", c.file, "What to run and to show, as JSON")->required();
    sub->add_option("--only", c.only, "Name of a figure; the others are left out; repeatable");
    sub->add_option("--plugin", c.plugins, "Shared object that registers policies; repeatable")
        ->check(CLI::ExistingFile);
    sub->add_option("--out", c.out, "Folder for report.html, runs.csv and tables.md");
    sub->add_option("--html", c.html, "Write all figures as an HTML page");
    sub->add_option("--csv", c.csv, "Write a line for each run and seed");
    sub->add_option("--markdown", c.markdown, "Write the tables as Markdown");
    CLI::Option* from =
        sub->add_option("--from", c.from,
                        "Take the numbers from the CSV of an earlier run and run nothing; figures "
                        "of single requests are left out")
            ->check(CLI::ExistingFile);
    sub->add_option("--check", c.check,
                    "Run the cheapest lines of such a CSV again, and fail if they come out "
                    "differently")
        ->check(CLI::ExistingFile)
        ->excludes(from);
    sub->add_option("--lines", c.lines, "Lines that --check runs")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    sub->add_option("--jobs", c.jobs, "Runs at once")
        ->check(CLI::Range(1, 1024))
        ->capture_default_str();
    sub->add_flag("--quiet,-q", c.quiet, "No tables and no progress");
    sub->callback([command, &exit_code] {
        const absl::Status status = simulate(*command);
        exit_code = status.ok() ? exit_ok : complain("sim sweep", status);
    });
}

}  // namespace sluice::command
