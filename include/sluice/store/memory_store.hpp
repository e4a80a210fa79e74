// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/base/bytes.hpp>
#include <sluice/base/clock.hpp>
#include <sluice/coro/loop.hpp>
#include <sluice/kv/block_key.hpp>
#include <sluice/store/store.hpp>

namespace sluice {

struct memory_store_options {
    /// Bytes of blocks, each rounded up to 64; at least 1. Taken from the system as blocks come.
    std::uint64_t capacity = gib;
    /// When full: true drops the least recently used blocks (of the same size, if there are any),
    /// false refuses new ones.
    bool evict = false;
    /// Whether a block's checksum is made when it is put and verified whenever it is read.
    bool checksums = true;
    /// Bytes per second of the link that gets and puts share, at least 1; 0: as fast as memory is.
    double link_rate = 0;
    /// Time of the link that each get and put takes besides its bytes, up to a day.
    duration per_operation{0};
    /// From the link's end of an operation to its completion; of a lookup or remove, all it takes.
    /// Up to a day.
    duration latency{0};
};

/// What a memory_store holds and has done.
struct memory_store_stats {
    std::uint64_t blocks = 0;
    std::uint64_t bytes = 0;    ///< of the blocks that it holds
    std::uint64_t gets = 0;     ///< carried out, whatever came of them
    std::uint64_t misses = 0;   ///< gets of what is not there
    std::uint64_t corrupt = 0;  ///< gets of a block that had been damaged
    std::uint64_t puts = 0;     ///< carried out, whatever came of them
    std::uint64_t refused = 0;  ///< puts for which there was no room
    std::uint64_t evicted = 0;  ///< blocks dropped to make room
    double busy_seconds = 0;    ///< the link's: modelled, or measured where that is more
};

/// A store in this process: real bytes behind a link that can be made as slow as a network. It
/// stands for another machine in tests, drills and demonstrations, and it lets engines of one
/// process share blocks.
///
/// Gets and puts pass one link in the order in which they come: an operation is through at
/// max(arrival, link free) + per_operation + bytes / link_rate and completes `latency` later. That
/// is kept exactly under a backlog, however late the store's thread wakes up; a block is copied and
/// verified while the one before is on the wire. Misses take per_operation only. Lookups and
/// removes are small messages that pass the link by. Register memory as for any store; this one
/// needs no registration and checks none.
///
/// \par Thread safety
/// All members may be called from any thread, concurrently, except the destructor. Several
/// pipelines may share one.
///
/// \par Errors
/// Operations end as store.hpp says; also kInvalidArgument for an empty key, an empty block and a
/// lookup whose result is shorter than its keys. An aborted operation ends kDeadlineExceeded.
class memory_store final : public store {
 public:
    /// \param on  the loop to work on, with its time: it outlives the store, and the store is
    ///            destroyed on it or when it does not run. Null: a thread of its own.
    /// \return kInvalidArgument for options out of range, kResourceExhausted if there is no thread.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<memory_store>> create(
        const memory_store_options& options = {}, loop* on = nullptr);
    ~memory_store() override;

    absl::Status register_memory(std::span<std::byte> memory) override;
    void unregister_memory(std::span<std::byte> memory) noexcept override;

    void lookup(store_lookup& op) noexcept override;
    void get(std::span<store_get* const> ops) noexcept override;
    void put(std::span<store_put* const> ops) noexcept override;
    void remove(store_remove& op) noexcept override;
    void abort(operation& op) noexcept override;

    /// Changes the link's rate for what has not passed it yet, for example when a store has been
    /// filled at full speed and is now to be read as if it were far away.
    /// \return kInvalidArgument for a rate that `create` would refuse.
    absl::Status set_link_rate(double bytes_per_second) noexcept;

    /// For fault drills: inverts a byte in the middle of a block, so that the next get of it ends
    /// with kDataLoss (if checksums are on). May wait while a block is copied.
    /// \return false if the block is not there.
    bool damage(const block_key& key) noexcept;

    [[nodiscard]] memory_store_stats stats() const noexcept;

 private:
    struct state;
    explicit memory_store(std::unique_ptr<state> s) noexcept;

    std::unique_ptr<state> state_;
};

}  // namespace sluice
