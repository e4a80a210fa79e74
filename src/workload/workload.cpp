// SPDX-License-Identifier: Apache-2.0
#include "workload.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_set>
#include <utility>

#include "arrivals.hpp"
#include "random.hpp"

namespace sluice::workload {
namespace {

// Names of what is drawn; arrivals have others.
constexpr std::uint64_t shared_stream = 3;                      // + a hash id
constexpr std::uint64_t query_stream = std::uint64_t{1} << 63;  // + a place in the trace

std::uint32_t clipped(std::uint32_t tokens, std::uint32_t clip) {
    return clip == 0 ? tokens : std::min(tokens, clip);
}

void add_tokens(std::vector<std::uint32_t>& out, std::uint64_t seed, std::uint64_t stream,
                std::uint32_t count, std::uint32_t vocabulary) {
    for (std::uint32_t i = 0; i < count; ++i) {
        out.push_back(static_cast<std::uint32_t>(draw(seed, stream, i) % vocabulary));
    }
}

/// The tokens of a request: shared blocks by hash id, then the query.
void fill_tokens(workload_request& r, const trace_request& from, const workload_options& options,
                 std::uint32_t block_tokens) {
    const std::uint32_t input = clipped(from.input_length, options.clip_tokens);
    const std::uint32_t blocks = (input - 1) / trace_block_tokens + 1;
    const std::uint32_t last = input - (blocks - 1) * trace_block_tokens;
    const auto query = static_cast<std::uint32_t>(
        (std::uint64_t{last} * block_tokens + trace_block_tokens - 1) / trace_block_tokens);
    r.total_blocks = blocks;
    r.tokens.reserve(std::size_t{blocks - 1} * block_tokens + query);
    for (std::uint32_t b = 0; b + 1 < blocks; ++b) {
        add_tokens(r.tokens, options.seed, mix(shared_stream ^ mix(from.hash_ids[b])), block_tokens,
                   options.vocabulary);
    }
    add_tokens(r.tokens, options.seed, query_stream + r.trace_index, query, options.vocabulary);
}

void fill_keys(workload_request& r, std::uint32_t block_tokens) {
    const std::size_t whole = r.tokens.size() / block_tokens;
    r.keys.reserve(whole);
    block_key parent;
    for (std::size_t b = 0; b < whole; ++b) {
        parent = chain_key(parent, std::span(r.tokens).subspan(b * block_tokens, block_tokens));
        r.keys.push_back(parent);
    }
}

void count_reuse(std::vector<workload_request>& requests) {
    std::unordered_set<block_key> seen;
    for (workload_request& r : requests) {
        // A chained key names the whole prefix, so the first unknown one ends what is reused.
        const auto end = std::find_if(r.keys.begin(), r.keys.end(),
                                      [&seen](const block_key& k) { return !seen.contains(k); });
        r.reused_blocks = static_cast<std::uint32_t>(end - r.keys.begin());
        seen.insert(r.keys.begin(), r.keys.end());
    }
}

}  // namespace

std::uint32_t choose_block_tokens(std::span<const trace_request> trace, std::uint32_t clip_tokens,
                                  std::uint32_t mean_tokens) {
    if (mean_tokens == 0 || trace.empty()) {
        return trace_block_tokens;
    }
    const double total = std::accumulate(trace.begin(), trace.end(), 0.0,
                                         [clip_tokens](double sum, const trace_request& r) {
                                             return sum + clipped(r.input_length, clip_tokens);
                                         });
    const double mean = std::max(1.0, total / static_cast<double>(trace.size()));
    const double exact = trace_block_tokens * (mean_tokens / mean);
    const double unit = exact >= 16 ? 8 : 1;
    return static_cast<std::uint32_t>(
        std::clamp(std::round(exact / unit) * unit, 1.0, static_cast<double>(trace_block_tokens)));
}

absl::StatusOr<workload> make_workload(std::span<const trace_request> trace,
                                       const workload_options& options) {
    if (trace.empty()) {
        return absl::InvalidArgumentError("a workload needs at least one request");
    }
    if (options.vocabulary < 2) {
        return absl::InvalidArgumentError("a workload needs a vocabulary of at least 2 tokens");
    }
    if (!(options.bucket_s > 0)) {
        return absl::InvalidArgumentError("the bucket of arrivals must be longer than 0 s");
    }
    workload out;
    out.vocabulary = options.vocabulary;
    out.block_tokens = options.block_tokens != 0
                           ? options.block_tokens
                           : choose_block_tokens(trace, options.clip_tokens, options.mean_tokens);
    for (const trace_request& r : trace) {
        if (r.input_length == 0 || r.hash_ids.size() * trace_block_tokens < r.input_length) {
            return absl::InvalidArgumentError("a request of the trace has too few hash ids");
        }
    }
    out.requests.reserve(trace.size());
    for (const arrival& a : spread_arrivals(trace, options.seed, options.bucket_s)) {
        const trace_request& from = trace[a.index];
        workload_request r;
        r.id = out.requests.size();
        r.trace_index = a.index;
        r.arrival_s = a.at_s;
        r.output_tokens = from.output_length;
        r.deadline_multiple = draw_deadline_multiple(options.seed, a.index);
        fill_tokens(r, from, options, out.block_tokens);
        fill_keys(r, out.block_tokens);
        out.requests.push_back(std::move(r));
    }
    count_reuse(out.requests);
    return out;
}

double arrival_rate(const workload& w) noexcept { return rate_of_arrivals(w.requests); }

void scale_to_rate(workload& w, double per_second) noexcept {
    scale_arrivals(w.requests, per_second);
}

workload_summary summarize(const workload& w) {
    workload_summary out;
    out.requests = w.requests.size();
    std::unordered_set<block_key> different;
    std::uint64_t reused = 0;
    std::uint64_t partial = 0;
    double square = 0;
    for (const workload_request& r : w.requests) {
        const auto tokens = static_cast<double>(r.tokens.size());
        out.mean_tokens += tokens;
        square += tokens * tokens;
        out.max_tokens = std::max(out.max_tokens, static_cast<std::uint32_t>(r.tokens.size()));
        out.blocks += r.total_blocks;
        reused += r.reused_blocks;
        partial += r.total_blocks - r.keys.size();  // without a key, and nobody else's
        different.insert(r.keys.begin(), r.keys.end());
    }
    if (out.requests == 0) {
        return out;
    }
    const auto n = static_cast<double>(out.requests);
    out.mean_tokens /= n;
    const double variance = std::max(0.0, square / n - out.mean_tokens * out.mean_tokens);
    out.cv_tokens = out.mean_tokens > 0 ? std::sqrt(variance) / out.mean_tokens : 0;
    out.unique_blocks = different.size() + partial;
    out.reuse = static_cast<double>(reused) / static_cast<double>(out.blocks);
    return out;
}

}  // namespace sluice::workload
