// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/base/bytes.hpp>
#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/store/store.hpp>

namespace sluice {

struct fabric_store_options {
    /// Memory nodes, "tcp://host:port": 1 to 1024, no two the same. Which node holds a block
    /// follows from these texts, so every client spells them alike; their order does not matter.
    std::vector<std::string> nodes;
    /// What the clients and the nodes of a pool know: a file of at least 16 bytes, or the bytes.
    std::string secret_file;
    std::string secret;
    /// By which blocks move, as `fi_info` names it: "tcp", "tcp;ofi_rxm", "shm", "verbs", ...
    std::string provider = "tcp";
    /// Nodes that each block is put to; 1 to 8, at most the number of nodes.
    std::uint32_t replicas = 1;
    /// Whether a block's checksum is verified when it has landed. Without, damage goes unseen;
    /// memory that was reused meanwhile does not: a block counts only if its lease still holds.
    bool checksums = true;
    /// Data connections per node, 1 to 16.
    std::uint32_t connections = 1;
    /// Of reads per node; 0: the provider's (4 MiB on TCP, where more only waits).
    std::uint64_t bytes_in_flight = 0;
    /// The kernel's congestion control for puts over TCP, where this process may choose it; empty:
    /// the system's. One that does not pace suits a private network: see docs/transport.md.
    std::string congestion_control = "cubic";
    /// After which the next replica is asked: of one transfer or message. 0: the larger of 250 ms
    /// and 4 times what is predicted from the rate seen so far.
    duration soft_timeout{0};
    /// For making a connection.
    duration connect_timeout = std::chrono::seconds(2);
    /// Bytes per second that gets and puts of this store share, as if its link were that slow; 0:
    /// as fast as it is. For demonstrations, and for leaving room to others.
    double link_rate = 0;
};

/// How a node does, seen from this client.
enum class node_state : std::uint8_t {
    connecting,  ///< for the first time
    ready,
    slow,  ///< timed out twice in a row: asked nothing until a probe succeeds
    down,  ///< no connection; tried again after a growing pause, of 5 s at most
};

struct node_health {
    std::string node;  ///< as in the options
    node_state state = node_state::connecting;
    absl::Status error;  ///< the last one
    std::uint64_t soft_timeouts = 0;
    std::uint64_t connects = 0;   ///< successful ones
    double bytes_per_second = 0;  ///< of recent reads; 0: none yet
};

/// What a node says of itself.
struct node_report {
    node_health health;
    bool answered = false;  ///< in time; else the rest says nothing
    duration round_trip{0};
    std::uint64_t blocks = 0, bytes = 0, capacity = 0;
    std::uint64_t evicted = 0, damaged = 0;  ///< blocks since it started
    std::uint32_t connections = 0;
    duration uptime{0};
    bool draining = false;
    std::string version;
};

/// Asks every node how it does. Ends OK, whoever answered.
struct fabric_inspect : operation {
    std::vector<node_report> reports;  ///< result: one per node, in the order of the options
};

/// Counters since the store was made.
struct fabric_store_stats {
    std::uint64_t gets = 0, puts = 0;  ///< ended, whatever came of them
    std::uint64_t bytes_read = 0, bytes_written = 0;
    std::uint64_t misses = 0;              ///< gets that ended kNotFound
    std::uint64_t corrupt = 0;             ///< blocks that came damaged
    std::uint64_t failed = 0;              ///< gets that ended otherwise
    std::uint64_t failovers = 0;           ///< gets that went on to another replica
    std::uint64_t transfers = 0;           ///< reads given to the provider
    std::uint64_t merged_blocks = 0;       ///< of which neighbours went as one piece
    std::uint64_t vectored_transfers = 0;  ///< that named several pieces of the node's memory
    std::uint64_t lookups = 0;             ///< messages that asked where blocks are
    std::uint64_t soft_timeouts = 0;
    std::uint64_t stale = 0;  ///< blocks that landed after their lease had passed
};

/// L3 in the memory of other machines: reads blocks one-sidedly from memory nodes (`sluice node`)
/// through libfabric.
///
/// A get needs to know where its block is: lookups learn that, and it holds as long as the node's
/// lease. Gets of blocks that were not looked up, or too long ago, ask first, in batches. Blocks
/// that lie next to each other at the node are read as one, others several to a transfer.
///
/// Blocks are spread over the nodes by rendezvous hashing, so nodes can be added and removed: only
/// the blocks of that node move, which is to say they are missed once.
///
/// \par Thread safety
/// All members may be called from any thread, concurrently, except the destructor.
///
/// \par Faults
/// A node that is dead, hung or slow costs its blocks: after the soft timeout the transfer's
/// connection is closed, so that nothing touches the block's memory any more, and the next replica
/// is read; without one the get ends kDeadlineExceeded or kUnavailable. A block that came damaged
/// is reported to its node, which drops it, and read from the next replica or ends kDataLoss.
/// Lookups answer "absent" for what cannot be asked. A node comes back by itself.
///
/// \par Security
/// Both ends prove that they know the secret before anything else is said. Keys and blocks travel
/// in plaintext: see docs/operations.md.
class fabric_store final : public store {
 public:
    /// Returns at once; the nodes are connected to meanwhile, and operations wait for that as long
    /// as for anything else. Names of nodes are resolved whenever they are connected to, on the
    /// loop, which may block it: give addresses where that matters.
    ///
    /// \param on  the loop to work on: it outlives the store, and the store is destroyed on it or
    ///            when it does not run. Null: a thread of its own. A `thread_loop` that nobody runs
    ///            serves those who wait (`thread_loop::run_until`), without a hop between threads.
    /// \return kInvalidArgument for options out of range, kUnimplemented for a provider that this
    ///         machine has not, kNotFound or kPermissionDenied for the secret's file.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<fabric_store>> create(
        const fabric_store_options& options, loop* on = nullptr);
    ~fabric_store() override;

    absl::Status register_memory(std::span<std::byte> memory) override;
    void unregister_memory(std::span<std::byte> memory) noexcept override;

    void lookup(store_lookup& op) noexcept override;
    void get(std::span<store_get* const> ops) noexcept override;
    void put(std::span<store_put* const> ops) noexcept override;
    void remove(store_remove& op) noexcept override;
    void abort(operation& op) noexcept override;

    /// Asks nodes that are not down; those that are being connected to, when they are.
    void inspect(fabric_inspect& op) noexcept;

    /// One per node, in the order of the options. As of the last change.
    [[nodiscard]] std::vector<node_health> health() const;
    [[nodiscard]] fabric_store_stats stats() const noexcept;

    /// Changes the link's rate for what has not passed it yet; 0: as fast as it is.
    /// \return kInvalidArgument for a rate that `create` would refuse.
    absl::Status set_link_rate(double bytes_per_second) noexcept;

 private:
    struct state;
    explicit fabric_store(std::unique_ptr<state> s) noexcept;

    std::unique_ptr<state> state_;
};

}  // namespace sluice
