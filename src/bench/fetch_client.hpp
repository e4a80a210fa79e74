// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <sluice/coro/thread_loop.hpp>
#include <sluice/fabric/fabric_store.hpp>

#include "bench_node.hpp"
#include "fetch_plan.hpp"
#include "raw_fabric.hpp"

namespace sluice::bench {

/// Reads and writes blocks of a memory node through a `fabric_store`, as the pipeline does: a fixed
/// number of gets is kept in flight; whenever some have ended, as many as may be are started in one
/// call. For one thread.
class fetch_client {
 public:
    struct options {
        std::string provider = "tcp";
        fetch_checksum checksum = fetch_checksum::off;
        fetch_caller caller = fetch_caller::waiting;
        std::uint32_t connections = 1;
        std::uint64_t bytes_in_flight = 0;  ///< 0: the provider's
    };

    /// \param local  memory of all blocks; must outlive this
    /// \return what `fabric_store::create` returns; kUnavailable: the node cannot be reached.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<fetch_client>> connect(
        const options& o, const bench_node& node, std::span<std::byte> local);
    ~fetch_client();
    fetch_client(const fetch_client&) = delete;
    fetch_client& operator=(const fetch_client&) = delete;

    /// Puts the blocks of a plan from `pool`, where block k lies at k x block_bytes.
    absl::Status put(const fetch_plan& plan, std::span<const std::byte> pool);
    /// Learns where blocks are.
    /// \return kNotFound: some are not there.
    absl::Status look_up(const raw_reads& reads);
    /// Reads blocks that were looked up; `completion` does not matter.
    /// \return kUnavailable: a get failed.
    [[nodiscard]] absl::StatusOr<raw_figures> read_blocks(const raw_reads& reads);

    [[nodiscard]] fabric_store_stats stats() const noexcept { return store_->stats(); }

 private:
    struct get_slot;
    struct put_slot;
    template <class Op>
    struct single;
    struct pump_work : work {
        explicit pump_work(fetch_client& c) noexcept;
        fetch_client* owner;
    };

    explicit fetch_client(const options& o) noexcept;
    absl::Status open(const bench_node& node, std::span<std::byte> local);
    [[nodiscard]] bool drives() const noexcept { return options_.caller == fetch_caller::waiting; }
    absl::Status await_node();
    absl::Status wait();
    void finished() noexcept;
    absl::Status put_group(std::uint64_t block_bytes, std::uint64_t first, std::size_t blocks,
                           std::span<const std::byte> pool);
    absl::Status read_one_by_one(const raw_reads& reads);
    void pump() noexcept;
    void prepare(get_slot& slot) noexcept;
    void ended(get_slot& slot) noexcept;

    const options options_;
    pid_t node_ = 0;
    thread_loop home_;  // has a thread unless the caller drives the store
    std::unique_ptr<fabric_store> store_;
    std::atomic<bool> done_{false};

    // Of the run, on the home loop.
    raw_reads reads_;
    pump_work pump_;
    bool pump_posted_ = false;
    std::vector<std::unique_ptr<get_slot>> slots_;
    std::vector<get_slot*> free_;
    std::size_t issued_ = 0;
    std::size_t ended_ = 0;
    std::size_t failed_ = 0;
    absl::StatusCode failure_ = absl::StatusCode::kOk;
    std::vector<std::int64_t> took_ns_;
};

}  // namespace sluice::bench
