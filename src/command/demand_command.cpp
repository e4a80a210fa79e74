// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/demand/demand_model.hpp>

#include "../experiment/apps/corpus.hpp"
#include "commands.hpp"
#include "demand_report.hpp"
#include "output.hpp"

namespace sluice::command {
namespace {

namespace fs = std::filesystem;
using runs_by_application = std::map<std::string, std::vector<demand::run_record>>;

struct learn_command {
    std::string runs;
    std::string out;
    std::optional<std::uint64_t> split_seed;
    std::string half = "a";
};

struct show_command {
    std::string file;
    std::string json;
};

/// All runs of a folder's files *.jsonl, or of one file.
absl::StatusOr<runs_by_application> read_all(const std::string& path) {
    std::error_code error;
    std::vector<std::string> files;
    if (fs::is_directory(path, error)) {
        for (fs::directory_iterator it(path, error), end; !error && it != end;
             it.increment(error)) {
            if (it->path().extension() == ".jsonl") {
                files.push_back(it->path().string());
            }
        }
        std::sort(files.begin(), files.end());
        if (error || files.empty()) {
            return absl::NotFoundError(
                fmt::format("{}: {}", path, error ? error.message() : "no runs (*.jsonl) there"));
        }
    } else {
        files.push_back(path);
    }
    runs_by_application out;
    for (const std::string& file : files) {
        absl::StatusOr<std::vector<demand::run_record>> runs = demand::read_runs(file);
        if (!runs.ok()) {
            return runs.status();
        }
        for (demand::run_record& run : *runs) {
            out[run.application].push_back(std::move(run));
        }
    }
    return out;
}

/// One half of the runs, at random by the seed, as `sim apps` splits them.
std::vector<demand::run_record> half_of(const std::vector<demand::run_record>& runs,
                                        std::uint64_t seed, bool first) {
    experiment::split_runs halves = experiment::split_halves(runs, seed);
    if (first) {
        return std::move(halves.learned);
    }
    std::vector<demand::run_record> out;
    for (const demand::run_record* run : halves.served) {
        out.push_back(*run);
    }
    return out;
}

/// A file's name for an application: what could mean something else in one becomes '_'.
std::string file_name(std::string_view application) {
    std::string name;
    for (const char c : application) {
        const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                           (c >= '0' && c <= '9') || c == '-' || c == '_';
        name += plain ? c : '_';
    }
    return name + ".json";
}

absl::Status learn(const learn_command& c) {
    absl::StatusOr<runs_by_application> all = read_all(c.runs);
    SLUICE_RETURN_IF_ERROR(all.status());
    std::error_code error;
    fs::create_directories(c.out, error);
    if (error) {
        return absl::PermissionDeniedError(fmt::format("{}: {}", c.out, error.message()));
    }
    for (auto& [application, runs] : *all) {
        if (c.split_seed) {
            runs = half_of(runs, *c.split_seed, c.half == "a");
        }
        const auto model = demand::demand_model::learn(application, runs);
        SLUICE_RETURN_IF_ERROR(model.status());
        const std::string file = (fs::path(c.out) / file_name(application)).string();
        SLUICE_RETURN_IF_ERROR(write_text(file, (*model)->to_json()));
        SLUICE_RETURN_IF_ERROR(
            write_text("-", fmt::format("{}: {} runs\n", file, (*model)->size())));
    }
    return absl::OkStatus();
}

absl::Status show(const show_command& c) {
    SLUICE_RETURN_IF_ERROR(check_writable(c.json));
    std::vector<std::unique_ptr<demand::demand_model>> models;
    if (fs::path(c.file).extension() == ".json") {
        auto model = demand::demand_model::read(c.file);
        SLUICE_RETURN_IF_ERROR(model.status());
        models.push_back(*std::move(model));
    } else {
        absl::StatusOr<runs_by_application> all = read_all(c.file);
        SLUICE_RETURN_IF_ERROR(all.status());
        for (const auto& [application, runs] : *all) {
            auto model = demand::demand_model::learn(application, runs);
            SLUICE_RETURN_IF_ERROR(model.status());
            models.push_back(*std::move(model));
        }
    }
    std::vector<demand_report> reports;
    for (const auto& model : models) {
        reports.push_back(report_of(*model));
    }
    if (!c.json.empty()) {
        SLUICE_RETURN_IF_ERROR(write_text(c.json, demand_json(reports)));
    }
    return c.json == "-" ? absl::OkStatus() : write_text("-", demand_text(reports));
}

}  // namespace

void add_demand(CLI::App& app, int& exit_code) {
    CLI::App* demand = app.add_subcommand(
        "demand", "What applications need: learn models from runs, look at them");
    demand->require_subcommand(1);

    CLI::App* sub = demand->add_subcommand("learn", "Write a model for each application of runs");
    auto l = std::make_shared<learn_command>();
    sub->add_option("--runs", l->runs,
                    "File of runs, one JSON object per line, or a folder of "
                    "such files (*.jsonl)")
        ->required()
        ->check(CLI::ExistingPath);
    sub->add_option("--out", l->out, "Folder for the models; made if it is not there")->required();
    CLI::Option* seed = sub->add_option("--split-seed", l->split_seed,
                                        "Learn from one half of the runs, by this seed");
    sub->add_option("--half", l->half, "Which half")
        ->check(CLI::IsMember({"a", "b"}))
        ->needs(seed)
        ->capture_default_str();
    sub->callback([l, &exit_code] {
        const absl::Status status = learn(*l);
        exit_code = status.ok() ? exit_ok : complain("demand learn", status);
    });

    sub = demand->add_subcommand("show", "Print what a model says");
    auto s = std::make_shared<show_command>();
    sub->add_option("file", s->file, "Model (*.json), or runs: a file or a folder of files *.jsonl")
        ->required()
        ->check(CLI::ExistingPath);
    sub->add_option("--json", s->json, "Write it as JSON; '-': to standard output");
    sub->callback([s, &exit_code] {
        const absl::Status status = show(*s);
        exit_code = status.ok() ? exit_ok : complain("demand show", status);
    });
}

}  // namespace sluice::command
