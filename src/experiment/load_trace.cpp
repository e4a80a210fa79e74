// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <utility>

#include <fmt/format.h>

#include "../workload/arrivals.hpp"
#include "../workload/trace.hpp"
#include "load_parts.hpp"

namespace sluice::experiment {

absl::StatusOr<load> trace_load(const load_options& options) {
    if (options.trace.empty()) {
        return absl::InvalidArgumentError("workload mooncake needs the file of a trace");
    }
    const bool warm = options.warm == workload::warm_mode::full;
    if (!warm && options.hit_ratio != 1) {
        return absl::InvalidArgumentError(
            fmt::format("hit_ratio is {}, but L3 holds nothing at the start unless it is warm",
                        options.hit_ratio));
    }
    const absl::StatusOr<std::vector<workload::trace_request>> trace =
        workload::read_trace(options.trace, options.requests);
    if (!trace.ok()) {
        return trace.status();
    }
    prefix_check prefixes;
    for (const workload::trace_request& from : *trace) {
        const auto ids = std::span(from.hash_ids).first(from.hash_ids.size() - 1);
        if (const auto fault = prefixes.add(ids, from.line)) {
            return absl::InvalidArgumentError(
                fmt::format("{}:{}: key 'hash_ids': {}", options.trace, from.line, *fault));
        }
    }
    load out;
    out.name = "mooncake";
    // The name without its folder: reports are shown to others.
    out.description = fmt::format(
        "{}, the first {} requests, L3 {} at the start",
        std::filesystem::path(options.trace).filename().string(), trace->size(),
        warm ? fmt::format("holding {} of the shared blocks", options.hit_ratio) : "empty");
    out.block_tokens = workload::trace_block_tokens;
    out.distinct = !prefixes.shared();
    out.requests.reserve(trace->size());
    own_ids own;
    constexpr double bucket_s = 3;
    for (const workload::arrival& a : workload::spread_arrivals(*trace, options.seed, bucket_s)) {
        const workload::trace_request& from = (*trace)[a.index];
        load_request r;
        r.arrival_s = a.at_s;
        r.prompt_tokens = from.input_length;
        r.output_tokens = std::max(1u, from.output_length);
        r.deadline_multiple = workload::draw_deadline_multiple(options.seed, a.index);
        // The block with the last token is the request's own: somebody has to compute that token.
        r.block_ids.assign(from.hash_ids.begin(), from.hash_ids.end() - 1);
        r.cached_blocks = warm ? cached_share(r.block_ids.size(), options.hit_ratio) : 0;
        if (absl::Status fault = own.complete(r, out.block_tokens); !fault.ok()) {
            return fault;
        }
        out.requests.push_back(std::move(r));
    }
    if (options.qps > 0) {
        workload::scale_arrivals(out.requests, options.qps);
    }
    return out;
}

}  // namespace sluice::experiment
