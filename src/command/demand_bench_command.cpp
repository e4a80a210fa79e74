// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/base/status.hpp>
#include <sluice/observe/table.hpp>

#include "../bench/demand_bench.hpp"
#include "commands.hpp"
#include "output.hpp"

namespace sluice::command {
namespace {

using json = nlohmann::ordered_json;
using namespace sluice::bench;

struct demand_flags {
    demand_bench_options bench;
    std::string json_path;
};

absl::Status measure(const demand_flags& flags) {
    SLUICE_RETURN_IF_ERROR(check_writable(flags.json_path));
    const std::vector<demand_bench_row> rows = run_demand_bench(flags.bench);
    json machine;
    machine["events"] = flags.bench.events;
    machine["window"] = flags.bench.window;
    machine["rows"] = json::array();
    page_table table;
    table.groups = {{"", {"applications"}},
                    {"end of a unit, us", {"p50", "p99"}},
                    {"begin of a unit, us", {"p50", "p99"}},
                    {"end of a run, us", {"p50", "p99"}}};
    for (const demand_bench_row& r : rows) {
        machine["rows"].push_back({{"live_applications", r.live_applications},
                                   {"event_us_p50", r.event_us_p50},
                                   {"event_us_p99", r.event_us_p99},
                                   {"begin_us_p50", r.begin_us_p50},
                                   {"begin_us_p99", r.begin_us_p99},
                                   {"learn_us_p50", r.learn_us_p50},
                                   {"learn_us_p99", r.learn_us_p99}});
        std::vector<page_cell> row{{fmt::format("{}", r.live_applications)}};
        for (const double us : {r.event_us_p50, r.event_us_p99, r.begin_us_p50, r.begin_us_p99,
                                r.learn_us_p50, r.learn_us_p99}) {
            row.push_back({fmt::format("{:.1f}", us)});
        }
        table.rows.push_back(std::move(row));
    }
    if (!flags.json_path.empty()) {
        SLUICE_RETURN_IF_ERROR(write_text(flags.json_path, machine.dump(2) + '\n'));
    }
    return flags.json_path == "-" ? absl::OkStatus() : write_text("-", render_table(table));
}

}  // namespace

void add_demand_bench(CLI::App& bench, int& exit_code) {
    CLI::App* sub = bench.add_subcommand(
        "demand", "Microseconds per event of an application: what is left of it, and its rank");
    auto flags = std::make_shared<demand_flags>();
    sub->add_option("--events", flags->bench.events, "Ends of units that are measured")
        ->check(CLI::Range(std::uint64_t{100}, std::uint64_t{100'000'000}))
        ->capture_default_str();
    sub->add_option("--live", flags->bench.live, "Live applications; several")
        ->check(CLI::Range(1U, 60'000U))
        ->capture_default_str();
    sub->add_option("--window", flags->bench.window, "Runs that each model keeps")
        ->check(CLI::Range(10, 10'000))
        ->capture_default_str();
    sub->add_option("--json", flags->json_path,
                    "Write the result as JSON; '-': to standard output");
    sub->callback([flags, &exit_code] {
        const absl::Status status = measure(*flags);
        exit_code = status.ok() ? exit_ok : complain("bench demand", status);
    });
}

}  // namespace sluice::command
