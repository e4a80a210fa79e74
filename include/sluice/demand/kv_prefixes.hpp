// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <unordered_map>
#include <vector>

#include <absl/status/status.h>

#include <sluice/base/ids.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/demand/warmable.hpp>
#include <sluice/kv/block_key.hpp>
#include <sluice/pipeline.hpp>

namespace sluice::demand {

struct kv_prefixes_options {
    /// Seconds to bring one block near, and for a prefix as such: first guesses, which the loads
    /// that end correct.
    double block_s = 1e-3;
    double prefix_s = 0;
    /// Resource-seconds per second of one block: 1 over the blocks that the near memory holds, if
    /// the resource is that memory.
    double block_hold = 0;
    /// Block keys of a prefix go to the pipeline in this many groups, group-major.
    std::uint32_t groups = 1;
};

/// Cached prefixes that a pipeline brings near before the next call needs them: what an application
/// has said so far, or a template that its next unit begins with. Warming is a `prewarm` request:
/// it takes what is idle, so a guess that was wrong costs nobody anything that is needed.
///
/// \par Thread safety
/// Any thread.
///
/// \par Lifetime
/// The pipeline and the clock outlive it, or at least its last call.
class kv_prefixes final : public warmable {
 public:
    /// \param clock  any loop of the pipeline's
    kv_prefixes(pipeline& into, const loop& clock, const kv_prefixes_options& options = {});

    /// What `key` means from now on, such as an application's prompt as it grows.
    /// \return kInvalidArgument: no block, or not a multiple of `groups`
    absl::Status define(warm_key key, std::span<const block_key> blocks);
    /// It means nothing any more.
    void remove(warm_key key);

    /// Give it every event that is polled from the pipeline.
    /// \return whether it was about one of its requests, and so is of no interest to others
    bool take(const request_event& event);

    /// Prefixes on their way.
    [[nodiscard]] std::size_t loading() const;
    /// As learned: of one block.
    [[nodiscard]] double block_seconds() const;

    [[nodiscard]] warm_cost cost(warm_key key) noexcept override;
    void warm(warm_key key, warm_done done) noexcept override;
    /// Stops what is on its way; what has come stays a cold block of its cache.
    void cool(warm_key key) noexcept override;

 private:
    struct load {
        warm_key key;
        time_point since;
        warm_done done;
    };

    pipeline& into_;
    const loop& clock_;
    kv_prefixes_options options_;
    mutable std::mutex mutex_;  // guards all below
    double block_s_;
    std::unordered_map<warm_key, std::vector<block_key>> prefixes_;
    std::unordered_map<request_handle, load> loads_;
};

}  // namespace sluice::demand
