// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include <sluice/coro/loop.hpp>
#include <sluice/coro/task.hpp>
#include <sluice/fabric/fabric_store.hpp>

namespace sluice::command {

/// Asks all nodes how they do, and again those that are being connected to or are late, for as long
/// as `patience`.
[[nodiscard]] task<std::vector<node_report>> ask_nodes(loop& home, fabric_store& nodes,
                                                       duration patience);

/// Whether a node is ready and has answered, and takes puts.
[[nodiscard]] bool is_ready(const node_report& report) noexcept;

/// A line for each node that is not ready: its name, its state and what is wrong. Each begins with
/// a line break; empty if all are ready.
[[nodiscard]] std::string node_complaints(std::span<const node_report> reports);

/// The nodes as a table, and what is wrong below it.
[[nodiscard]] std::string node_text(std::span<const node_report> reports);

/// One object per node: "node", "state", "error", "connects", "soft_timeouts", "answered"; if it
/// answered also "round_trip_s", "blocks", "bytes", "capacity", "evicted", "damaged",
/// "connections", "uptime_s", "draining", "version".
[[nodiscard]] nlohmann::ordered_json node_json(std::span<const node_report> reports);

}  // namespace sluice::command
