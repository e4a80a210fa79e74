// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include <sluice/base/clock.hpp>
#include <sluice/fabric/memory_node.hpp>
#include <sluice/observe/metrics.hpp>

#include "block_pool.hpp"

namespace sluice::node {

/// What a node counts: on its loop; read from any thread.
class node_metrics {
    metrics_registry registry_;  // first: the rest is in it

 public:
    node_metrics();

    counter& lookups;
    counter& hits;
    counter& puts;
    counter& damaged;
    counter& rejected;
    counter& malformed;
    gauge& connections;
    gauge& draining;
    gauge& staging_bytes;

    /// Data connections that clients have asked for.
    [[nodiscard]] counter& lanes_of(std::string_view provider, std::string_view kind);

    /// What the pool says by now. On the loop.
    void publish(const pool_stats& pool) noexcept;

    [[nodiscard]] memory_node_stats stats() const noexcept;
    /// \param uptime  since the node was made
    [[nodiscard]] std::string text(duration uptime) const;

 private:
    gauge& blocks_;
    gauge& bytes_;
    gauge& capacity_;
    gauge& reserved_;
    gauge& leased_;
    gauge& uptime_;
    counter& refused_;
    counter& evicted_;
};

}  // namespace sluice::node
