// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/store/store.hpp>

namespace sluice::replay {

/// What went wrong with L3.
struct l3_faults {
    std::uint64_t missed = 0, damaged = 0, failed = 0;  ///< gets that brought no block
    std::uint64_t nodes_lost = 0;                       ///< that did not answer any more in the end

    [[nodiscard]] bool any() const noexcept { return missed + damaged + failed + nodes_lost > 0; }
};

/// What L3 is in an experiment.
struct l3_spec {
    unsigned nodes = 0;            ///< memory nodes, as child processes; 0: in this process
    std::string provider = "tcp";  ///< what moves blocks from and to nodes
    std::string program;           ///< that knows the subcommand `node`; empty: this one
    l3_faults* faults = nullptr;   ///< each store of nodes adds its own when it ends; may be null
};

/// L3 of an experiment or of one of its rows, and the link to it. Empty at first.
class l3_store {
 public:
    l3_store() = default;
    l3_store(const l3_store&) = delete;
    l3_store& operator=(const l3_store&) = delete;
    virtual ~l3_store() = default;

    [[nodiscard]] virtual store& blocks() noexcept = 0;
    virtual absl::Status set_link_rate(double bytes_per_second) noexcept = 0;
    /// Blocks that it holds.
    /// \return kUnavailable: a node does not answer
    [[nodiscard]] virtual absl::StatusOr<std::uint64_t> block_count() = 0;
};

/// \param bytes      of blocks that it must hold, with what their headers take
/// \param link_rate  bytes per second; 0: not limited
/// \return as the stores' `create`; kUnimplemented: nodes, in a build without the fabric transport;
///         kUnavailable, kDeadlineExceeded: a node did not start.
[[nodiscard]] absl::StatusOr<std::unique_ptr<l3_store>> open_l3(const l3_spec& spec,
                                                                std::uint64_t bytes,
                                                                double link_rate);

/// `open_l3` for `spec.nodes` > 0.
[[nodiscard]] absl::StatusOr<std::unique_ptr<l3_store>> open_l3_nodes(const l3_spec& spec,
                                                                      std::uint64_t bytes,
                                                                      double link_rate);

/// Whether this build has nodes.
[[nodiscard]] bool has_nodes() noexcept;

}  // namespace sluice::replay
