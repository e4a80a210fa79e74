// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <absl/status/statusor.h>

#include "../workload/workload.hpp"

namespace sluice::command {

/// An order that the pipelined configuration is run with.
struct policy_choice {
    std::string spec;    ///< for `make_policy`
    bool split = false;  ///< load, recompute or both by predicted time; else always load

    friend bool operator==(const policy_choice&, const policy_choice&) = default;
};

/// Policies separated by commas, each with "+split" behind it or not: "sjf,lstf:late_last=off,
/// sjf+split". A comma inside parentheses or before `key=` belongs to the spec. Specs are not
/// checked here.
///
/// \return kInvalidArgument: an empty one, parentheses that do not match.
[[nodiscard]] absl::StatusOr<std::vector<policy_choice>> parse_policies(std::string_view text);

/// What `sluice replay` was asked for.
struct replay_options {
    std::string trace;  ///< file; empty: looked for, see `load_trace`
    std::size_t requests = 200;
    workload::warm_mode warm = workload::warm_mode::full;
    std::uint64_t seed = 1;
    unsigned nodes = 2;            ///< memory nodes, as child processes; 0: L3 in this process
    std::string provider = "tcp";  ///< what moves blocks from and to them
    std::string program;           ///< that knows the subcommand `node`; empty: this one
    double link_mbps = 0;          ///< MB/s of the link to L3; 0: chosen by measured compute
    double offered_load = 0.90;    ///< of the coupled baseline
    std::uint32_t mean_tokens = 512;
    std::uint32_t clip_tokens = 32'768;
    std::vector<std::string> configs{"recompute", "coupled", "async", "pipelined"};
    std::vector<policy_choice> policies{{"fifo", false}, {"sjf", false},  {"srpt", false},
                                        {"edf", false},  {"lstf", false}, {"sjf", true}};
    std::vector<std::string> plugins;  ///< loaded already when `run_replay` is called
    double recompute_limit_s = 60;     ///< the recompute row stops then; 0: never
    std::string profile;               ///< file of `sluice profile --json`; empty: measured first
    std::string json;                  ///< file, "-" for standard output, or empty
    std::string report;
    std::string perfetto;
    bool quiet = false;

    [[nodiscard]] bool has_config(std::string_view name) const noexcept {
        for (const std::string& config : configs) {
            if (config == name) {
                return true;
            }
        }
        return false;
    }
};

}  // namespace sluice::command
