// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/coro/thread_loop.hpp>
#include <sluice/fabric/fabric_store.hpp>

namespace CLI {
class App;
}

namespace sluice::command {

/// Which memory nodes a command works with, and how.
struct fabric_options {
    std::vector<std::string> nodes;
    std::string secret_file;
    std::uint32_t replicas = 1;
    std::string provider = "tcp";
    bool checksums = true;
};

/// Adds --node, --secret-file, --replicas and --provider.
void add_fabric_options(CLI::App& sub, fabric_options& options);

/// A fabric_store on a loop that the calling thread runs while it waits (`drive`).
///
/// Everything by one thread.
class fabric_client {
 public:
    /// Errors as of `fabric_store::create`.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<fabric_client>> open(
        const fabric_options& options);

    /// Asks all nodes how they do; those that are being connected to, when they are, for 5 s at
    /// most.
    [[nodiscard]] std::vector<node_report> inspect();

    /// Waits until the nodes are connected to.
    ///
    /// \return OK if one of them is ready at least; kUnavailable names them all and what is wrong
    absl::Status connect();

    [[nodiscard]] thread_loop& home() noexcept { return home_; }
    [[nodiscard]] fabric_store& store() noexcept { return *store_; }
    [[nodiscard]] std::uint32_t replicas() const noexcept { return replicas_; }

 private:
    explicit fabric_client(std::uint32_t replicas) : home_("sluice"), replicas_(replicas) {}

    thread_loop home_;
    const std::uint32_t replicas_;
    std::unique_ptr<fabric_store> store_;
};

/// Memory that a store knows, for as long as this lives.
class registered_memory {
 public:
    /// \return kResourceExhausted if there is not that much memory; else as `register_memory`.
    [[nodiscard]] static absl::StatusOr<registered_memory> create(store& of, std::size_t bytes);
    registered_memory(registered_memory&&) noexcept = default;
    registered_memory& operator=(registered_memory&&) = delete;
    ~registered_memory();

    [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {memory_.get(), size_}; }

 private:
    registered_memory(store& of, std::unique_ptr<std::byte[]> memory, std::size_t size) noexcept
        : store_(&of), memory_(std::move(memory)), size_(size) {}

    store* store_;
    std::unique_ptr<std::byte[]> memory_;
    std::size_t size_;
};

}  // namespace sluice::command
