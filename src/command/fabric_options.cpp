// SPDX-License-Identifier: Apache-2.0
#include "fabric_options.hpp"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sluice/coro/sync_wait.hpp>

#include "node_reports.hpp"

namespace sluice::command {
namespace {

constexpr std::chrono::seconds patience{5};  // with nodes that are being connected to

}  // namespace

void add_fabric_options(CLI::App& sub, fabric_options& options) {
    sub.add_option("--node", options.nodes,
                   "Memory node, tcp://host:port; repeatable. All clients of a pool spell its "
                   "nodes alike")
        ->required();
    sub.add_option("--secret-file", options.secret_file,
                   "File with what the clients and nodes of the pool know")
        ->required()
        ->check(CLI::ExistingFile);
    sub.add_option("--replicas", options.replicas, "Nodes that each block is put to")
        ->check(CLI::Range(1, 8))
        ->capture_default_str();
    sub.add_option("--provider", options.provider, "What moves blocks, as fi_info names it")
        ->capture_default_str();
}

absl::StatusOr<std::unique_ptr<fabric_client>> fabric_client::open(const fabric_options& options) {
    fabric_store_options o;
    o.nodes = options.nodes;
    o.secret_file = options.secret_file;
    o.provider = options.provider;
    o.replicas = options.replicas;
    o.checksums = options.checksums;
    // Nobody's first token waits for this: rather late than not at all. Another replica is no wait.
    o.soft_timeout = options.replicas > 1 ? duration{0} : patience;
    o.connect_timeout = patience;
    std::unique_ptr<fabric_client> out(new fabric_client(options.replicas));
    absl::StatusOr<std::unique_ptr<fabric_store>> made = fabric_store::create(o, &out->home_);
    if (!made.ok()) {
        return made.status();
    }
    out->store_ = std::move(*made);
    return out;
}

std::vector<node_report> fabric_client::inspect() {
    return drive(home_, ask_nodes(home_, *store_, patience));
}

absl::Status fabric_client::connect() {
    const std::vector<node_report> reports = inspect();
    if (std::any_of(reports.begin(), reports.end(), is_ready)) {
        return absl::OkStatus();
    }
    return absl::UnavailableError("no node is ready:" + node_complaints(reports));
}

absl::StatusOr<registered_memory> registered_memory::create(store& of, std::size_t bytes) {
    std::unique_ptr<std::byte[]> memory(new (std::nothrow) std::byte[bytes]);
    if (memory == nullptr) {
        return absl::ResourceExhaustedError(fmt::format("there are no {} bytes of memory", bytes));
    }
    if (absl::Status status = of.register_memory({memory.get(), bytes}); !status.ok()) {
        return status;
    }
    return registered_memory(of, std::move(memory), bytes);
}

registered_memory::~registered_memory() {
    if (memory_ != nullptr) {
        store_->unregister_memory(bytes());
    }
}

}  // namespace sluice::command
