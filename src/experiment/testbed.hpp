// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>

#include <absl/status/statusor.h>

#include <sluice/kv/layout.hpp>
#include <sluice/sim/copy_engine.hpp>
#include <sluice/sim/iteration_engine.hpp>
#include <sluice/sim/link.hpp>
#include <sluice/sim/prefill.hpp>

#include "cluster.hpp"
#include "kv_model.hpp"
#include "load.hpp"
#include "profile.hpp"

namespace sluice::experiment {

/// The simulated machine of one engine: every seam, on the loop of a cluster whose nodes hold what
/// the load says that they hold at the start.
class testbed {
 public:
    /// \param in, hardware, requests  outlive it
    /// \param drift  of the engine's link
    /// \param decoded  called when a request's last token is there, if the compute has a decode
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<testbed>> create(
        cluster& in, const hardware_profile& hardware, const kv_model& model, const load& requests,
        std::span<const sim::rate_change> drift, std::function<void(std::size_t request)> decoded);

    [[nodiscard]] virtual_loop& home() noexcept { return in_.home(); }
    [[nodiscard]] const layout& l1() const noexcept { return *l1_; }
    [[nodiscard]] sim::link& l3() noexcept { return *l3_; }
    [[nodiscard]] sim::copy_engine& gpu() noexcept { return *gpu_; }
    [[nodiscard]] compute& model() noexcept;
    /// Requests go on after their first token, and `decoded` says when they end.
    [[nodiscard]] bool decodes() const noexcept { return iteration_ != nullptr; }
    /// Null: the profile's compute has no decode.
    [[nodiscard]] const sim::iteration_engine* iteration() const noexcept {
        return iteration_.get();
    }
    [[nodiscard]] double compute_busy_seconds() const noexcept;
    [[nodiscard]] std::uint64_t block_bytes() const noexcept { return block_bytes_; }

    /// Of L1 that a request touches before it ends.
    [[nodiscard]] std::uint32_t pages_of(std::size_t request) const noexcept;

    /// What `user` of compute jobs and requests is.
    [[nodiscard]] void* user_of(std::size_t request) const noexcept {
        return const_cast<load_request*>(&requests_.requests[request]);
    }
    [[nodiscard]] std::size_t request_of(const void* user) const noexcept {
        return static_cast<std::size_t>(static_cast<const load_request*>(user) -
                                        requests_.requests.data());
    }

 private:
    testbed(cluster& in, const load& requests) noexcept : in_(in), requests_(requests) {}

    cluster& in_;
    const load& requests_;
    std::uint64_t block_bytes_ = 0;
    std::optional<layout> l1_;
    std::unique_ptr<sim::link> l3_;
    std::unique_ptr<sim::copy_engine> gpu_;
    std::unique_ptr<sim::prefill> prefill_;  // one of these
    std::unique_ptr<sim::iteration_engine> iteration_;
};

/// The names of a request's blocks.
void append_keys(const load_request& request, std::vector<block_key>& out);

}  // namespace sluice::experiment
