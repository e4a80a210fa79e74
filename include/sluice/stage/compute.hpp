// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include <sluice/base/ids.hpp>
#include <sluice/kv/layout.hpp>
#include <sluice/stage/operation.hpp>

namespace sluice {

/// One prefill: the part of a request that was not loaded.
struct compute_job : operation {
    request_handle request;
    void* user = nullptr;              ///< as given at submit
    std::uint32_t loaded_blocks = 0;   ///< the leading blocks whose KV is in L1
    std::uint64_t context_tokens = 0;  ///< tokens in those blocks
    std::uint64_t query_tokens = 0;    ///< tokens to compute
    /// The request's pages, group-major: block i of group g is in pages[g * pages_per_group + i].
    std::span<const slot_id> pages;
    std::uint32_t pages_per_group = 0;
};

/// The seam to the model, for the mode in which the library drives compute.
///
/// Models: `compute_thread` (runs the engine's function on a thread of its own), the simulated
/// prefill. `start` may be called from any thread, does not block, and the job completes as
/// `operation` says, never inside the call.
class compute {
 public:
    compute() = default;
    compute(const compute&) = delete;
    compute& operator=(const compute&) = delete;
    /// Every job must have completed.
    virtual ~compute() = default;

    virtual void start(compute_job& job) noexcept = 0;
};

}  // namespace sluice
