// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/kv/block_key.hpp>

#include "../workload/workload.hpp"

namespace sluice::experiment {

/// A request of a simulated experiment.
struct load_request {
    double arrival_s = 0;             ///< from the start of the run
    std::uint64_t prompt_tokens = 0;  ///< at least 1
    std::uint32_t output_tokens = 1;
    std::uint32_t cached_blocks = 0;  ///< leading ones that L3 holds at the start
    double deadline_multiple = 2;     ///< 2, 4 or 8 times T0
    std::vector<std::uint64_t>
        block_ids;  ///< of the prompt's whole blocks; equal ids, equal prefixes
};

/// The name of a block under which pipelines and stores know it.
[[nodiscard]] inline block_key key_of(std::uint64_t block_id) noexcept {
    return block_key::from_u64(block_id);
}

/// What is asked of an engine.
struct load {
    std::string name;
    std::string description;
    std::uint32_t block_tokens = 0;
    std::vector<load_request> requests;  ///< by arrival
    bool distinct = true;                ///< no block belongs to two requests
};

struct load_options {
    /// A name of `builtin_workloads`, "mooncake", or a file FILE.json.
    std::string workload = "icl";
    std::string trace = {};  ///< the file, for mooncake
    std::uint64_t seed = 1;
    std::uint32_t requests = 2000;  ///< the first ones; 0: all that a trace or list has
    /// Mean rate of arrivals. 0: as the trace or list says; workloads that are drawn need one.
    double qps = 0;
    /// Share of a request's cacheable blocks, the leading ones, that L3 holds at the start.
    double hit_ratio = 1;
    /// Of mooncake: whether L3 holds blocks at the start, or only what requests have put there.
    workload::warm_mode warm = workload::warm_mode::trace;
    std::uint32_t block_tokens = 256;  ///< where the workload does not say: a trace has 512
};

/// Makes the requests of an experiment. What is drawn depends on the seed and a request's place,
/// not on the rate or the number of requests.
///
/// Drawn workloads: arrivals are Poisson, the first at 0. A context has whole blocks only, by
/// chance one more or less so that the mean is kept: the partly filled block behind it would have
/// to be computed with the query, and at 128 tokens on average would dwarf most queries. Each
/// request has a context of its own; with a hit ratio of 1 exactly the query is computed.
///
/// A file holds {"name", "description"?} and either, for requests that are drawn,
/// "context_tokens", "query_tokens" and "output_tokens"? (1) as `lengths` reads them, or
/// "block_tokens"? and "requests": [{"arrival_s", "context_tokens", "query_tokens",
/// "output_tokens"?, "blocks"?}], in order of arrival. "blocks" names the whole blocks of the
/// context by numbers below 2^63 and needs "block_tokens"; without it no other request has them.
///
/// mooncake: a trace as `workload::trace_reader` reads it, at its own pace or scaled to `qps`; the
/// block with the last token is the request's own. With `warm_mode::full` L3 holds all others.
///
/// \return kNotFound: no such workload or file; kInvalidArgument: an option that is out of range,
/// with its name, or what a file has wrong, with file, line and key.
[[nodiscard]] absl::StatusOr<load> make_load(const load_options& options);

/// The names of the workloads in workloads/.
[[nodiscard]] std::vector<std::string> builtin_workloads();

/// A line for each of them: what it is, and from what its requests are drawn.
[[nodiscard]] std::string describe_builtin_workloads();

}  // namespace sluice::experiment
