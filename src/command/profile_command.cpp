// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/observe/table.hpp>

#include "../replay/l3_store.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "profile.hpp"
#include "validators.hpp"

namespace sluice::command {
namespace {

std::string load_line(std::string_view name, const load_coefficients& fit) {
    return fmt::format("{:<8} {} + {}/MB + {}/descriptor, R2 {:.4f}\n", name,
                       format_seconds(fit.fixed_s), format_seconds(fit.per_byte_s * 1e6),
                       format_seconds(fit.per_descriptor_s), fit.r2);
}

std::string profile_text(const profile_result& profile) {
    std::string out;
    for (const result_fact& fact : profile.facts) {
        out += fmt::format("  {}: {}\n", fact.name, fact.value);
    }
    const compute_coefficients& c = profile.compute;
    out += load_line("fetch", profile.fetch);
    out += load_line("copy", profile.copy);
    out +=
        fmt::format("{:<8} {} + {}/token + {}/(token x token before it), R2 {:.4f}\n", "compute",
                    format_seconds(c.c0_s), format_seconds(c.c1_s), format_seconds(c.c2_s), c.r2);
    return out;
}

int profile(const profile_options& options) {
    if (absl::Status status = check_writable(options.json); !status.ok()) {
        return complain("profile", status);
    }
    absl::StatusOr<profile_result> result = absl::UnknownError("");
    {
        progress_bar progress(!options.quiet);
        result = run_profile(options, progress);
    }
    if (!result.ok()) {
        return complain("profile", result.status());
    }
    absl::Status written;
    if (!options.json.empty()) {
        written = write_text(options.json, profile_json(*result));
    }
    if (written.ok() && options.json != "-" && !options.quiet) {
        written = write_text("-", profile_text(*result));
    }
    return written.ok() ? exit_ok : complain("profile", written);
}

}  // namespace

void add_profile(CLI::App& app, int& exit_code) {
    CLI::App* sub = app.add_subcommand(
        "profile", "Measure fetch, copy and compute on this machine and fit their costs");
    auto options = std::make_shared<profile_options>();
    if (!sluice::replay::has_nodes()) {
        options->nodes = 0;
    }
    sub->add_option("--nodes", options->nodes, "Memory nodes that L3 is made of, as for replay")
        ->check(CLI::Range(0, 64))
        ->capture_default_str();
    sub->add_option("--provider", options->provider,
                    "What moves blocks from and to the nodes, as fi_info names it")
        ->capture_default_str();
    sub->add_option("--link-mbps", options->link_mbps,
                    "MB/s that the link to L3 is held to; 0: not limited")
        ->check(number_between(0, 1e6))
        ->capture_default_str();
    sub->add_option("--repeats", options->repeats, "Measurements of each point")
        ->check(CLI::Range(1, 1000))
        ->capture_default_str();
    sub->add_option("--seed", options->seed, "Seed of everything drawn")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    sub->add_option("--json", options->json, "Write the fit as JSON; '-': to standard output");
    sub->add_flag("--quiet,-q", options->quiet, "No text and no progress");
    sub->callback([options, &exit_code] { exit_code = profile(*options); });
}

}  // namespace sluice::command
