// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <sluice/observe/table.hpp>

#include "../bench/capi_bench.hpp"
#include "commands.hpp"
#include "output.hpp"

namespace sluice::command {
namespace {

using json = nlohmann::ordered_json;
using namespace sluice::bench;

struct capi_flags {
    capi_bench_options bench;
    std::string json_path;
};

json machine_form(const capi_bench_options& options, const capi_bench_result& result) {
    json out;
    out["requests"] = options.requests;
    out["rows"] = json::array();
    for (const capi_bench_row& r : result.rows) {
        out["rows"].push_back({{"case", r.name},
                               {"api", r.api},
                               {"p50_ns", r.p50_ns},
                               {"p25_ns", r.p25_ns},
                               {"p75_ns", r.p75_ns},
                               {"allocations", r.allocations}});
    }
    for (const capi_bench_overhead& o : result.overheads) {
        out["overhead_p50_ns"][o.name] = o.p50_ns;
        out["overhead_p25_ns"][o.name] = o.p25_ns;
        out["overhead_p75_ns"][o.name] = o.p75_ns;
    }
    out["calls"] = json::array();
    for (const capi_bench_call& c : result.calls) {
        out["calls"].push_back({{"call", c.call},
                                {"cpp_ns", c.cpp_ns},
                                {"c_ns", c.c_ns},
                                {"overhead_ns", c.c_ns - c.cpp_ns}});
    }
    return out;
}

std::string people_form(const capi_bench_result& result) {
    page_table cases;
    cases.groups = {{"", {"case"}},
                    {"submit to ready, ns", {"C++ p50", "C p50", "C more", "from", "to"}},
                    {"allocations", {"C++", "C"}}};
    for (std::size_t i = 0; i < result.overheads.size(); ++i) {
        const capi_bench_row& cpp = result.rows[2 * i];
        const capi_bench_row& c = result.rows[2 * i + 1];
        const capi_bench_overhead& over = result.overheads[i];
        cases.rows.push_back({{over.name},
                              {fmt::format("{:.0f}", cpp.p50_ns)},
                              {fmt::format("{:.0f}", c.p50_ns)},
                              {fmt::format("{:.0f}", over.p50_ns)},
                              {fmt::format("{:.0f}", over.p25_ns)},
                              {fmt::format("{:.0f}", over.p75_ns)},
                              {fmt::format("{:g}", cpp.allocations)},
                              {fmt::format("{:g}", c.allocations)}});
    }
    page_table calls;
    calls.groups = {{"", {"call"}}, {"one call, ns", {"C++", "C", "C more"}}};
    for (const capi_bench_call& c : result.calls) {
        calls.rows.push_back({{c.call},
                              {fmt::format("{:.0f}", c.cpp_ns)},
                              {fmt::format("{:.0f}", c.c_ns)},
                              {fmt::format("{:.0f}", c.c_ns - c.cpp_ns)}});
    }
    return render_table(cases) + '\n' + render_table(calls);
}

absl::Status run(const capi_flags& flags) {
    if (absl::Status status = check_writable(flags.json_path); !status.ok()) {
        return status;
    }
    const auto result = run_capi_bench(flags.bench);
    if (!result.ok()) {
        return result.status();
    }
    absl::Status status;
    if (!flags.json_path.empty()) {
        status = write_text(flags.json_path, machine_form(flags.bench, *result).dump(2) + '\n');
    }
    if (status.ok() && flags.json_path != "-") {
        status = write_text("-", people_form(*result));
    }
    return status;
}

}  // namespace

void add_capi_bench(CLI::App& bench, int& exit_code) {
    CLI::App* sub =
        bench.add_subcommand("capi", "What the C API costs over the C++ API, submit to ready");
    auto flags = std::make_shared<capi_flags>();
    sub->add_option("--requests", flags->bench.requests, "Requests of each case by each API")
        ->check(CLI::Range(std::uint64_t{10}, std::uint64_t{10'000'000}))
        ->capture_default_str();
    sub->add_option("--json", flags->json_path,
                    "Write the result as JSON; '-': to standard output");
    sub->callback([flags, &exit_code] {
        const absl::Status status = run(*flags);
        exit_code = status.ok() ? exit_ok : complain("bench capi", status);
    });
}

}  // namespace sluice::command
