// SPDX-License-Identifier: Apache-2.0
#include "synthetic.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "random.hpp"

namespace sluice::workload {
namespace {

std::size_t blocks_of(std::uint32_t tokens) {
    return (tokens + trace_block_tokens - 1) / trace_block_tokens;
}

}  // namespace

std::vector<trace_request> make_trace(const trace_statistics& statistics, std::uint64_t seed) {
    random_source random(seed);
    std::vector<trace_request> out;
    out.reserve(statistics.requests);
    std::uint64_t next_id = 1;  // 0 is the first block of everybody
    double now_ms = 0;
    std::uint64_t blocks = 0;
    std::uint64_t reused = 0;
    for (std::size_t i = 0; i < statistics.requests; ++i) {
        trace_request r;
        const double tokens = random.log_normal(statistics.mean_input_tokens, statistics.input_cv);
        r.input_length = static_cast<std::uint32_t>(
            std::clamp(tokens, static_cast<double>(statistics.min_input_tokens),
                       static_cast<double>(statistics.max_input_tokens)));
        r.output_length =
            static_cast<std::uint32_t>(1 + random.exponential(statistics.mean_output_tokens));
        r.timestamp_ms = static_cast<std::uint64_t>(now_ms);
        now_ms += random.exponential(1000 / statistics.requests_per_second);

        const std::size_t count = blocks_of(r.input_length);
        r.hash_ids.push_back(count > 1 ? 0 : next_id++);
        // Draws are made whether they are used or not: each request takes as many.
        const std::uint64_t earlier = random.word();
        const bool behind =
            static_cast<double>(reused) < statistics.reuse * static_cast<double>(blocks);
        if (i > 0 && behind) {
            const std::vector<std::uint64_t>& ids = out[earlier % i].hash_ids;
            // The last block of either is its own, as a partly filled one would be.
            const std::size_t shared = std::min(ids.size(), count) - 1;
            for (std::size_t b = 1; b < shared; ++b) {
                r.hash_ids.push_back(ids[b]);
            }
        }
        blocks += count;
        reused += i > 0 && count > 1 ? r.hash_ids.size() : 0;
        while (r.hash_ids.size() < count) {
            r.hash_ids.push_back(next_id++);
        }
        out.push_back(std::move(r));
    }
    return out;
}

std::string describe(const trace_statistics& statistics) {
    return fmt::format(
        "made up: log-normal inputs of {:.0f} tokens on average, cv {:g}, {} to {}; Poisson "
        "arrivals, {:g} per second; {:.0f} % of blocks reused",
        statistics.mean_input_tokens, statistics.input_cv, statistics.min_input_tokens,
        statistics.max_input_tokens, statistics.requests_per_second, statistics.reuse * 100);
}

}  // namespace sluice::workload
