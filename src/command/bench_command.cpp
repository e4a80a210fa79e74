// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/observe/table.hpp>

#include "../bench/coro_bench.hpp"
#include "../bench/memory_bench.hpp"
#include "../bench/pipeline_bench.hpp"
#include "../bench/sched_bench.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "validators.hpp"

namespace sluice::command {
namespace {

using json = nlohmann::ordered_json;

/// What a bench prints: the same as JSON and as text.
struct bench_output {
    json machine;
    std::string people;
};

int publish(std::string_view what, const std::string& path, const bench_output& output) {
    absl::Status status;
    if (!path.empty()) {
        status = write_text(
            path, output.machine.dump(2, ' ', false, json::error_handler_t::replace) + '\n');
    }
    if (status.ok() && path != "-") {
        status = write_text("-", output.people);
    }
    return status.ok() ? exit_ok : complain(what, status);
}

/// Adds `bench <name>` with --json; `run` gives absl::StatusOr<bench_output>.
template <class Run>
CLI::App* add_one(CLI::App& bench, const std::string& name, const std::string& about,
                  int& exit_code, Run run) {
    CLI::App* sub = bench.add_subcommand(name, about);
    auto path = std::make_shared<std::string>();
    sub->add_option("--json", *path, "Write the result as JSON; '-': to standard output");
    sub->callback([name, path, &exit_code, run = std::move(run)] {
        const std::string what = "bench " + name;
        if (absl::Status status = check_writable(*path); !status.ok()) {
            exit_code = complain(what, status);
            return;
        }
        const absl::StatusOr<bench_output> output = run();
        exit_code = output.ok() ? publish(what, *path, *output) : complain(what, output.status());
    });
    return sub;
}

void add_pipeline(CLI::App& bench, int& exit_code) {
    auto options = std::make_shared<sluice::bench::pipeline_bench_options>();
    CLI::App* sub = add_one(
        bench, "pipeline", "How busy the pipeline keeps its slowest stage, and at what cost",
        exit_code, [options]() -> absl::StatusOr<bench_output> {
            const auto result = sluice::bench::run_pipeline_bench(*options);
            if (!result.ok()) {
                return result.status();
            }
            bench_output out;
            out.machine = {{"bottleneck_busy", result->bottleneck_busy},
                           {"cpu_cores", result->cpu_cores}};
            out.machine["cases"] = json::array();
            for (const auto& c : result->cases) {
                out.machine["cases"].push_back({{"slowest", c.slowest},
                                                {"alone_per_s", c.alone_per_s},
                                                {"pipeline_per_s", c.pipeline_per_s},
                                                {"bottleneck_busy", c.busy},
                                                {"cpu_cores", c.cpu_cores}});
            }
            for (const result_fact& fact : result->facts) {
                out.machine["facts"][fact.name] = fact.value;
                out.people += fmt::format("{}: {}\n", fact.name, fact.value);
            }
            out.people += fmt::format("slowest stage busy {:.1f} %, {:.2f} cores used\n",
                                      result->bottleneck_busy * 100, result->cpu_cores);
            return out;
        });
    sub->add_option("--seconds", options->seconds, "Seconds of measurement")
        ->check(number_between(0.1, 3600))
        ->capture_default_str();
}

void add_sched(CLI::App& bench, int& exit_code) {
    add_one(bench, "sched", "Queue operations per second and memory, for each policy", exit_code,
            []() -> absl::StatusOr<bench_output> {
                bench_output out;
                out.machine["rows"] = json::array();
                page_table table;
                table.groups = {{"", {"policy", "queued", "ops/s", "B/request", "B/block"}}};
                std::vector<sluice::bench::sched_bench_row> rows = sluice::bench::run_sched_bench();
                const sluice::bench::memory_figures memory = sluice::bench::run_memory_bench();
                sluice::bench::set_memory_figures(rows, memory.bytes_per_request,
                                                  memory.bytes_per_block);
                for (const auto& row : rows) {
                    out.machine["rows"].push_back({{"policy", row.policy},
                                                   {"queued", row.queued},
                                                   {"ops_per_s", row.ops_per_s},
                                                   {"bytes_per_request", row.bytes_per_request},
                                                   {"bytes_per_block", row.bytes_per_block}});
                    table.rows.push_back({{row.policy},
                                          {fmt::format("{}", row.queued)},
                                          {fmt::format("{:.0f}", row.ops_per_s)},
                                          {fmt::format("{:.0f}", row.bytes_per_request)},
                                          {fmt::format("{:.0f}", row.bytes_per_block)}});
                }
                out.people = render_table(table);
                return out;
            });
}

void add_coro(CLI::App& bench, int& exit_code) {
    add_one(bench, "coro", "Nanoseconds and allocations of coroutine operations", exit_code,
            []() -> absl::StatusOr<bench_output> {
                bench_output out;
                out.machine["rows"] = json::array();
                page_table table;
                table.groups = {{"", {"operation", "ns", "baseline ns", "allocations"}}};
                for (const auto& row : sluice::bench::run_coro_bench()) {
                    out.machine["rows"].push_back({{"operation", row.operation},
                                                   {"ns", row.ns},
                                                   {"baseline_ns", row.baseline_ns},
                                                   {"allocations", row.allocations}});
                    table.rows.push_back({{row.operation},
                                          {fmt::format("{:.1f}", row.ns)},
                                          {fmt::format("{:.1f}", row.baseline_ns)},
                                          {fmt::format("{:g}", row.allocations)}});
                }
                out.people = render_table(table);
                return out;
            });
}

}  // namespace

void add_bench(CLI::App& app, int& exit_code) {
    CLI::App* bench = app.add_subcommand("bench", "Measure parts of the library");
    bench->require_subcommand(1);
    add_pipeline(*bench, exit_code);
    add_sched(*bench, exit_code);
    add_coro(*bench, exit_code);
    add_capi_bench(*bench, exit_code);
    add_demand_bench(*bench, exit_code);
#ifdef SLUICE_HAS_FABRIC
    add_fetch_bench(*bench, exit_code);
#endif
}

}  // namespace sluice::command
