// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/kv/block_key.hpp>

#include "trace.hpp"

namespace sluice::workload {

/// What L3 holds before the first request.
enum class warm_mode : std::uint8_t {
    full,   ///< every block of every request but its last one
    trace,  ///< only what earlier requests of the trace have made
};

struct workload_options {
    std::uint64_t seed = 1;
    std::uint32_t clip_tokens = 32'768;  ///< of the trace, per request; 0: none
    std::uint32_t mean_tokens = 512;     ///< of a prompt, about; 0: as in the trace
    std::uint32_t block_tokens = 0;      ///< of the engine; 0: so that `mean_tokens` is met
    std::uint32_t vocabulary = 32'000;   ///< tokens are below this
    double bucket_s = 3;                 ///< arrivals of the trace clump at multiples of it
};

/// A request of an experiment.
struct workload_request {
    std::uint64_t id = 0;  ///< its place in order of arrival
    double arrival_s = 0;
    std::vector<std::uint32_t> tokens;
    std::vector<block_key> keys;      ///< of the whole blocks, in order
    std::uint32_t total_blocks = 0;   ///< started ones; the last is the request's own
    std::uint32_t reused_blocks = 0;  ///< leading ones that an earlier request has too
    std::uint32_t output_tokens = 0;
    double deadline_multiple = 0;  ///< 2, 4 or 8
    std::size_t trace_index = 0;   ///< its place in the trace

    /// Leading blocks that L3 holds when the request comes, if nothing has been lost.
    [[nodiscard]] std::uint32_t cached_blocks(warm_mode warm) const noexcept {
        return warm == warm_mode::full ? total_blocks - 1 : reused_blocks;
    }
};

struct workload {
    std::uint32_t block_tokens = 0;
    std::uint32_t vocabulary = 0;
    std::vector<workload_request> requests;  ///< by arrival; the first arrives at 0
};

/// Requests for an engine from those of a trace.
///
/// A block of the trace becomes a block of `block_tokens` tokens, and a last one that is partly
/// filled stays so. Equal hash ids give equal tokens and so equal prefixes and keys, but the last
/// block of a request is always its own: the query, which nobody has cached. Arrivals are spread
/// over their bucket. Everything drawn depends on the seed and the request's place in the trace.
///
/// \return kInvalidArgument: no requests, a vocabulary below 2, a bucket that is not positive.
[[nodiscard]] absl::StatusOr<workload> make_workload(std::span<const trace_request> trace,
                                                     const workload_options& options);

/// The block size that `make_workload` chooses for a mean of `mean_tokens`: whole, a multiple of 8
/// from 16 on, at most `trace_block_tokens`.
[[nodiscard]] std::uint32_t choose_block_tokens(std::span<const trace_request> trace,
                                                std::uint32_t clip_tokens,
                                                std::uint32_t mean_tokens);

/// Requests per second: those after the first over the time from the first to the last. 0 for fewer
/// than two, or where all arrive at once.
[[nodiscard]] double arrival_rate(const workload& w) noexcept;

/// Stretches or shrinks time so that `arrival_rate` is `per_second`. Nothing changes if there is no
/// rate to begin with.
///
/// \pre per_second is positive and finite
void scale_to_rate(workload& w, double per_second) noexcept;

struct workload_summary {
    std::size_t requests = 0;
    double mean_tokens = 0;
    double cv_tokens = 0;
    std::uint32_t max_tokens = 0;
    std::uint64_t blocks = 0;         ///< started ones, of all requests
    std::uint64_t unique_blocks = 0;  ///< of them, different ones
    double reuse = 0;                 ///< share of blocks that an earlier request has too
};
[[nodiscard]] workload_summary summarize(const workload& w);

}  // namespace sluice::workload
