// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include "raw_endpoint.hpp"

namespace sluice::bench {

struct raw_fabric_options {
    std::string provider = "tcp";
    raw_kind kind = raw_kind::any;
    std::uint64_t remote_bytes = 0;  ///< of the target's pool
    /// What runs `run_raw_target`; --provider, --endpoint, --bytes and --fd are added.
    std::vector<std::string> target_command{"/proc/self/exe", "bench", "raw-target"};
};

enum class raw_completion : std::uint8_t {
    wait,  ///< sleeps on the provider's wait object
    spin   ///< polls its queue without a pause
};

struct raw_reads {
    std::uint64_t block_bytes = 0;
    std::uint32_t window = 1;  ///< reads in flight, 1 to max_window
    /// Blocks to one read, 1 to max_pieces, which is then `fi_readmsg`: for `explain_fetch`. The
    /// last read takes what is left.
    std::uint32_t pieces = 1;
    raw_completion completion = raw_completion::wait;
    std::span<const std::uint64_t> remote;  ///< offsets in the target's pool, one per block
    std::span<std::byte* const> local;      ///< where each goes, inside the local pool
};

struct raw_figures {
    double seconds = 0;  ///< from the first post to the last completion
    double p50_us = 0;   ///< of one read, from its post to its completion
    double p99_us = 0;
    double cpu_s = 0;         ///< of this process
    double target_cpu_s = 0;  ///< of the target's
};

/// The barest way to read remote blocks through libfabric: one connection, one `fi_read` per
/// block, a fixed number in flight. What the library's own transport is measured against.
///
/// The other end is a child process that lives as long as this object. For one thread.
class raw_fabric {
 public:
    static constexpr std::uint32_t max_window = 128;
    static constexpr std::uint32_t max_pieces = 4;

    /// Starts the target, connects and reads once.
    ///
    /// \param local  memory that all reads go to; must outlive this
    /// \return what `raw_endpoint::open` does, here or at the target; kUnavailable: the target
    ///         could not be started or reached.
    [[nodiscard]] static absl::StatusOr<std::unique_ptr<raw_fabric>> connect(
        const raw_fabric_options& options, std::span<std::byte> local);

    ~raw_fabric();
    raw_fabric(const raw_fabric&) = delete;
    raw_fabric& operator=(const raw_fabric&) = delete;

    [[nodiscard]] raw_kind kind() const noexcept { return end_.kind(); }
    /// Whether `raw_completion::wait` sleeps; otherwise it spins.
    [[nodiscard]] bool can_wait() const noexcept { return end_.queue_fd >= 0; }

    /// Reads all blocks, in order of posting.
    /// \return kInvalidArgument: no blocks, spans of different sizes, or a window or number of
    /// pieces
    ///         out of range; kUnavailable: a read failed. The object is of no use after that.
    [[nodiscard]] absl::StatusOr<raw_figures> read_blocks(const raw_reads& reads);

 private:
    struct slot {
        fi_context2 context{};  // first: completions name the slot by it
        std::int64_t posted_ns = 0;
        std::size_t blocks = 0;
    };

    raw_fabric() = default;
    absl::Status start_target(const raw_fabric_options& options);
    absl::Status connect_endpoint(std::span<const std::byte> address);
    absl::Status run(const raw_reads& reads);
    absl::Status post(const raw_reads& reads);
    ssize_t post_pieces(const raw_reads& reads, slot& s) noexcept;
    absl::Status failure() noexcept;

    pid_t child_ = -1;
    int socket_ = -1;
    raw_endpoint end_;
    fi_addr_t peer_ = FI_ADDR_UNSPEC;
    void* descriptor_ = nullptr;  // of the local memory
    std::uint64_t base_ = 0;
    std::uint64_t key_ = 0;

    // Of the run.
    std::vector<slot> slots_{max_window};
    std::vector<std::uint32_t> free_;
    std::size_t issued_ = 0;  // blocks
    std::size_t ended_ = 0;   // blocks
    std::vector<std::int64_t> took_ns_;
};

}  // namespace sluice::bench
