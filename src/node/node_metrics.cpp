// SPDX-License-Identifier: Apache-2.0
#include "node_metrics.hpp"

#include <cstdint>
#include <utility>

namespace sluice::node {
namespace {

// The names are ours, so registering them does not fail.
counter& total(metrics_registry& r, std::string_view name, std::string_view help,
               metric_labels labels = {}) {
    return **r.add_counter(name, help, std::move(labels));
}

gauge& level(metrics_registry& r, std::string_view name, std::string_view help) {
    return **r.add_gauge(name, help);
}

void set(gauge& g, std::uint64_t n) noexcept { g.set(static_cast<double>(n)); }

void raise(counter& c, std::uint64_t to) noexcept { c.add(to - c.value()); }

std::uint64_t whole(const gauge& g) noexcept { return static_cast<std::uint64_t>(g.value()); }

}  // namespace

node_metrics::node_metrics()
    : lookups(total(registry_, "sluice_node_lookups_total", "Keys asked for.")),
      hits(total(registry_, "sluice_node_hits_total", "Keys asked for that were there.")),
      puts(total(registry_, "sluice_node_puts_total", "Blocks committed.")),
      damaged(total(registry_, "sluice_node_damaged_total",
                    "Blocks dropped because their bytes were not right.")),
      rejected(total(registry_, "sluice_node_rejected_total",
                     "Connections that did not know the secret.")),
      malformed(total(registry_, "sluice_node_malformed_total",
                      "Connections dropped for what they sent.")),
      connections(level(registry_, "sluice_node_connections", "Control connections open.")),
      draining(level(registry_, "sluice_node_draining", "1 while the node drains.")),
      staging_bytes(level(registry_, "sluice_node_staging_bytes",
                          "Memory that clients have for puts, beside the pool.")),
      blocks_(level(registry_, "sluice_node_blocks", "Blocks that can be found.")),
      bytes_(level(registry_, "sluice_node_bytes", "Bytes of these blocks.")),
      capacity_(level(registry_, "sluice_node_capacity_bytes", "Bytes that blocks may take.")),
      reserved_(level(registry_, "sluice_node_reserved_bytes",
                      "Bytes reserved for blocks that are being put.")),
      leased_(level(registry_, "sluice_node_leased_bytes",
                    "Bytes of dropped blocks that wait for their leases to end.")),
      uptime_(level(registry_, "sluice_node_uptime_seconds", "Since the node was made.")),
      refused_(total(registry_, "sluice_node_refused_total",
                     "Blocks for which there was no room, or that were too large.")),
      evicted_(total(registry_, "sluice_node_evicted_total", "Blocks dropped to make room.")) {}

counter& node_metrics::lanes_of(std::string_view provider, std::string_view kind) {
    return total(registry_, "sluice_node_lanes_total", "Data connections that clients asked for.",
                 {{"provider", std::string(provider)}, {"kind", std::string(kind)}});
}

void node_metrics::publish(const pool_stats& pool) noexcept {
    set(blocks_, pool.blocks);
    set(bytes_, pool.bytes);
    set(capacity_, pool.capacity);
    set(reserved_, pool.reserved);
    set(leased_, pool.limbo);
    raise(refused_, pool.refused);
    raise(evicted_, pool.evicted);
}

memory_node_stats node_metrics::stats() const noexcept {
    memory_node_stats out;
    out.blocks = whole(blocks_);
    out.bytes = whole(bytes_);
    out.capacity = whole(capacity_);
    out.lookups = lookups.value();
    out.hits = hits.value();
    out.puts = puts.value();
    out.refused = refused_.value();
    out.evicted = evicted_.value();
    out.damaged = damaged.value();
    out.leased_bytes = whole(leased_);
    out.connections = whole(connections);
    out.rejected = rejected.value();
    out.malformed = malformed.value();
    return out;
}

std::string node_metrics::text(duration uptime) const {
    uptime_.set(to_seconds(uptime));
    return registry_.text();
}

}  // namespace sluice::node
