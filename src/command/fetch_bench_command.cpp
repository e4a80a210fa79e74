// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/observe/table.hpp>

#include "../bench/fetch_bench.hpp"
#include "../bench/raw_target.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "validators.hpp"

namespace sluice::command {
namespace {

using json = nlohmann::ordered_json;
using sluice::bench::fetch_bench_options;
using sluice::bench::raw_completion;
using sluice::bench::raw_fetch_row;

struct fetch_flags {
    fetch_bench_options bench;
    std::string kind = "any";
    std::string json_path;
    bool raw_only = false;
};

std::string_view name_of(raw_completion way) {
    return way == raw_completion::wait ? "wait" : "spin";
}

json machine_form(const std::vector<raw_fetch_row>& rows) {
    json out;
    out["rows"] = json::array();
    for (const raw_fetch_row& r : rows) {
        out["rows"].push_back({{"provider", r.provider},
                               {"endpoint", sluice::bench::name_of(r.kind)},
                               {"block_bytes", r.block_bytes},
                               {"window", r.window},
                               {"completion", name_of(r.completion)},
                               {"best", r.best},
                               {"raw_mb_s", r.mb_s},
                               {"raw_p50_us", r.p50_us},
                               {"raw_p99_us", r.p99_us},
                               {"raw_cpu_s_per_gb", r.cpu_s_per_gb},
                               {"raw_target_cpu_s_per_gb", r.target_cpu_s_per_gb}});
    }
    return out;
}

std::string people_form(const std::vector<raw_fetch_row>& rows) {
    page_table table;
    table.groups = {{"",
                     {"provider", "endpoint", "bytes", "window", "completes", "best", "MB/s",
                      "p50 us", "p99 us", "CPU s/GB", "target's"}}};
    for (const raw_fetch_row& r : rows) {
        table.rows.push_back({{r.provider},
                              {std::string(sluice::bench::name_of(r.kind))},
                              {fmt::format("{}", r.block_bytes)},
                              {fmt::format("{}", r.window)},
                              {std::string(name_of(r.completion))},
                              {r.best ? "*" : ""},
                              {fmt::format("{:.0f}", r.mb_s)},
                              {fmt::format("{:.0f}", r.p50_us)},
                              {fmt::format("{:.0f}", r.p99_us)},
                              {fmt::format("{:.3f}", r.cpu_s_per_gb)},
                              {fmt::format("{:.3f}", r.target_cpu_s_per_gb)}});
    }
    return render_table(table);
}

absl::Status run(fetch_flags& flags) {
    auto kind = sluice::bench::parse_kind(flags.kind);
    if (!kind.ok()) {
        return kind.status();
    }
    flags.bench.kind = *kind;
    if (absl::Status status = check_writable(flags.json_path); !status.ok()) {
        return status;
    }
    const auto rows = sluice::bench::run_raw_fetch_bench(flags.bench);
    absl::Status status = rows.status();
    if (status.ok() && !flags.json_path.empty()) {
        status = write_text(flags.json_path, machine_form(*rows).dump(2) + '\n');
    }
    if (status.ok() && flags.json_path != "-") {
        status = write_text("-", people_form(*rows));
    }
    return status;
}

/// What the baseline of `bench fetch` starts as its other end.
void add_raw_target(CLI::App& bench, int& exit_code) {
    CLI::App* sub = bench.add_subcommand("raw-target", "")->group("");
    auto options = std::make_shared<sluice::bench::raw_target_options>();
    auto kind = std::make_shared<std::string>("any");
    sub->add_option("--provider", options->provider)->required();
    sub->add_option("--endpoint", *kind);
    sub->add_option("--bytes", options->bytes)->required();
    sub->add_option("--fd", options->fd)->required();
    sub->callback([options, kind, &exit_code] {
        const auto parsed = sluice::bench::parse_kind(*kind);
        absl::Status status = parsed.status();
        if (status.ok()) {
            options->kind = *parsed;
            status = sluice::bench::run_raw_target(*options);
        }
        exit_code = status.ok() ? exit_ok : complain("bench raw-target", status);
    });
}

}  // namespace

void add_fetch_bench(CLI::App& bench, int& exit_code) {
    CLI::App* sub = bench.add_subcommand("fetch", "How fast blocks come from another process");
    auto flags = std::make_shared<fetch_flags>();
    sub->add_option("--provider", flags->bench.providers, "libfabric providers")->delimiter(',');
    sub->add_option("--endpoint", flags->kind, "any, msg or rdm")->capture_default_str();
    sub->add_option("--block-bytes", flags->bench.block_bytes, "Block sizes")
        ->delimiter(',')
        ->transform(CLI::AsSizeValue(false));
    sub->add_option("--window", flags->bench.windows, "Blocks in flight")
        ->delimiter(',')
        ->check(CLI::Range(1u, sluice::bench::raw_fabric::max_window));
    sub->add_option("--pool-bytes", flags->bench.pool_bytes, "Memory on each side")
        ->transform(CLI::AsSizeValue(false));
    sub->add_option("--repeats", flags->bench.repeats, "Of which the median counts")
        ->check(CLI::Range(1u, 1000u));
    sub->add_option("--seconds", flags->bench.seconds, "Of each measurement, at most one pass")
        ->check(number_between(0.001, 60));
    sub->add_flag("--raw-only", flags->raw_only, "Only the barest loop of single reads")
        ->required();
    sub->add_option("--json", flags->json_path,
                    "Write the result as JSON; '-': to standard output");
    sub->callback([flags, &exit_code] {
        const absl::Status status = run(*flags);
        exit_code = status.ok() ? exit_ok : complain("bench fetch", status);
    });
    add_raw_target(bench, exit_code);
}

}  // namespace sluice::command
