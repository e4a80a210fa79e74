// SPDX-License-Identifier: Apache-2.0
#include <sluice/fabric/fabric_store.hpp>

#include <cmath>
#include <set>
#include <utility>

#include <fmt/format.h>

#include <sluice/coro/thread_loop.hpp>

#include "../wire/resolve.hpp"
#include "store_core.hpp"

namespace sluice {
namespace {

absl::Status invalid(std::string text) {
    return absl::InvalidArgumentError("fabric_store: " + std::move(text));
}

absl::Status check_rate(double rate) {
    return rate == 0 || (rate >= 1 && std::isfinite(rate))
               ? absl::OkStatus()
               : invalid(fmt::format(
                     "a link rate of {} bytes per second; at least 1, or 0 for no limit", rate));
}

absl::Status check(const fabric_store_options& o) {
    if (o.nodes.empty() || o.nodes.size() > 1024) {
        return invalid(fmt::format("{} nodes; 1 to 1024 are possible", o.nodes.size()));
    }
    if (o.replicas < 1 || o.replicas > detail::max_replicas || o.replicas > o.nodes.size()) {
        return invalid(
            fmt::format("{} replicas on {} nodes; 1 to {} are possible, at most one "
                        "per node",
                        o.replicas, o.nodes.size(), detail::max_replicas));
    }
    if (o.connections < 1 || o.connections > 16) {
        return invalid(fmt::format("{} connections per node; 1 to 16 are possible", o.connections));
    }
    if (o.soft_timeout < duration{0} || o.connect_timeout <= duration{0}) {
        return invalid("timeouts cannot be negative, and connecting takes time");
    }
    if (o.provider.empty() || o.provider.size() > wire::max_provider_bytes) {
        return invalid("a provider's name has 1 to 64 characters");
    }
    return check_rate(o.link_rate);
}

/// Whether this machine has the provider for the way to `node`; if the node's name means nothing
/// now, which may change, whether it has it at all.
absl::Status check_provider(const std::string& provider, const wire::address& node) {
    using fabric::domain;
    const absl::Status status = domain::open(provider, node.host, domain::role::client).status();
    if (status.ok() || wire::resolve(node).ok()) {
        return status;
    }
    return domain::open(provider, "", domain::role::client).status();
}

}  // namespace

struct fabric_store::state {
    std::unique_ptr<thread_loop> own;
    fabric::store_core::pointer core;

    ~state() {
        if (own != nullptr) {
            own->stop();
            own->join();
        }
    }
};

fabric_store::fabric_store(std::unique_ptr<state> s) noexcept : state_(std::move(s)) {}
fabric_store::~fabric_store() = default;

absl::StatusOr<std::unique_ptr<fabric_store>> fabric_store::create(
    const fabric_store_options& options, loop* on) {
    if (absl::Status status = check(options); !status.ok()) {
        return status;
    }
    std::vector<wire::address> nodes;
    std::set<std::string> seen;
    for (const std::string& text : options.nodes) {
        absl::StatusOr<wire::address> node = wire::address::parse(text);
        if (!node.ok()) {
            return node.status();
        }
        if (!seen.insert(node->text()).second) {
            return invalid(fmt::format("node {} is named twice", text));
        }
        nodes.push_back(*std::move(node));
    }
    absl::StatusOr<wire::shared_secret> secret =
        wire::shared_secret::from_options(options.secret_file, options.secret);
    if (!secret.ok()) {
        return secret.status();
    }
    auto s = std::make_unique<state>();
    // Fails here rather than at the first operation.
    if (absl::Status status = check_provider(options.provider, nodes.front()); !status.ok()) {
        return status;
    }
    if (on == nullptr) {
        s->own = std::make_unique<thread_loop>("sluice-fabric");
        if (absl::Status status = s->own->start(); !status.ok()) {
            return status;
        }
        on = s->own.get();
    }
    s->core.reset(new fabric::store_core(*on, options, *std::move(secret), std::move(nodes)));
    return std::unique_ptr<fabric_store>(new fabric_store(std::move(s)));
}

absl::Status fabric_store::register_memory(std::span<std::byte> memory) {
    return state_->core->memory().add(memory);
}

void fabric_store::unregister_memory(std::span<std::byte> memory) noexcept {
    state_->core->memory().remove(memory);
}

void fabric_store::lookup(store_lookup& op) noexcept {
    state_->core->post(op, fabric::store_core::kind::lookup);
}

void fabric_store::get(std::span<store_get* const> ops) noexcept {
    state_->core->post(ops, fabric::store_core::kind::get);
}

void fabric_store::put(std::span<store_put* const> ops) noexcept {
    state_->core->post(ops, fabric::store_core::kind::put);
}

void fabric_store::remove(store_remove& op) noexcept {
    state_->core->post(op, fabric::store_core::kind::remove);
}

void fabric_store::abort(operation& op) noexcept {
    state_->core->post(op, fabric::store_core::kind::abort);
}

void fabric_store::inspect(fabric_inspect& op) noexcept {
    state_->core->post(op, fabric::store_core::kind::inspect);
}

std::vector<node_health> fabric_store::health() const { return state_->core->health(); }

fabric_store_stats fabric_store::stats() const noexcept { return state_->core->stats(); }

absl::Status fabric_store::set_link_rate(double bytes_per_second) noexcept {
    absl::Status status = check_rate(bytes_per_second);
    if (status.ok()) {
        state_->core->set_link_rate(bytes_per_second);
    }
    return status;
}

}  // namespace sluice
