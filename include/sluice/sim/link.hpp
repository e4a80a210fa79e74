// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/sim/network.hpp>
#include <sluice/store/store.hpp>

namespace sluice::sim {

/// From `at` on a link's rate is `factor` times the nominal one.
struct rate_change {
    time_point at{};    ///< of the loop's clock
    double factor = 1;  ///< above 0, up to 1000
};

struct link_options {
    /// Bytes per second in each direction, at least 1; 0: no limit but the nodes'.
    double rate = 0;
    /// Of the link, that each get and put takes besides its bytes, up to a day.
    duration per_operation{0};
    /// In the order of their times.
    std::vector<rate_change> drift = {};
    /// After which a node that has not sent a block is given up and the next replica asked; above
    /// 0, up to a day.
    duration soft_timeout = std::chrono::milliseconds(250);
};

/// What a link has done.
struct link_stats {
    std::uint64_t gets = 0, puts = 0;        ///< ended, whatever came of them
    std::uint64_t bytes = 0, put_bytes = 0;  ///< of those that ended OK
    std::uint64_t misses = 0;                ///< gets that ended kNotFound
    std::uint64_t failed = 0;                ///< gets and puts that ended otherwise
    std::uint64_t failovers = 0;             ///< gets that went on to another replica
    std::uint64_t timeouts = 0;              ///< nodes that did not answer in time
    double busy_seconds = 0;                 ///< receiving blocks, up to now
    double put_busy_seconds = 0;             ///< sending blocks, up to now
};

/// One engine's way to the memory nodes of a simulated network: a `store` without bytes, whose
/// operations take the time that a real one's would. Memory is an address only; it is neither
/// read nor written.
///
/// \par Time
/// A block passes the node's queue and the link's, both first come, first served, cut-through: it
/// is on the link while the node still sends it. Alone it takes `per_operation` of both, its bytes
/// at the lower of the two rates, and the latency; many together move at the lower of what the
/// nodes and the link can do, to within one block. Gets and puts do not slow each other down. A
/// change of rate holds for bytes that have not moved yet, also of an operation under way. A put
/// sends the block to each of its nodes. A get of an absent block takes `per_operation` and latency
/// at each of its nodes. Lookups and removes pass the queues by and take the latency.
///
/// \par Faults
/// What cannot be through at its node within the soft timeout, or is lost, is given up when the
/// timeout has passed and takes nothing of the node; then the next replica is asked, at last the
/// get ends kDeadlineExceeded. Waiting for the link alone is not the node's fault. A block that is
/// not through when its node hangs waits until that goes on, and lets others pass; when it dies the
/// block goes on to the next replica. Two timeouts of a node in a row and nothing is asked of it
/// before a probe succeeds: 250 ms later, then after twice that each, up to 5 s. A node that is
/// dead is known to be: its operations go on to the next replica at once, or end kUnavailable. A
/// put needs one copy. It is visible, on all nodes that took it, when it completes. What is aborted
/// ends kDeadlineExceeded; what it has of the queues it keeps.
///
/// \par Thread safety
/// On the loop only, or when that does not run.
///
/// \par Errors
/// As store.hpp says; also kInvalidArgument for an empty key, no memory, and a lookup whose result
/// is shorter than its keys.
class link final : public store {
 public:
    /// \param over  outlives the link, and is on the same loop
    /// \return kInvalidArgument, naming the option, for what is out of range or order
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<link>> create(network& over,
                                                                      const link_options& options);
    ~link() override;

    absl::Status register_memory(std::span<std::byte> memory) override;
    void unregister_memory(std::span<std::byte> memory) noexcept override;

    void lookup(store_lookup& op) noexcept override;
    void get(std::span<store_get* const> ops) noexcept override;
    void put(std::span<store_put* const> ops) noexcept override;
    void remove(store_remove& op) noexcept override;
    void abort(operation& op) noexcept override;

    [[nodiscard]] link_stats stats() const noexcept;

 private:
    struct state;
    explicit link(std::unique_ptr<state> s) noexcept;

    std::unique_ptr<state> state_;
};

}  // namespace sluice::sim
