// SPDX-License-Identifier: Apache-2.0
#include "fabric_options.hpp"

#include <algorithm>
#include <new>
#include <utility>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include <sluice/coro/sync_wait.hpp>
#include <sluice/stage/await_operation.hpp>

#include "node_reports.hpp"

namespace sluice::command {
namespace {

task<std::vector<node_report>> ask(fabric_client& client) {
    awaited<fabric_inspect> op;
    fabric_store* const nodes = &client.store();
    // Ends OK, whoever answered.
    (void)co_await op.run(client.home(), [nodes](fabric_inspect& o) { nodes->inspect(o); });
    co_return std::move(op.reports);
}

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
    std::unique_ptr<fabric_client> out(new fabric_client);
    absl::StatusOr<std::unique_ptr<fabric_store>> made = fabric_store::create(o, &out->home_);
    if (!made.ok()) {
        return made.status();
    }
    out->store_ = std::move(*made);
    return out;
}

std::vector<node_report> fabric_client::inspect() { return drive(home_, ask(*this)); }

absl::Status fabric_client::connect() {
    const std::vector<node_report> reports = inspect();
    if (std::any_of(reports.begin(), reports.end(), is_ready)) {
        return absl::OkStatus();
    }
    return absl::UnavailableError("no node is ready:\n" + node_complaints(reports));
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
