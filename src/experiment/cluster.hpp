// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include <absl/status/statusor.h>

#include <sluice/coro/virtual_loop.hpp>
#include <sluice/sim/network.hpp>

#include "load.hpp"

namespace sluice::experiment {

/// What the engines of a run share: a loop on virtual time, and the memory nodes on it.
class cluster {
 public:
    /// \return what `sim::network` says of the options
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<cluster>> create(
        sim::network_options options);

    [[nodiscard]] virtual_loop& home() noexcept { return loop_; }
    [[nodiscard]] sim::network& nodes() noexcept { return *nodes_; }

    /// L3 holds what `requests` say that it holds at the start.
    void hold(const load& requests, std::uint64_t block_bytes);

 private:
    cluster() = default;

    virtual_loop loop_;
    std::unique_ptr<sim::network> nodes_;
};

}  // namespace sluice::experiment
