// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <absl/status/statusor.h>

#include <sluice/base/bytes.hpp>
#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/kv/block_key.hpp>

namespace sluice {

struct memory_node_options {
    /// Where clients ask: "tcp://host:port"; port 0 takes a free one.
    std::string listen = "tcp://127.0.0.1:0";
    /// Memory for blocks; at least 1 MiB. On huge pages where the machine gives them. It is cut
    /// into slabs of blocks of one size (a 64th of it, within 4 to 64 MiB): a pool of a few slabs
    /// suits blocks of a few sizes.
    std::uint64_t memory = 4 * gib;
    /// What the clients and the nodes of a pool know: a file of at least 16 bytes, or the bytes.
    std::string secret_file;
    std::string secret;
    /// "host:port" to answer HTTP at: /metrics (Prometheus) and /healthz; empty: nowhere. Whoever
    /// can connect there is answered.
    std::string metrics;
    /// By which blocks may be read, as `fi_info` names them.
    std::vector<std::string> providers{"tcp"};
    /// The kernel's congestion control for reads over TCP, where this process may choose it; empty:
    /// the system's. One that does not pace suits a private network: see docs/transport.md.
    std::string congestion_control = "cubic";
    /// How long a block that was looked up stays readable where it is; 100 ms to 1 h.
    duration lease = std::chrono::seconds(10);
    /// Per client, for puts: the bytes that it may have on their way, and the longest block that it
    /// can put; 4 KiB to 1 GiB. Beside `memory`: taken when a client makes its first data
    /// connection, and its pages with what is put, so that clients who only read cost none.
    std::uint64_t staging = 16 * mib;
    /// Clients at once; 1 to 65 536.
    std::uint32_t max_connections = 1024;
    /// How long `drain` lets clients finish what they read; 0 to 24 h.
    duration drain_timeout = std::chrono::seconds(5);
    /// Whether all of the memory is touched before the node serves, so that no put waits for it.
    bool touch = true;
};

struct memory_node_stats {
    std::uint64_t blocks = 0, bytes = 0, capacity = 0;
    std::uint64_t lookups = 0;  ///< keys asked for
    std::uint64_t hits = 0;     ///< of which were there
    std::uint64_t puts = 0;     ///< blocks committed
    std::uint64_t refused = 0;  ///< blocks for which there was no room
    std::uint64_t evicted = 0;
    std::uint64_t damaged = 0;       ///< blocks dropped because their bytes were not right
    std::uint64_t leased_bytes = 0;  ///< dropped, but readable until their lease has passed
    std::uint64_t connections = 0;   ///< open now
    std::uint64_t rejected = 0;      ///< connections that did not know the secret
    std::uint64_t malformed = 0;     ///< connections dropped for what they sent
};

/// A memory node: registered DRAM that clients (`fabric_store`) read one-sidedly, and the index of
/// the blocks in it. `sluice node` is this and a signal handler.
///
/// \par Thread safety
/// `stats`, `metrics` and the addresses from any thread; the rest by the owner.
class memory_node {
 public:
    /// Takes the memory, opens the providers and listens: clients are served from then on.
    ///
    /// \param on  the loop to work on, in real time: it outlives the node, and the node is made and
    ///            destroyed on it or when it does not run. Null: a thread of its own.
    /// \return kInvalidArgument for options out of range, kResourceExhausted if there is not that
    ///         much memory, kUnimplemented for a provider that this machine has not, kAlreadyExists
    ///         for a port that is taken, kNotFound or kPermissionDenied for the secret's file.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<memory_node>> create(
        const memory_node_options& options, loop* on = nullptr);
    /// Ends at once. Clients find their connections closed.
    ~memory_node();

    /// Where it listens, with the port it got: what clients put into `fabric_store_options::nodes`.
    [[nodiscard]] const std::string& address() const noexcept;
    /// "host:port" of /metrics and /healthz, with the port it got; empty if that was not asked for.
    [[nodiscard]] const std::string& metrics_address() const noexcept;

    /// Takes no more puts and connections, tells the clients, and lets them finish their reads.
    /// Cannot be undone.
    /// \param done  called on the node's loop when all have left or the drain timeout has passed;
    ///              may destroy a node that was given its loop. Not called if the node is destroyed
    ///              before. Null: nobody is told.
    void drain(std::function<void()> done);

    /// For fault drills: inverts a byte in the middle of a block, so that whoever reads it finds it
    /// damaged. On the node's loop.
    /// \return false if the block is not there.
    bool damage(const block_key& key) noexcept;

    [[nodiscard]] memory_node_stats stats() const noexcept;
    /// The same in the Prometheus text format, with per-provider and health figures.
    [[nodiscard]] std::string metrics() const;

 private:
    struct state;
    explicit memory_node(std::unique_ptr<state> s) noexcept;

    std::unique_ptr<state> state_;
};

}  // namespace sluice
