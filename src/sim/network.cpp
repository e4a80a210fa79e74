// SPDX-License-Identifier: Apache-2.0
#include <sluice/sim/network.hpp>

#include <algorithm>
#include <optional>
#include <utility>

#include <fmt/format.h>

#include <sluice/base/status.hpp>

#include "checks.hpp"
#include "network_state.hpp"

namespace sluice::sim {
namespace detail {

node::node(const node_options& o)
    : overhead(span_of(o.per_operation)),
      latency(span_of(o.latency)),
      jitter(span_of(o.jitter)),
      loss(o.loss),
      out(o.rate, steps_of(o)),
      in(o.rate, steps_of(o)) {
    for (const node_event& e : o.events) {
        if (e.what == node_change::hang || e.what == node_change::die) {
            outages_.push_back({instant_of(e.at), no_instant, e.what == node_change::die});
        } else if (e.what == node_change::recover) {
            outages_.back().until = instant_of(e.at);
        }
    }
}

// A death is no stop: what it meets is dropped.
std::vector<speed_step> node::steps_of(const node_options& o) {
    std::vector<speed_step> steps;
    double factor = 1;
    for (const node_event& e : o.events) {
        switch (e.what) {
        case node_change::rate: factor = e.factor; [[fallthrough]];
        case node_change::recover: steps.push_back({instant_of(e.at), factor}); break;
        case node_change::hang: steps.push_back({instant_of(e.at), 0}); break;
        case node_change::die: break;
        }
    }
    return steps;
}

namespace {

absl::Status check_events(const std::string& whose, const node_options& o) {
    std::optional<node_change> down;
    for (std::size_t i = 0; i < o.events.size(); ++i) {
        const node_event& e = o.events[i];
        const std::string which = fmt::format("event {}", i);
        if (i > 0 && e.at < o.events[i - 1].at) {
            return absl::InvalidArgumentError(
                fmt::format("{}: {} is before the one before it", whose, which));
        }
        if (e.at == never) {
            return absl::InvalidArgumentError(fmt::format("{}: {} never comes", whose, which));
        }
        if (down.has_value() != (e.what == node_change::recover)) {
            return absl::InvalidArgumentError(
                fmt::format("{}: {} does not fit: {}", whose, which,
                            down ? "a node that hangs or is dead can only recover"
                                 : "a node recovers after it hung or died"));
        }
        switch (e.what) {
        case node_change::rate:
            if (o.rate == 0) {
                return absl::InvalidArgumentError(
                    fmt::format("{}: {} changes the rate of a node that has none", whose, which));
            }
            SLUICE_RETURN_IF_ERROR(check_factor(whose, which + ", factor", e.factor));
            break;
        case node_change::hang:
        case node_change::die: down = e.what; break;
        case node_change::recover: down.reset(); break;
        default:
            return absl::InvalidArgumentError(
                fmt::format("{}: {} is no kind of change", whose, which));
        }
    }
    return absl::OkStatus();
}

}  // namespace
}  // namespace detail

network::state::state(const network_options& o, loop& on, const std::vector<std::string>& names)
    : clock(on),
      replicas(o.replicas),
      placement(names, o.replicas),
      blocks(o.replicas),
      seed(o.seed) {
    nodes.reserve(o.nodes.size());
    for (const node_options& n : o.nodes) {
        nodes.emplace_back(n);
    }
}

absl::StatusOr<std::unique_ptr<network>> network::create(network_options options, loop& on) {
    const network_options& o = options;
    SLUICE_RETURN_IF_ERROR(detail::check_count("network", "nodes", o.nodes.size(), 1, 1024));
    SLUICE_RETURN_IF_ERROR(
        detail::check_count("network", "replicas", o.replicas, 1,
                            std::min<std::uint64_t>(detail::max_replicas, o.nodes.size())));
    std::vector<std::string> names;
    for (std::size_t i = 0; i < o.nodes.size(); ++i) {
        const std::string whose = fmt::format("node {}", i);
        const node_options& n = o.nodes[i];
        SLUICE_RETURN_IF_ERROR(detail::check_rate(whose, "rate", n.rate));
        SLUICE_RETURN_IF_ERROR(detail::check_time(whose, "per_operation", n.per_operation));
        SLUICE_RETURN_IF_ERROR(detail::check_time(whose, "latency", n.latency));
        SLUICE_RETURN_IF_ERROR(detail::check_time(whose, "jitter", n.jitter));
        SLUICE_RETURN_IF_ERROR(detail::check_share(whose, "loss", n.loss));
        SLUICE_RETURN_IF_ERROR(detail::check_count(whose, "events", n.events.size(), 0, 10'000));
        SLUICE_RETURN_IF_ERROR(detail::check_events(whose, n));
        names.push_back(whose);
    }
    return std::unique_ptr<network>(new network(std::make_unique<state>(o, on, names)));
}

network::network(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}

network::~network() = default;

void network::hold(const block_key& key, std::uint64_t bytes) {
    const detail::instant now = state_->now();
    detail::presence& blocks = state_->blocks;
    detail::presence::block* b = blocks.find(key);
    if (b == nullptr) {
        b = &blocks.insert(key, state_->of(key, nullptr));
    }
    b->bytes = bytes;
    for (detail::presence::home& h : blocks.homes(*b)) {
        detail::node& n = state_->nodes[h.node];
        n.advance(now);
        h.life = n.dead(now) ? std::uint16_t{0} : n.life();
    }
}

void network::forget(const block_key& key) noexcept {
    if (detail::presence::block* const b = state_->blocks.find(key); b != nullptr) {
        for (detail::presence::home& h : state_->blocks.homes(*b)) {
            h.life = 0;
        }
    }
}

bool network::holds(const block_key& key) const noexcept {
    const detail::instant now = state_->now();
    const detail::presence::block* const b = state_->blocks.find(key);
    if (b == nullptr) {
        return false;
    }
    const auto homes = state_->blocks.homes(*b);
    return std::any_of(homes.begin(), homes.end(), [&](const detail::presence::home& h) {
        detail::node& n = state_->nodes[h.node];
        n.advance(now);
        return !n.dead(now) && h.life == n.life();
    });
}

std::uint32_t network::nodes() const noexcept {
    return static_cast<std::uint32_t>(state_->nodes.size());
}

node_stats network::stats(std::uint32_t node) const noexcept {
    const detail::instant now = state_->now();
    detail::node& n = state_->nodes[node];
    n.advance(now);
    node_stats out = n.stats;
    out.busy_seconds = n.out.busy_seconds(now);
    out.put_busy_seconds = n.in.busy_seconds(now);
    return out;
}

}  // namespace sluice::sim
