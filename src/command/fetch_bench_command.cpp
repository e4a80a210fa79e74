// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/observe/table.hpp>

#include "../bench/fetch_bench.hpp"
#include "../bench/fetch_explain.hpp"
#include "../bench/raw_target.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "validators.hpp"

namespace sluice::command {
namespace {

using json = nlohmann::ordered_json;
using namespace sluice::bench;

struct fetch_flags {
    fetch_bench_options bench;
    fetch_selection selection;
    std::string json_path;
    bool explain = false;
};

std::string_view name_of(raw_completion way) {
    return way == raw_completion::wait ? "wait" : "spin";
}

json machine_form(const fetch_bench_options& options, const fetch_result& result) {
    json out;
    out["rows"] = json::array();
    for (const fetch_row& r : result.rows) {
        out["rows"].push_back({{"provider", options.provider},
                               {"placement", bench::name_of(r.what.placement)},
                               {"block_bytes", r.what.block_bytes},
                               {"window", r.what.window},
                               {"checksum", r.what.checksum == fetch_checksum::on},
                               {"mode", r.mode},
                               {"connections", r.what.connections},
                               {"mb_s", r.ours.mb_s},
                               {"raw_mb_s", r.raw.mb_s},
                               {"ratio", r.ratio},
                               {"p50_us", r.ours.p50_us},
                               {"raw_p50_us", r.raw.p50_us},
                               {"cpu_s_per_gb", r.ours.cpu_s_per_gb},
                               {"caller", bench::name_of(r.what.caller)},
                               {"ratio_p25", r.ratio_p25},
                               {"ratio_p75", r.ratio_p75},
                               {"p99_us", r.ours.p99_us},
                               {"raw_p99_us", r.raw.p99_us},
                               {"raw_completion", name_of(r.completion)},
                               {"raw_spin_p50_us", r.raw_spin.p50_us},
                               {"raw_spin_mb_s", r.raw_spin.mb_s},
                               {"raw_cpu_s_per_gb", r.raw.cpu_s_per_gb},
                               {"node_cpu_s_per_gb", r.ours.remote_cpu_s_per_gb},
                               {"transfers_per_block", r.transfers_per_block},
                               {"local_run", r.local_run},
                               {"hugepages", r.huge_pages}});
    }
    if (options.idle_seconds > 0) {
        out["idle"] = {{"node_cpu_percent", result.idle.node_cpu_percent},
                       {"client_cpu_percent", result.idle.client_cpu_percent},
                       {"node_wakeups_per_s", result.idle.node_wakeups_per_s},
                       {"client_wakeups_per_s", result.idle.client_wakeups_per_s}};
    }
    return out;
}

std::string people_form(const fetch_bench_options& options, const fetch_result& result) {
    page_table table;
    table.groups = {{"", {"placement", "KiB", "window", "sums", "caller", "moved", "MB/s"}},
                    {"raw", {"MB/s", "ends by", "ratio", "from", "to"}},
                    {"one block, us", {"p50", "raw p50"}},
                    {"CPU s/GB", {"ours", "raw"}}};
    for (const fetch_row& r : result.rows) {
        table.rows.push_back({{std::string(bench::name_of(r.what.placement))},
                              {fmt::format("{}", r.what.block_bytes / 1024)},
                              {fmt::format("{}", r.what.window)},
                              {std::string(bench::name_of(r.what.checksum))},
                              {std::string(bench::name_of(r.what.caller))},
                              {r.mode},
                              {fmt::format("{:.0f}", r.ours.mb_s)},
                              {fmt::format("{:.0f}", r.raw.mb_s)},
                              {std::string(name_of(r.completion))},
                              {fmt::format("{:.2f}", r.ratio)},
                              {fmt::format("{:.2f}", r.ratio_p25)},
                              {fmt::format("{:.2f}", r.ratio_p75)},
                              {fmt::format("{:.0f}", r.ours.p50_us)},
                              {fmt::format("{:.0f}", r.raw.p50_us)},
                              {fmt::format("{:.3f}", r.ours.cpu_s_per_gb)},
                              {fmt::format("{:.3f}", r.raw.cpu_s_per_gb)}});
    }
    std::string out = render_table(table);
    if (options.idle_seconds > 0) {
        out += fmt::format(
            "idle: node {:.2f} % of a core, {:.1f} wake-ups per s; client {:.2f} %, {:.1f}\n",
            result.idle.node_cpu_percent, result.idle.node_wakeups_per_s,
            result.idle.client_cpu_percent, result.idle.client_wakeups_per_s);
    }
    return out;
}

json machine_form(const explanation& e) {
    json out{{"limits", e.limits},
             {"reasons", e.reasons},
             {"block_bytes", e.block_bytes},
             {"bytes_in_flight", e.in_flight}};
    out["packings"] = json::array();
    for (const explain_row& r : e.rows) {
        out["packings"].push_back({{"packing", r.packing}, {"mb_s", r.mb_s}, {"ratio", r.ratio}});
    }
    return {{"explain", out}};
}

std::string people_form(const explanation& e) {
    std::string out = "The provider's limits\n";
    for (const std::string& line : e.limits) {
        out += "  " + line + '\n';
    }
    out += "What follows from them\n";
    for (const std::string& line : e.reasons) {
        out += "  " + line + '\n';
    }
    out += fmt::format(
        "Bare reads of blocks of {} bytes, against single ones with the least in "
        "flight\n",
        e.block_bytes);
    page_table table;
    table.groups = {{"", {"packing"}}, {"MiB in flight", {}}};
    for (const std::uint64_t bytes : e.in_flight) {
        table.groups[1].columns.push_back(fmt::format("{}", bytes >> 20));
    }
    for (const explain_row& r : e.rows) {
        table.rows.push_back({{r.packing}});
        for (std::size_t i = 0; i < r.ratio.size(); ++i) {
            table.rows.back().push_back(
                {fmt::format("{:.2f} ({:.0f} MB/s)", r.ratio[i], r.mb_s[i])});
        }
    }
    return out + render_table(table);
}

absl::Status publish(const std::string& path, const json& machine, const std::string& people) {
    absl::Status status;
    if (!path.empty()) {
        status = write_text(path, machine.dump(2) + '\n');
    }
    if (status.ok() && path != "-") {
        status = write_text("-", people);
    }
    return status;
}

absl::Status run(fetch_flags& flags) {
    if (absl::Status status = check_writable(flags.json_path); !status.ok()) {
        return status;
    }
    if (flags.explain) {
        explain_options options;
        options.provider = flags.bench.provider;
        const auto told = explain_fetch(options);
        return told.ok() ? publish(flags.json_path, machine_form(*told), people_form(*told))
                         : told.status();
    }
    flags.bench.cases = fetch_cases(flags.selection);
    const auto result = run_fetch_bench(flags.bench);
    return result.ok() ? publish(flags.json_path, machine_form(flags.bench, *result),
                                 people_form(flags.bench, *result))
                       : result.status();
}

/// What the baseline of `bench fetch` starts as its other end.
void add_raw_target(CLI::App& bench, int& exit_code) {
    CLI::App* sub = bench.add_subcommand("raw-target", "")->group("");
    auto options = std::make_shared<raw_target_options>();
    auto kind = std::make_shared<std::string>("any");
    sub->add_option("--provider", options->provider)->required();
    sub->add_option("--endpoint", *kind);
    sub->add_option("--bytes", options->bytes)->required();
    sub->add_option("--fd", options->fd)->required();
    sub->callback([options, kind, &exit_code] {
        const auto parsed = parse_kind(*kind);
        absl::Status status = parsed.status();
        if (status.ok()) {
            options->kind = *parsed;
            status = run_raw_target(*options);
        }
        exit_code = status.ok() ? exit_ok : complain("bench raw-target", status);
    });
}

/// The flags that choose what is measured.
void add_selection(CLI::App& sub, fetch_selection& s) {
    const auto list = [&sub](const std::string& flag, auto& values, const std::string& about) {
        return sub.add_option(flag, values, about)->delimiter(',');
    };
    const auto named = [](auto... pairs) {
        using value = typename std::common_type_t<decltype(pairs)...>::second_type;
        return CLI::CheckedTransformer(std::map<std::string, value>{pairs...});
    };
    list("--block-bytes", s.block_bytes, "Block sizes")->transform(CLI::AsSizeValue(false));
    list("--window", s.windows, "Blocks that the caller keeps in flight")
        ->check(CLI::Range(1u, 64u));
    list("--placement", s.placements, "How the blocks lie at both ends")
        ->transform(named(std::pair{"scattered", fetch_placement::scattered},
                          std::pair{"adjacent", fetch_placement::adjacent}));
    list("--checksum", s.checksums, "Whether blocks are verified when they land")
        ->transform(
            named(std::pair{"on", fetch_checksum::on}, std::pair{"off", fetch_checksum::off}));
    list("--mode", s.callers, "Whether the caller drives the store or only hears of the end")
        ->transform(named(std::pair{"waiting", fetch_caller::waiting},
                          std::pair{"async", fetch_caller::async}));
    list("--connections", s.connections, "Data connections")->check(CLI::Range(1u, 16u));
}

}  // namespace

void add_fetch_bench(CLI::App& bench, int& exit_code) {
    CLI::App* sub = bench.add_subcommand(
        "fetch",
        "How fast blocks come from a memory node, against bare reads of the same provider");
    auto flags = std::make_shared<fetch_flags>();
    fetch_bench_options& options = flags->bench;
    sub->add_option("--provider", options.provider, "As fi_info names it")->capture_default_str();
    add_selection(*sub, flags->selection);
    sub->add_option("--pairs", options.pairs, "Of measurements, of which medians count")
        ->check(CLI::Range(1u, 1000u))
        ->capture_default_str();
    sub->add_option("--pool", options.pool_bytes, "Memory on each side that blocks lie in")
        ->transform(CLI::AsSizeValue(false));
    sub->add_option("--seconds-per-run", options.seconds, "Of each measurement, one pass at most")
        ->check(number_between(0.001, 60))
        ->capture_default_str();
    sub->add_option("--idle", options.idle_seconds, "Seconds of doing nothing at the end")
        ->check(number_between(0, 3600))
        ->capture_default_str();
    sub->add_option("--bytes-in-flight", options.bytes_in_flight, "Of the store; 0: its choice")
        ->transform(CLI::AsSizeValue(false));
    sub->add_option("--seed", options.seed, "Of the order of the blocks")->capture_default_str();
    sub->add_flag("--explain", flags->explain,
                  "Say instead what the transport chose for the provider, and measure why");
    sub->add_option("--json", flags->json_path,
                    "Write the result as JSON; '-': to standard output");
    sub->footer(
        "Without flags that choose what is measured, the rows of the table in docs/transport.md. "
        "With any, all combinations; a flag not given counts as scattered, all sizes, window 16, "
        "checksum off, waiting, one connection.");
    sub->callback([flags, &exit_code] {
        const absl::Status status = run(*flags);
        exit_code = status.ok() ? exit_ok : complain("bench fetch", status);
    });
    add_raw_target(bench, exit_code);
}

}  // namespace sluice::command
