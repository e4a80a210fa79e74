// SPDX-License-Identifier: Apache-2.0
#include "node_reports.hpp"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include <sluice/base/status.hpp>
#include <sluice/coro/sleep.hpp>
#include <sluice/observe/table.hpp>
#include <sluice/stage/await_operation.hpp>

namespace sluice::command {
namespace {

std::string_view state_text(const node_report& r) {
    switch (r.health.state) {
    case node_state::connecting: return "connecting";
    case node_state::slow: return "slow";
    case node_state::down: return "down";
    case node_state::ready: break;
    }
    return !r.answered ? "silent" : r.draining ? "draining" : "ready";
}

std::string uptime_text(duration uptime) {
    const auto seconds = static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::seconds>(uptime).count());
    if (seconds < 3600) {
        return fmt::format("{}:{:02}", seconds / 60, seconds % 60);
    }
    if (seconds < 48 * 3600) {
        return fmt::format("{} h {:02} min", seconds / 3600, seconds / 60 % 60);
    }
    return fmt::format("{} d {} h", seconds / 86400, seconds / 3600 % 24);
}

}  // namespace

task<std::vector<node_report>> ask_nodes(loop& home, fabric_store& nodes, duration patience) {
    awaited<fabric_inspect> op;
    fabric_store* const all = &nodes;
    const auto start = [all](fabric_inspect& o) { all->inspect(o); };
    const time_point limit = home.now() + patience;
    for (;;) {
        // Ends OK, whoever answered.
        (void)co_await op.run(home, start);
        // A node answers before blocks can be read from it.
        const bool settled =
            std::none_of(op.reports.begin(), op.reports.end(), [](const node_report& r) {
                return r.health.state == node_state::connecting ||
                       (r.health.state == node_state::ready && !r.answered);
            });
        if (settled || home.now() >= limit) {
            co_return std::move(op.reports);
        }
        (void)co_await sleep_for(home, std::chrono::milliseconds(2));
    }
}

bool is_ready(const node_report& report) noexcept {
    return report.health.state == node_state::ready && report.answered && !report.draining;
}

std::string node_complaints(std::span<const node_report> reports) {
    std::string out;
    for (const node_report& r : reports) {
        if (is_ready(r)) {
            continue;
        }
        const std::string_view why = message_of(r.health.error);
        out += fmt::format("\n  {}: {}{}{}", r.health.node, state_text(r), why.empty() ? "" : ": ",
                           why);
    }
    return out;
}

std::string node_text(std::span<const node_report> reports) {
    page_table table;
    table.groups = {{"",
                     {"node", "state", "round trip", "blocks", "bytes", "capacity", "connections",
                      "evicted", "damaged", "up", "version"}}};
    for (const node_report& r : reports) {
        std::vector<page_cell> row{{r.health.node, false}, {std::string(state_text(r)), false}};
        if (r.answered) {
            row.push_back({format_seconds(to_seconds(r.round_trip)), false});
            row.push_back({format_count(r.blocks), false});
            row.push_back({format_bytes(r.bytes), false});
            row.push_back({format_bytes(r.capacity), false});
            row.push_back({fmt::format("{}", r.connections), false});
            row.push_back({format_count(r.evicted), false});
            row.push_back({format_count(r.damaged), false});
            row.push_back({uptime_text(r.uptime), false});
            row.push_back({r.version, false});
        } else {
            row.resize(table.groups.front().columns.size(), {"-", false});
        }
        table.rows.push_back(std::move(row));
    }
    std::string out = render_table(table);
    if (const std::string complaints = node_complaints(reports); !complaints.empty()) {
        out += complaints.substr(1) + '\n';
    }
    return out;
}

nlohmann::ordered_json node_json(std::span<const node_report> reports) {
    auto out = nlohmann::ordered_json::array();
    for (const node_report& r : reports) {
        nlohmann::ordered_json one{{"node", r.health.node},
                                   {"state", state_text(r)},
                                   {"error", message_of(r.health.error)},
                                   {"connects", r.health.connects},
                                   {"soft_timeouts", r.health.soft_timeouts},
                                   {"answered", r.answered}};
        if (r.answered) {
            one["round_trip_s"] = to_seconds(r.round_trip);
            one["blocks"] = r.blocks;
            one["bytes"] = r.bytes;
            one["capacity"] = r.capacity;
            one["evicted"] = r.evicted;
            one["damaged"] = r.damaged;
            one["connections"] = r.connections;
            one["uptime_s"] = to_seconds(r.uptime);
            one["draining"] = r.draining;
            one["version"] = r.version;
        }
        out.push_back(std::move(one));
    }
    return out;
}

}  // namespace sluice::command
