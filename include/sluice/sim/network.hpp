// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/kv/block_key.hpp>

namespace sluice::sim {

/// What happens to a memory node.
enum class node_change : std::uint8_t {
    rate,     ///< its rate is `factor` times the nominal one: slow, or fast again
    hang,     ///< nothing moves and nothing is answered; what it was asked stays asked
    die,      ///< its connections break, its blocks are lost, what it was asked fails
    recover,  ///< after `hang` it goes on where it was, after `die` it begins empty
};

struct node_event {
    time_point at{};  ///< of the loop's clock
    node_change what = node_change::rate;
    double factor = 1;  ///< for `rate`: above 0, up to 1000
};

/// One memory node.
struct node_options {
    /// Bytes per second in each direction, shared by all links, at least 1; 0: no limit.
    double rate = 0;
    /// Of the node, that each get and put takes besides its bytes, up to a day.
    duration per_operation{0};
    /// From being through to the completion; of a lookup or remove, all it takes. Up to a day.
    duration latency{0};
    /// Each operation takes between 0 and this longer, by chance. Up to a day.
    duration jitter{0};
    /// Share of the operations that are never answered, 0 to 1.
    double loss = 0;
    /// In the order of their times. After `hang` and `die` only `recover` can follow.
    std::vector<node_event> events = {};
};

struct network_options {
    std::vector<node_options> nodes = {};  ///< 1 to 1024
    /// Nodes that hold each block, by rendezvous hashing as in `fabric_store`: 1 to 8, at most the
    /// number of nodes.
    std::uint32_t replicas = 1;
    std::uint64_t seed = 1;  ///< of loss and jitter
};

/// What one node has done.
struct node_stats {
    std::uint64_t gets = 0;       ///< of blocks that it holds
    std::uint64_t misses = 0;     ///< gets of what it does not hold
    std::uint64_t puts = 0;       ///< of blocks that it did not hold yet
    std::uint64_t bytes_out = 0;  ///< by gets
    std::uint64_t bytes_in = 0;   ///< by puts
    double busy_seconds = 0;      ///< sending blocks, up to now
    double put_busy_seconds = 0;  ///< receiving blocks, up to now
};

/// The memory nodes of a simulated network, which the links of all engines share.
///
/// A node sends and receives at the same time, each in the order in which the operations come:
/// `per_operation + bytes / rate` one after the other. When its rate changes, that holds for the
/// bytes that have not moved yet, also of an operation under way. No bytes are kept: a node knows
/// which blocks it holds and how long they are. It has room for all.
///
/// \par Thread safety
/// On the loop only, or when that does not run.
///
/// \par Determinism
/// The same calls at the same instants give the same completions, to the nanosecond.
class network {
 public:
    /// \param on  the loop of all its links; outlives it
    /// \return kInvalidArgument, naming the node and the option, for what is out of range or order
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<network>> create(network_options options,
                                                                         loop& on);
    network(const network&) = delete;
    network& operator=(const network&) = delete;
    /// Its links are gone.
    ~network();

    /// The block is there from now on, on all of its nodes that live. \pre bytes is not 0
    void hold(const block_key& key, std::uint64_t bytes);
    /// No node holds the block any more.
    void forget(const block_key& key) noexcept;
    /// Whether a node that lives holds the block.
    [[nodiscard]] bool holds(const block_key& key) const noexcept;

    [[nodiscard]] std::uint32_t nodes() const noexcept;
    /// \pre node < nodes()
    [[nodiscard]] node_stats stats(std::uint32_t node) const noexcept;

 private:
    friend class link;
    struct state;
    explicit network(std::unique_ptr<state> s) noexcept;

    std::unique_ptr<state> state_;
};

}  // namespace sluice::sim
