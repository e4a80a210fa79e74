// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdio>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/observe/html_report.hpp>
#include <sluice/observe/json_report.hpp>
#include <sluice/observe/perfetto.hpp>
#include <sluice/observe/table.hpp>
#include <sluice/sched/policy_registry.hpp>

#include "../replay/l3_store.hpp"
#include "commands.hpp"
#include "output.hpp"
#include "plugins.hpp"
#include "replay.hpp"
#include "validators.hpp"

namespace sluice::command {
namespace {

/// Everything that can be wrong is found here, before minutes are spent on a run.
absl::Status prepare(replay_options& options) {
    for (const std::string* path : {&options.json, &options.report, &options.perfetto}) {
        SLUICE_RETURN_IF_ERROR(check_writable(*path));
    }
    if (options.report == "-" || options.perfetto == "-") {
        return absl::InvalidArgumentError("only --json can go to standard output");
    }
    SLUICE_RETURN_IF_ERROR(load_plugins(options.plugins));
    for (const policy_choice& choice : options.policies) {
        SLUICE_RETURN_IF_ERROR(annotate(make_policy(choice.spec).status(), "--policies"));
    }
    return absl::OkStatus();
}

absl::Status publish(const replay_options& options, const experiment_result& result) {
    if (!options.json.empty()) {
        SLUICE_RETURN_IF_ERROR(write_text(options.json, json_report(result)));
    }
    if (!options.report.empty()) {
        SLUICE_RETURN_IF_ERROR(write_text(options.report, html_report(result)));
    }
    if (!options.perfetto.empty()) {
        SLUICE_RETURN_IF_ERROR(write_text(options.perfetto, perfetto_trace(result)));
    }
    if (options.json == "-" || options.quiet) {
        return absl::OkStatus();
    }
    return write_text("-", render_table(result, {.bold = stdout_is_terminal()}));
}

int replay(replay_options options) {
    if (absl::Status status = prepare(options); !status.ok()) {
        return complain("replay", status);
    }
    absl::StatusOr<experiment_result> result = absl::UnknownError("");
    {
        progress_bar progress(!options.quiet);
        result = run_replay(options, progress);
    }
    if (!result.ok()) {
        return complain("replay", result.status());
    }
    if (absl::Status status = publish(options, *result); !status.ok()) {
        return complain("replay", status);
    }
    return exit_ok;
}

std::string policies_error(const std::string& text) {
    return std::string(message_of(parse_policies(text).status()));
}

}  // namespace

void add_replay(CLI::App& app, int& exit_code) {
    CLI::App* sub = app.add_subcommand(
        "replay", "Serve a trace with real bytes and real compute, once per configuration");
    auto options = std::make_shared<replay_options>();
    auto policies = std::make_shared<std::string>();
    auto warm = std::make_shared<std::string>("full");
    replay_options& o = *options;

    sub->add_option("--trace", o.trace,
                    "Trace in the Mooncake format; without it, conversation_trace.jsonl in the "
                    "folder SLUICE_DATA or in ../shared/data; else a made-up one")
        ->check(CLI::ExistingFile);
    sub->add_option("--requests", o.requests, "Requests to serve")
        ->check(CLI::Range(1, 1'000'000))
        ->capture_default_str();
    sub->add_option("--warm", *warm,
                    "What L3 holds: full, all but the last block of each request; trace, what "
                    "earlier requests made")
        ->check(CLI::IsMember({"full", "trace"}))
        ->capture_default_str();
    sub->add_option("--seed", o.seed, "Seed of everything drawn")
        ->check(CLI::NonNegativeNumber)
        ->capture_default_str();
    if (!sluice::replay::has_nodes()) {
        o.nodes = 0;
    }
    sub->add_option("--nodes", o.nodes,
                    "Memory nodes that L3 is made of, started as child processes; 0: L3 is a store "
                    "in this process")
        ->check(CLI::Range(0, 64))
        ->capture_default_str();
    sub->add_option("--provider", o.provider,
                    "What moves blocks from and to the nodes, as fi_info names it")
        ->capture_default_str();
    sub->add_option("--link-mbps", o.link_mbps, "MB/s that the link to L3 is held to; 0: chosen")
        ->check(number_between(0, 1e6))
        ->capture_default_str();
    sub->add_option("--offered-load", o.offered_load,
                    "Offered load of the coupled baseline, which sets the arrival rate")
        ->check(number_between(0.01, 10))
        ->capture_default_str();
    sub->add_option("--mean-tokens", o.mean_tokens, "Tokens of a prompt after scaling, about")
        ->check(CLI::Range(16, 100'000))
        ->capture_default_str();
    sub->add_option("--clip-tokens", o.clip_tokens,
                    "Tokens of the trace that a prompt is cut to; 0: never")
        ->check(CLI::Range(0, 100'000'000))
        ->capture_default_str();
    sub->add_option("--configs", o.configs, "Configurations, separated by commas")
        ->delimiter(',')
        ->check(CLI::IsMember({"recompute", "coupled", "async", "pipelined"}))
        ->capture_default_str();
    sub->add_option("--policies", *policies,
                    "Policies of the pipelined configuration, separated by commas, each with "
                    "'+split' or not")
        ->check(CLI::Validator(policies_error, "SPECS"))
        ->default_str("fifo,sjf,srpt,edf,lstf,sjf+split");
    sub->add_option("--plugin", o.plugins, "Shared object that registers policies; repeatable")
        ->check(CLI::ExistingFile);
    sub->add_option("--time-limit", o.recompute_limit_s,
                    "Seconds after which the recompute row stops; 0: never")
        ->check(number_between(0, 1e6))
        ->capture_default_str();
    sub->add_option("--profile", o.profile,
                    "Costs that 'sluice profile --json' wrote; without it they are measured first")
        ->check(CLI::ExistingFile);
    sub->add_option("--json", o.json, "Write the result as JSON; '-': to standard output");
    sub->add_option("--report", o.report, "Write the result as an HTML page");
    sub->add_option("--perfetto", o.perfetto, "Write a trace for ui.perfetto.dev");
    sub->add_flag("--quiet,-q", o.quiet, "No table and no progress");

    sub->callback([options, policies, warm, &exit_code] {
        options->warm = *warm == "full" ? workload::warm_mode::full : workload::warm_mode::trace;
        if (!policies->empty()) {
            options->policies = *parse_policies(*policies);  // checked above
        }
        // Twice the same row would only take twice the time.
        std::vector<std::string> configs;
        for (const std::string& config : options->configs) {
            if (std::find(configs.begin(), configs.end(), config) == configs.end()) {
                configs.push_back(config);
            }
        }
        options->configs = std::move(configs);
        exit_code = replay(*options);
    });
}

}  // namespace sluice::command
